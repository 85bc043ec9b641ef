//! The user's own commands at certain moments of a build.

use crate::error::Error;
use crate::request::special_hook::{self, SpecialHook};
use rootstrap_debian::digest::Digest;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// When a hook runs: the moments of mmdebstrap(1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// The root is an empty directory.
    Setup,
    /// The packages of the first phase are unpacked, and none of their scripts has run.
    Extract,
    /// They are configured.
    Essential,
    /// All packages are installed, and apt has its sources.
    Customize,
}

impl Moment {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::Setup, Self::Extract, Self::Essential, Self::Customize];

    /// Returns its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Extract => "extract",
            Self::Essential => "essential",
            Self::Customize => "customize",
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A command and its moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// When it runs.
    pub moment: Moment,
    /// Whether the root's own shell runs it, in the sandbox. Otherwise a shell of the host does, with the path of the root as `$1`.
    pub is_inside: bool,
    /// The command for the shell.
    pub command: String,
    /// The file of a directory of hooks that the command runs.
    pub file: Option<PathBuf>,
}

impl Hook {
    /// Parses `MOMENT=COMMAND`, or `@MOMENT=COMMAND` for one that the root's own shell runs.
    ///
    /// # Errors
    /// The text has another form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (is_inside, rest) = text.strip_prefix('@').map_or((false, text), |rest| (true, rest));
        let (name, command) = rest.split_once('=').ok_or("it must be STAGE=COMMAND")?;
        let moment = Moment::ALL.into_iter().find(|moment| moment.name() == name);
        let names = Moment::ALL.map(Moment::name).join(", ");
        let moment = moment.ok_or_else(|| format!("the stages are {names}, each also with @ before it"))?;
        if !is_inside {
            special_hook::parse(command).transpose()?;
        }
        match command.trim() {
            "" => Err("it has no command".to_owned()),
            command => Ok(Self { moment, is_inside, command: command.to_owned(), file: None }),
        }
    }

    /// Returns the hooks of a directory, in the order of their names: executable files whose names begin with that of a stage, as
    /// mmdebstrap(1) has them.
    ///
    /// # Errors
    /// The directory cannot be read, has no hook, or has one that cannot be executed.
    pub fn in_directory(directory: &Path) -> Result<Vec<Self>, Error> {
        let bad = |path: &Path, reason: String| Error::Hook { command: path.display().to_string(), reason };
        let entries = std::fs::read_dir(directory).map_err(|error| bad(directory, error.to_string()))?;
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry.map_err(|error| bad(directory, error.to_string()))?.path());
        }
        paths.sort();
        let mut found = Vec::new();
        for moment in Moment::ALL {
            let is_of = |path: &&PathBuf| {
                path.file_name().is_some_and(|name| name.as_bytes().starts_with(moment.name().as_bytes()))
            };
            for path in paths.iter().filter(is_of) {
                check_program(path)?;
                let text = path.to_str().ok_or_else(|| bad(path, "its name is not text in UTF-8".to_owned()))?;
                let command = format!("exec {} \"$1\"", quoted(text));
                found.push(Self { moment, is_inside: false, command, file: Some(path.clone()) });
            }
        }
        match found.is_empty() {
            true => Err(bad(directory, "it has no file whose name begins with that of a stage".to_owned())),
            false => Ok(found),
        }
    }

    /// Returns its stage and the digest of its command, or name and digest of its file. A command may have a secret in it, and where files
    /// are on the host concerns nobody else.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn described(&self) -> Result<String, Error> {
        let (name, bytes) = match &self.file {
            None => (String::new(), self.command.as_bytes().to_vec()),
            Some(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned() + " ";
                (name, std::fs::read(path).map_err(Error::io("read", path))?)
            }
        };
        let digest = Digest::Sha256(Sha256::digest(&bytes).into());
        Ok(format!("{}{}={name}sha256:{digest}", if self.is_inside { "@" } else { "" }, self.moment))
    }

    /// Returns what the shell of the host runs. A single word, and the path of an executable file, is a program that gets the path of the
    /// root as its argument, as in mmdebstrap(1).
    pub(crate) fn shell_command(&self) -> String {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
        let path = Path::new(&self.command);
        match self.command.chars().all(is_plain) || check_program(path).is_ok() {
            true => format!("exec {} \"$1\"", quoted(&self.command)),
            false => self.command.clone(),
        }
    }

    /// Returns what rootstrap itself copies, if the command is a special hook.
    pub(crate) fn special(&self) -> Option<SpecialHook> {
        special_hook::parse(&self.command).filter(|_| !self.is_inside).and_then(Result::ok)
    }

    /// Refuses a command that names a file which is not there or cannot be executed, before anything is fetched.
    ///
    /// # Errors
    /// As it says.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if check_program(Path::new(&self.command)).is_ok() {
            return Ok(());
        }
        let first = self.command.split_whitespace().next().unwrap_or_default();
        let is_path = ["/", "./", "../"].iter().any(|start| first.starts_with(start));
        let is_plain = first.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+".contains(c));
        if self.is_inside || !is_path || !is_plain { Ok(()) } else { check_program(Path::new(first)) }
    }
}

/// Returns one word of the shell, whatever the text has.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn check_program(path: &Path) -> Result<(), Error> {
    let bad = |reason: String| Err(Error::Hook { command: path.display().to_string(), reason });
    match std::fs::metadata(path) {
        Err(error) => bad(error.to_string()),
        Ok(found) if !found.is_file() => bad("it is not a file".to_owned()),
        Ok(found) if found.permissions().mode() & 0o111 == 0 => bad("it is not executable".to_owned()),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_have_a_moment_and_a_command() {
        let hook = Hook::parse("customize=echo a=b").unwrap();
        assert_eq!((hook.moment, hook.is_inside, hook.command.as_str()), (Moment::Customize, false, "echo a=b"));
        assert!(Hook::parse("@essential=true").unwrap().is_inside);
        for (text, why) in [("customize", "STAGE=COMMAND"), ("late=true", "the stages are"), ("setup= ", "no command")]
        {
            assert!(Hook::parse(text).unwrap_err().contains(why), "{text}");
        }
    }

    #[test]
    fn a_single_word_is_a_program() {
        for (command, runs) in [
            ("/a/b.sh", "exec '/a/b.sh' \"$1\""),
            ("eatmydata", "exec 'eatmydata' \"$1\""),
            ("touch x", "touch x"),
            ("true;", "true;"),
            ("$x", "$x"),
        ] {
            let hook = Hook::parse(&format!("setup={command}")).unwrap();
            assert_eq!(hook.shell_command(), runs);
        }
    }

    #[test]
    fn programs_are_looked_for() {
        let check = |command: &str| {
            Hook { moment: Moment::Setup, is_inside: false, command: command.to_owned(), file: None }.check()
        };
        assert!(check("/bin/sh -c true").is_ok() && check("no-such-program").is_ok() && check("[ -e x ]").is_ok());
        for (command, why) in [("./none x", "No such file"), ("/etc/passwd", "not executable"), ("/etc", "not a file")]
        {
            assert!(check(command).unwrap_err().to_string().contains(why), "{command}");
        }
    }
}
