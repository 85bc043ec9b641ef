//! Runs the target's own dpkg: it configures the packages, and unpacks those that this program leaves to it.

use crate::error::Error;
use crate::output::LastLines;
use crate::sandbox::Sandbox;

/// dpkg's own configuration sets the log file, but may not be in place yet.
const LOG: &str = "--log=/var/log/dpkg.log";

/// A conffile that is there before its package stays, without a question. dpkg tells scripts what it is forced to do (`DPKG_FORCE`), and
/// ucf(1) would take `confold` alone to mean that no package may renew its own generated file; `confdef` leaves that to ucf.
const CONFFILES: &str = "--force-confdef,confold";

/// The arguments before the names of the first packages. Dependencies are not enforced, because these packages need each
/// other.
pub const CONFIGURE_FIRST: [&str; 4] = [LOG, "--force-depends", CONFFILES, "--configure"];

/// The arguments that configure everything.
pub const CONFIGURE_ALL: [&str; 4] = [LOG, CONFFILES, "--configure", "-a"];

/// The arguments before the names of .deb files. Triggers wait until the phase is configured, as the triggers of packages
/// do that are unpacked without dpkg.
pub const UNPACK: [&str; 6] = [LOG, "--force-depends", CONFFILES, "--force-unsafe-io", "--no-triggers", "--unpack"];

/// Configures `packages` without regard to dependencies: the first packages of a system need each other.
///
/// # Errors
/// A script fails.
pub fn configure(sandbox: &mut Sandbox, packages: &[&str], line: &mut dyn FnMut(&str)) -> Result<(), Error> {
    if packages.is_empty() {
        return Ok(());
    }
    run(sandbox, &[&["dpkg"], &CONFIGURE_FIRST[..], packages].concat(), "configure the first packages", line)
}

/// Configures every package that is unpacked, and runs the triggers.
///
/// # Errors
/// A script fails.
pub fn configure_all(sandbox: &mut Sandbox, line: &mut dyn FnMut(&str)) -> Result<(), Error> {
    run(sandbox, &[&["dpkg"], &CONFIGURE_ALL[..]].concat(), "configure the packages", line)
}

/// Unpacks the .deb files at these paths in the root.
///
/// # Errors
/// dpkg refuses a package, or a script fails.
pub fn unpack(sandbox: &mut Sandbox, debs: &[&str], line: &mut dyn FnMut(&str)) -> Result<(), Error> {
    run(sandbox, &[&["dpkg"], &UNPACK[..], debs].concat(), "unpack with the target's dpkg", line)
}

/// Returns the package that dpkg starts to configure, if this line of its output says so.
#[must_use]
pub fn configured(line: &str) -> Option<&str> {
    let name = line.strip_prefix("Setting up ")?.split(' ').next()?;
    Some(name.split(':').next().unwrap_or(name))
}

/// Runs dpkg, or a program that passes on what dpkg prints. If it fails and dpkg names no script, the error says "cannot
/// `action`".
///
/// # Errors
/// The program does not end with status 0.
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

/// Finds the failing script and what it printed in dpkg's output.
#[derive(Default)]
struct Failure {
    /// The last lines since dpkg turned to the present package.
    recent: LastLines,
    /// The package of dpkg's error message, until the line that follows it.
    package: Option<String>,
    /// The first failure: action, status, and last lines of output.
    found: Option<(String, String, Vec<String>)>,
}

impl Failure {
    fn read(&mut self, line: &str) {
        if self.found.is_some() {
            return;
        }
        if let Some((before, rest)) = line.split_once("dpkg: error processing ") {
            // A script whose output does not end with a newline leaves its last words in the same line.
            if !before.is_empty() {
                self.recent.push(before);
            }
            let rest = rest.strip_prefix("package ").or(rest.strip_prefix("archive ")).unwrap_or(rest);
            // For an archive dpkg names the file: `…/PACKAGE_ARCHITECTURE.deb`.
            let file = rest.split(' ').next().and_then(|word| word.rsplit('/').next());
            self.package = file.and_then(|file| file.split('_').next()).map(str::to_owned);
        } else if let Some(package) = self.package.take() {
            // The line after the error names script and status: "installed X package post-installation script subprocess
            // returned error exit status 1" (older dpkg: "subprocess installed post-installation script …").
            let script = script_in(line);
            let action = match script {
                Some(script) => format!("run the {script} of {package}"),
                None => format!("install {package}"),
            };
            let status = match (line.split_once("returned error "), line.split_once("was killed by signal ")) {
                (Some((_, status)), _) => status.to_owned(),
                // dpkg names the signal in words.
                (None, Some((_, signal))) if signal.starts_with("(Killed)") => "killed by signal 9".to_owned(),
                (None, Some((_, signal))) => format!("killed by signal {signal}"),
                (None, None) => line.trim().to_owned(),
            };
            self.found = Some((action, status, std::mem::take(&mut self.recent).into()));
        } else {
            if configured(line).is_some() || line.starts_with("Unpacking ") || line.starts_with("Processing triggers") {
                self.recent.clear();
            }
            self.recent.push(line);
        }
    }

    fn into_error(self) -> Option<Error> {
        self.found.map(|(action, status, tail)| Error::Failed { action, status, tail })
    }
}

/// Returns the script that a line of dpkg's output describes.
fn script_in(line: &str) -> Option<&'static str> {
    let scripts = [
        ("pre-installation", "preinst"),
        ("post-installation", "postinst"),
        ("pre-removal", "prerm"),
        ("post-removal", "postrm"),
    ];
    scripts.iter().find(|(words, _)| line.contains(words)).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_after(output: &[&str]) -> String {
        let mut failure = Failure::default();
        output.iter().for_each(|line| failure.read(line));
        failure.into_error().unwrap().to_string()
    }

    #[test]
    fn the_error_names_the_failing_script() {
        let text = error_after(&[
            "Setting up good (1.0) ...",
            "noise of good",
            "Setting up bad:amd64 (2.0) ...",
            "cannot find the thing",
            "dpkg: error processing package bad:amd64 (--configure):",
            " installed bad:amd64 package post-installation script subprocess returned error exit status 7",
            "Errors were encountered while processing:",
        ]);
        assert!(text.starts_with("cannot run the postinst of bad:amd64: exit status 7"), "{text}");
        assert!(text.contains("| cannot find the thing") && !text.contains("noise of good"), "{text}");

        let text = error_after(&[
            "Preparing to unpack .../rootstrap/bad_amd64.deb ...",
            "alas",
            "dpkg: error processing archive /var/cache/apt/archives/rootstrap/bad_amd64.deb (--unpack):",
            " new bad package pre-installation script subprocess returned error exit status 9",
        ]);
        assert!(text.starts_with("cannot run the preinst of bad: exit status 9"), "{text}");

        let text = error_after(&[
            "Setting up bad (2.0) ...",
            "no newline at the enddpkg: error processing package bad (--configure):",
            " installed bad package post-installation script subprocess returned error exit status 3",
        ]);
        assert!(text.starts_with("cannot run the postinst of bad: exit status 3"), "{text}");
        assert!(text.ends_with("| no newline at the end"), "{text}");

        for (signal, said) in
            [("(Killed)", "9"), ("(Segmentation fault), core dumped", "(Segmentation fault), core dumped")]
        {
            let text = error_after(&[
                "dpkg: error processing package bad (--configure):",
                &format!(" installed bad package post-installation script subprocess was killed by signal {signal}"),
            ]);
            assert_eq!(text, format!("cannot run the postinst of bad: killed by signal {said}"));
        }
        assert_eq!(configured("Setting up libc6:amd64 (2.36) ..."), Some("libc6"));
        assert_eq!(configured("Setting  up"), None);
    }
}
