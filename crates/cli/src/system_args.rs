//! The arguments that set up the finished system.

use crate::text_file;
use rootstrap_bootstrap::{Error, NewUser, Settings};
use std::path::Path;

/// Settings of the finished system, which no package makes.
#[derive(Debug, clap::Args)]
pub(crate) struct SystemArgs {
    /// The name of the host in /etc/hostname [default: localhost]
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,

    /// What the root's /etc/resolv.conf is: this machine's (host), a file, or none
    #[arg(long, value_name = "host|none|FILE", default_value = "none")]
    resolv_conf: String,

    /// The time zone, as in Europe/Berlin
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,

    /// The locale of the system, as in de_DE.UTF-8; all but C.UTF-8 need --include=locales
    #[arg(long, value_name = "LOCALE")]
    locale: Option<String>,

    /// The hash of root's password, as mkpasswd and `openssl passwd -6` make it
    #[arg(long, value_name = "HASH")]
    root_password_hash: Option<String>,

    /// Lock root's password
    #[arg(long, conflicts_with = "root_password_hash")]
    lock_root: bool,

    /// Add a user with a home directory and a group of the same name; may be repeated
    #[arg(long, value_name = "NAME[:UID[:SHELL]]", value_parser = NewUser::parse)]
    add_user: Vec<NewUser>,

    /// A file with answers to debconf's questions, in the format of debconf-set-selections(1); - for standard input. They are for
    /// packages that are configured after the required ones
    #[arg(long, value_name = "FILE")]
    debconf: Vec<String>,

    /// A line for apt's configuration, as in 'APT::Install-Recommends "false"', or a file of them; may be repeated
    #[arg(long, value_name = "LINE")]
    apt_option: Vec<String>,

    /// A line for dpkg's configuration, as in path-exclude=/usr/share/man/*, or a file of them; it holds during the build too
    #[arg(long, value_name = "LINE")]
    dpkg_option: Vec<String>,
}

impl SystemArgs {
    /// Returns the settings.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(crate) fn settings(&self) -> Result<Settings, Error> {
        let locked = self.lock_root.then(|| "!".to_owned());
        Ok(Settings {
            hostname: self.hostname.clone(),
            resolv_conf: match self.resolv_conf.as_str() {
                "none" => None,
                "host" => Some(text_file::read("/etc/resolv.conf")?),
                file => Some(text_file::read(file)?),
            },
            timezone: self.timezone.clone(),
            locale: self.locale.clone(),
            root_password: self.root_password_hash.clone().or(locked),
            users: self.add_user.clone(),
            debconf: self.debconf.iter().map(|file| text_file::read(file)).collect::<Result<_, _>>()?,
            apt_options: lines(&self.apt_option)?,
            dpkg_options: lines(&self.dpkg_option)?,
        })
    }
}

/// Returns the lines that are named, or that are in the files that are named.
fn lines(options: &[String]) -> Result<Vec<String>, Error> {
    let mut all = Vec::new();
    for option in options {
        if !Path::new(option).is_file() {
            all.push(option.clone());
            continue;
        }
        let text = text_file::read(option)?;
        let kept = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
        all.extend(kept.map(str::to_owned));
    }
    Ok(all)
}
