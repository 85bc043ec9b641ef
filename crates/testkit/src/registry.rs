//! A real registry of container images: Debian's package docker-registry, on this machine alone.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PROGRAM: &str = "/usr/bin/docker-registry";

/// A running registry. Dropping it ends it and removes its images.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    /// Where it listens, on the loopback interface.
    pub port: u16,
    directory: TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Registry {
    /// Starts a registry. `users` are lines of `htpasswd -B`; with `None`, everybody may do everything.
    ///
    /// # Errors
    /// docker-registry is not installed.
    ///
    /// # Panics
    /// The registry does not start.
    pub fn start(users: Option<&str>) -> Result<Self, String> {
        if !Path::new(PROGRAM).exists() {
            return Err("docker-registry is not installed".to_owned());
        }
        // Another process may take the port before the registry does.
        let started = (0..5).find_map(|_| Self::attempt(users));
        Ok(started.unwrap_or_else(|| panic!("docker-registry does not start")))
    }

    /// Forgets the layers and configurations of a repository, and keeps its manifests.
    ///
    /// # Panics
    /// There is no such repository.
    pub fn lose_blobs(&self, repository: &str) {
        let place = self.directory.path().join("store/docker/registry/v2/repositories");
        fs::remove_dir_all(place.join(repository).join("_layers")).unwrap();
    }

    fn attempt(users: Option<&str>) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let place = directory.path().display();
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {place}/store}}}}\n\
             http: {{addr: \"127.0.0.1:{port}\"}}\n"
        );
        if let Some(users) = users {
            fs::write(directory.path().join("users"), users).unwrap();
            config += &format!("auth: {{htpasswd: {{realm: test, path: {place}/users}}}}\n");
        }
        let path = directory.path().join("config.yml");
        fs::write(&path, config).unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("serve").arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let mut started = Self { child, port, directory };
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) {
            if started.child.try_wait().unwrap().is_some() {
                return None;
            }
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Some(started);
            }
            // The registry does not report when it listens, and a refused connection returns at once.
            std::thread::park_timeout(Duration::from_millis(20));
        }
        panic!("docker-registry does not listen")
    }
}
