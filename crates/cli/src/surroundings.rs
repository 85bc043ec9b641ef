//! What the environment and the host say: the only place that reads either.

use rootstrap_bootstrap::Proxies;
use rootstrap_bootstrap::request::Host;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// A variable that is set and not empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The same for a variable that names a file, whose bytes need not be text.
pub(crate) fn path_variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Where downloads are kept: `/var/cache` for root, the XDG directory for everybody else.
pub(crate) fn cache_directory() -> Option<PathBuf> {
    if is_root() {
        return Some(PathBuf::from("/var/cache/rootstrap"));
    }
    let home = || path_variable("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let xdg = path_variable("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    xdg.or_else(home).map(|cache| cache.join("rootstrap"))
}

/// Whether this is root, and not just of a user namespace of its own (user_namespaces(7), uid_map).
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let own = map.split_whitespace().nth(1).is_none_or(|outside| outside == "0");
    own && std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Where archives are staged on disk.
pub(crate) fn temporary_directory() -> PathBuf {
    std::env::temp_dir()
}

/// The host as it describes itself.
pub(crate) fn host() -> Host {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let os_release = Some(read("/etc/os-release")).filter(|text| !text.is_empty());
    Host {
        machine: machine(),
        programs: std::env::split_paths(&variable("PATH").unwrap_or_default()).collect(),
        os_release: os_release.unwrap_or_else(|| read("/usr/lib/os-release")),
        sources: apt_files("/etc/apt/sources.list", "/etc/apt/sources.list.d", &["list", "sources"]),
        proxies: proxies(),
    }
}

/// The kernel's name for the machine, as this binary was built for it: a 32-bit binary makes 32-bit systems.
fn machine() -> String {
    let name = match std::env::consts::ARCH {
        "x86" => "i686",
        "powerpc64" => "ppc64le",
        "arm" => "armv7l",
        other => other,
    };
    name.to_owned()
}

/// A file of apt's configuration and those of its directory, in the order apt reads them.
fn apt_files(file: &str, directory: &str, endings: &[&str]) -> Vec<(String, String)> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| endings.iter().any(|ending| path.extension().unwrap_or_default() == *ending))
        .collect();
    paths.sort();
    paths.insert(0, PathBuf::from(file));
    let read =
        |path: &Path| Some((path.file_name()?.to_string_lossy().into_owned(), std::fs::read_to_string(path).ok()?));
    paths.iter().filter_map(|path| read(path)).collect()
}

/// The environment's proxies, and apt's where the environment has none.
fn proxies() -> Proxies {
    let either = |lower: &str| variable(lower).or_else(|| variable(&lower.to_uppercase()));
    let apt = apt_files("/etc/apt/apt.conf", "/etc/apt/apt.conf.d", &["", "conf"]);
    Proxies {
        // HTTP_PROXY in capitals can be set by a request to a CGI program, so curl does not read it; nor do we.
        http: variable("http_proxy").or_else(|| apt_proxy(&apt, "http")),
        https: either("https_proxy").or_else(|| apt_proxy(&apt, "https")),
        no_proxy: either("no_proxy"),
    }
}

/// `Acquire::http::Proxy "URI";`, the last one winning, `DIRECT` meaning none.
fn apt_proxy(files: &[(String, String)], scheme: &str) -> Option<String> {
    let name = format!("acquire::{scheme}::proxy");
    let lines = files.iter().flat_map(|(_, text)| text.lines());
    let mut values = lines.filter_map(|line| {
        let line = line.trim();
        let rest = line
            .get(name.len()..)
            .filter(|_| line.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(&name)))?;
        // A name that goes on (`Proxy::HOST`) is a setting for one host alone.
        let value = rest.trim().trim_end_matches(';').trim().strip_prefix('"')?.strip_suffix('"')?;
        Some(value.to_owned())
    });
    values.next_back().filter(|value| !value.is_empty() && !value.eq_ignore_ascii_case("direct"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_proxies_are_found() {
        let files = |text: &str| vec![("x".to_owned(), text.to_owned())];
        let proxy = |text: &str| apt_proxy(&files(text), "http");
        assert_eq!(proxy("Acquire::http::Proxy \"http://near.example:3142\";\n").unwrap(), "http://near.example:3142");
        assert_eq!(proxy("// Acquire::http::Proxy \"x\";\n"), None);
        assert_eq!(proxy("Acquire::http::Proxy \"http://a\";\nacquire::HTTP::proxy \"DIRECT\";"), None);
        assert_eq!(proxy("Acquire::http::Proxy::host \"http://a\";"), None);
    }
}
