//! The files of the host that a hook reads, as far as its command names them.

use crate::error::Error;
use crate::request::special_hook::Form;
use crate::request::{Copy, Hook, TarIn};
use crate::transfer::{copies, tar_in};
use std::path::{Path, PathBuf};

/// The directories of the host's own programs. A new version of one of them makes no other image.
const PROGRAMS: [&str; 6] = ["/bin", "/sbin", "/lib", "/usr/bin", "/usr/sbin", "/usr/lib"];

/// Returns the digests of what a hook of the host reads: what a special hook copies into the root, and of another command the regular files
/// and the directories below the working directory that are words of it. A file that an earlier hook makes is not there yet, and an empty
/// text stands for it.
///
/// # Errors
/// A file that is there cannot be read.
pub(crate) fn digests(hook: &Hook) -> Result<Vec<String>, Error> {
    if hook.is_inside {
        return Ok(Vec::new());
    }
    let (paths, is_archive) = match hook.special() {
        Some(special) if special.is_in => (special.from, special.form == Form::Archive),
        Some(_) => (Vec::new(), false),
        None => (named(&hook.command), false),
    };
    let digest = |path: PathBuf| match path.symlink_metadata() {
        Err(_) => Ok(String::new()),
        Ok(_) if is_archive => tar_in::digest(&TarIn { from: path, to: PathBuf::from("/") }),
        Ok(_) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let copy = Copy { from: path, to: PathBuf::from("/"), mode: None, owner: None };
            Ok(format!("{name} {}", copies::described(&copy)?))
        }
    };
    paths.into_iter().map(digest).collect()
}

/// Returns the files and directories that the words of a command name.
fn named(command: &str) -> Vec<PathBuf> {
    let is_input = |path: &PathBuf| match std::fs::metadata(path) {
        Ok(found) if found.is_file() => !PROGRAMS.iter().any(|programs| path.starts_with(programs)),
        // The host's directories are where commands write, and the working directory has the results.
        Ok(found) => found.is_dir() && path.is_relative() && path.file_name().is_some() && !path.starts_with(".."),
        Err(_) => false,
    };
    let words = shlex::split(command).unwrap_or_default();
    let relative =
        |word: String| Path::new(&word).strip_prefix(".").map(Path::to_owned).unwrap_or(PathBuf::from(&word));
    words.into_iter().map(relative).filter(is_input).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(command: &str) -> Vec<String> {
        digests(&Hook::parse(&format!("customize={command}")).unwrap()).unwrap()
    }

    #[test]
    fn what_a_hook_reads_is_what_its_command_names() {
        let directory = tempfile::tempdir().unwrap();
        let (script, conf) = (directory.path().join("setup.sh"), directory.path().join("conf"));
        std::fs::create_dir(&conf).unwrap();
        std::fs::write(&script, "one").unwrap();
        std::fs::write(conf.join("a"), "x").unwrap();
        let (script, conf) = (script.display().to_string(), conf.display().to_string());
        let commands = [
            format!("sh '{script}' \"$1\" /usr/bin/env"),
            format!("upload {script} /x"),
            format!("copy-in {conf} /etc"),
            format!("sync-in {conf} /etc"),
            format!("tar-in {script} /"),
        ];
        let before: Vec<_> = commands.iter().map(|command| of(command)).collect();
        assert!(before.iter().all(|digests| digests.len() == 1), "{before:?}");
        std::fs::write(&script, "two").unwrap();
        std::fs::write(Path::new(&conf).join("b"), "x").unwrap();
        for (command, before) in commands.iter().zip(before) {
            assert_ne!(of(command), before, "{command}");
        }
        // Where commands write, what leaves the root, and what another hook has yet to make.
        assert_eq!(of("cp x /etc /"), [""; 0]);
        assert_eq!(of("copy-out /etc ."), [""; 0]);
        assert_eq!(of("ls . .."), [""; 0]);
        assert_eq!(of(&format!("upload {script}.new /x")), [""]);
        let inside = Hook::parse(&format!("@customize=cat {script}")).unwrap();
        assert_eq!(digests(&inside).unwrap(), [""; 0]);
    }
}
