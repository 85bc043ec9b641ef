//! Reads the environment and the host. No other module does.

use rootstrap_bootstrap::Host;
use rootstrap_bootstrap::http::Proxies;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the present in seconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Returns the value of a variable, if it is set and not empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns the value of a variable that names a file, if it is set and not empty. File names need not be text.
pub(crate) fn path_variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Returns the variables that object stores are configured with, as their own tools read them.
pub(crate) fn object_store() -> Vec<(String, String)> {
    let is_known = |name: &str| ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|start| name.starts_with(start));
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(text).filter(|(name, _)| is_known(name)).collect()
}

/// Returns the cache directory where none is named: that of `ROOTSTRAP_CACHE_DIR`, or below `/var/cache` for root, the XDG directory for everybody else.
pub(crate) fn cache_directory() -> Option<PathBuf> {
    if let Some(named) = path_variable("ROOTSTRAP_CACHE_DIR").map(PathBuf::from) {
        // The working directory may change.
        return Some(std::path::absolute(&named).unwrap_or(named));
    }
    if is_root() {
        return Some(PathBuf::from("/var/cache/rootstrap"));
    }
    let home = || path_variable("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let xdg = path_variable("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    xdg.or_else(home).map(|cache| cache.join("rootstrap"))
}

/// Returns whether the user is root, and not only root of a user namespace of its own (user_namespaces(7), uid_map).
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let is_initial = map.split_whitespace().nth(1).is_none_or(|outside| outside == "0");
    is_initial && std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Returns the directory in which archives are staged on disk.
pub(crate) fn temporary_directory() -> PathBuf {
    std::env::temp_dir()
}

/// Returns what the host's files and environment say about it.
pub(crate) fn host() -> Host {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let os_release = Some(read("/etc/os-release")).filter(|text| !text.is_empty());
    Host {
        machine: machine(),
        programs: std::env::split_paths(&variable("PATH").unwrap_or_default()).collect(),
        os_release: os_release.unwrap_or_else(|| read("/usr/lib/os-release")),
        resolv_conf: read("/etc/resolv.conf"),
        sources: apt_files("/etc/apt/sources.list", "/etc/apt/sources.list.d", &["list", "sources"]),
    }
}

/// Returns the kernel's name for the machine that this binary was built for. A 32-bit binary makes 32-bit systems.
fn machine() -> String {
    let name = match std::env::consts::ARCH {
        "x86" => "i686",
        "powerpc64" => "ppc64le",
        "arm" => "armv7l",
        other => other,
    };
    name.to_owned()
}

/// Returns the paths of a file of apt's configuration and those of a directory, in the order in which apt reads them.
fn apt_paths(file: &str, directory: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| endings.iter().any(|ending| path.extension().unwrap_or_default() == *ending))
        .collect();
    paths.sort();
    paths.insert(0, PathBuf::from(file));
    paths
}

/// Reads these files. Those that cannot be read are left out.
fn apt_files(file: &str, directory: &str, endings: &[&str]) -> Vec<(String, String)> {
    let read =
        |path: &Path| Some((path.file_name()?.to_string_lossy().into_owned(), std::fs::read_to_string(path).ok()?));
    apt_paths(file, directory, endings).iter().filter_map(|path| read(path)).collect()
}

/// Returns the files with logins that there are: netrc, then apt's in the order in which apt reads them (apt_auth.conf(5)).
pub(crate) fn login_files() -> Vec<String> {
    let home = || path_variable("HOME").map(|home| PathBuf::from(home).join(".netrc"));
    let netrc = path_variable("NETRC").map(PathBuf::from).or_else(home);
    let files = netrc.into_iter().chain(apt_paths("/etc/apt/auth.conf", "/etc/apt/auth.conf.d", &["conf"]));
    files.filter(|path| path.exists()).filter_map(|path| path.to_str().map(str::to_owned)).collect()
}

/// Returns the proxies of the environment, or apt's where the environment has none.
pub(crate) fn proxies() -> Proxies {
    // apt reads apt.conf.d/ first and apt.conf after it (apt.conf(5)).
    let mut files = apt_files("/etc/apt/apt.conf", "/etc/apt/apt.conf.d", &["", "conf"]);
    if files.first().is_some_and(|(name, _)| name == "apt.conf") {
        files.rotate_left(1);
    }
    let texts: Vec<&str> = files.iter().map(|(_, text)| text.as_str()).collect();
    rootstrap_bootstrap::proxies(&variable, &texts)
}
