//! The target's own dpkg: configure what is unpacked, unpack what we leave to it.

use crate::{Error, Sandbox};

/// A line of dpkg's log is wanted even where its configuration is not in place yet.
const LOG: &str = "--log=/var/log/dpkg.log";

/// The arguments before the names of the first packages: dependencies or not, for they need each other.
pub const CONFIGURE_FIRST: [&str; 4] = [LOG, "--force-depends", "--force-confold", "--configure"];

/// The arguments that configure everything.
pub const CONFIGURE_ALL: [&str; 4] = [LOG, "--force-confold", "--configure", "-a"];

/// The arguments before .debs. Triggers wait until the phase is configured, as those of packages unpacked without dpkg do.
pub const UNPACK: [&str; 6] =
    [LOG, "--force-depends", "--force-confold", "--force-unsafe-io", "--no-triggers", "--unpack"];

/// Configures the packages named, dependencies or not: the first few of a system need each other.
///
/// # Errors
/// A script fails.
pub fn configure(sandbox: &mut Sandbox, packages: &[&str], line: &mut dyn FnMut(&str)) -> Result<(), Error> {
    if packages.is_empty() {
        return Ok(());
    }
    run(sandbox, &[&["dpkg"], &CONFIGURE_FIRST[..], packages].concat(), "configure the first packages", line)
}

/// Configures everything that is unpacked and runs the triggers.
///
/// # Errors
/// A script fails.
pub fn configure_all(sandbox: &mut Sandbox, line: &mut dyn FnMut(&str)) -> Result<(), Error> {
    run(sandbox, &[&["dpkg"], &CONFIGURE_ALL[..]].concat(), "configure the packages", line)
}

/// Unpacks .debs that lie in the root.
///
/// # Errors
/// dpkg refuses one, or a script fails.
pub fn unpack(sandbox: &mut Sandbox, debs: &[&str], line: &mut dyn FnMut(&str)) -> Result<(), Error> {
    run(sandbox, &[&["dpkg"], &UNPACK[..], debs].concat(), "unpack with the target's dpkg", line)
}

/// The package a line of dpkg's output says is being configured.
#[must_use]
pub fn configured(line: &str) -> Option<&str> {
    let name = line.strip_prefix("Setting up ")?.split(' ').next()?;
    Some(name.split(':').next().unwrap_or(name))
}

/// Runs a program that is dpkg or shows what dpkg prints. `action` completes "cannot …" where dpkg does not say which
/// script failed.
///
/// # Errors
/// It does not end with status 0.
pub fn run(sandbox: &mut Sandbox, arguments: &[&str], action: &str, line: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let mut failure = Failure::default();
    let exit = sandbox.run(arguments, &[], &mut |text| {
        failure.read(text);
        line(text);
    })?;
    if exit.status.success() {
        return Ok(());
    }
    match failure.into_error() {
        Some(error) => Err(error),
        None => exit.check(|| action.to_owned()),
    }
}

/// Picks the failing script and what it printed out of dpkg's output.
#[derive(Default)]
struct Failure {
    /// Lines since the last package's turn began.
    recent: Vec<String>,
    package: Option<String>,
    found: Option<(String, String, Vec<String>)>,
}

impl Failure {
    fn read(&mut self, line: &str) {
        if self.found.is_some() {
            return;
        }
        if let Some(rest) = line.strip_prefix("dpkg: error processing ") {
            let rest = rest.strip_prefix("package ").or(rest.strip_prefix("archive ")).unwrap_or(rest);
            // Of an archive its file: `…/PKG_ARCH.deb`.
            let file = rest.split(' ').next().and_then(|word| word.rsplit('/').next());
            self.package = file.and_then(|file| file.split('_').next()).map(str::to_owned);
        } else if let Some(package) = self.package.take() {
            // The line after names script and status: "installed X package post-installation script subprocess
            // returned error exit status 1" (older: "subprocess installed post-installation script …").
            let script = [
                ("pre-installation", "preinst"),
                ("post-installation", "postinst"),
                ("pre-removal", "prerm"),
                ("post-removal", "postrm"),
            ];
            let name = script.iter().find(|(words, _)| line.contains(words)).map(|(_, name)| *name);
            let action = match name {
                Some(name) => format!("run the {name} of {package}"),
                None => format!("install {package}"),
            };
            let status = match line.split_once("returned error ") {
                Some((_, status)) => status.to_owned(),
                None => line.trim().to_owned(),
            };
            let from = self.recent.len().saturating_sub(12);
            self.found = Some((action, status, self.recent.split_off(from)));
        } else {
            if configured(line).is_some() || line.starts_with("Unpacking ") || line.starts_with("Processing triggers") {
                self.recent.clear();
            }
            self.recent.push(line.to_owned());
        }
    }

    fn into_error(self) -> Option<Error> {
        self.found.map(|(action, status, tail)| Error::Failed { action, status, tail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failing_scripts_are_named() {
        let mut failure = Failure::default();
        for line in [
            "Setting up good (1.0) ...",
            "noise of good",
            "Setting up bad:amd64 (2.0) ...",
            "cannot find the thing",
            "dpkg: error processing package bad:amd64 (--configure):",
            " installed bad:amd64 package post-installation script subprocess returned error exit status 7",
            "Errors were encountered while processing:",
        ] {
            failure.read(line);
        }
        let text = failure.into_error().unwrap().to_string();
        assert!(text.starts_with("cannot run the postinst of bad:amd64: exit status 7"), "{text}");
        assert!(text.contains("| cannot find the thing") && !text.contains("noise of good"), "{text}");

        let mut failure = Failure::default();
        for line in [
            "Preparing to unpack .../rootstrap/bad_amd64.deb ...",
            "alas",
            "dpkg: error processing archive /var/cache/apt/archives/rootstrap/bad_amd64.deb (--unpack):",
            " new bad package pre-installation script subprocess returned error exit status 9",
        ] {
            failure.read(line);
        }
        let text = failure.into_error().unwrap().to_string();
        assert!(text.starts_with("cannot run the preinst of bad: exit status 9"), "{text}");
        assert_eq!(configured("Setting up libc6:amd64 (2.36) ..."), Some("libc6"));
        assert_eq!(configured("Setting  up"), None);
    }
}
