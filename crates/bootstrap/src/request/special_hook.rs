//! The special hooks of mmdebstrap(1), which copy files into the root or out of it.

use std::path::PathBuf;

/// What is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A file, to a file.
    File,
    /// Files and directories, into a directory.
    Trees,
    /// The content of a directory, into a directory.
    Content,
    /// Files and directories as a tar archive of the host.
    Archive,
}

/// A special hook. Relative paths of the root begin at its top, those of the host at the working directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpecialHook {
    /// Whether it copies into the root.
    pub is_in: bool,
    pub form: Form,
    /// What is copied.
    pub from: Vec<PathBuf>,
    /// Where it goes.
    pub to: PathBuf,
}

const NAMES: [(&str, bool, Form); 8] = [
    ("upload", true, Form::File),
    ("download", false, Form::File),
    ("copy-in", true, Form::Trees),
    ("copy-out", false, Form::Trees),
    ("sync-in", true, Form::Content),
    ("sync-out", false, Form::Content),
    ("tar-in", true, Form::Archive),
    ("tar-out", false, Form::Archive),
];

/// Parses a command of which the first word names a special hook; `None` if it does not. The words are quoted as for a shell.
///
/// # Errors
/// The words after the name do not fit it.
pub(crate) fn parse(command: &str) -> Option<Result<SpecialHook, String>> {
    let first = command.split_whitespace().next()?;
    let &(name, is_in, form) = NAMES.iter().find(|(name, ..)| *name == first)?;
    let Some(words) = shlex::split(command) else { return Some(Err(format!("a quote of {name} is not closed"))) };
    let mut paths: Vec<PathBuf> = words.into_iter().skip(1).map(PathBuf::from).collect();
    let to = paths.pop().unwrap_or_default();
    match (form, paths.len()) {
        (Form::Trees, 0) => Some(Err(format!("{name} needs paths and a directory"))),
        (Form::Trees, _) | (_, 1) => Some(Ok(SpecialHook { is_in, form, from: paths, to })),
        _ => Some(Err(format!("{name} needs two paths"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_hooks_are_told_from_commands() {
        let hook = |is_in, form, from: &[&str], to: &str| {
            let from = from.iter().map(PathBuf::from).collect();
            Some(Ok(SpecialHook { is_in, form, from, to: to.into() }))
        };
        assert_eq!(parse("upload a b"), hook(true, Form::File, &["a"], "b"));
        assert_eq!(parse("download  '/it is' \"b\""), hook(false, Form::File, &["/it is"], "b"));
        assert_eq!(parse("copy-in x $(y) /z"), hook(true, Form::Trees, &["x", "$(y)"], "/z"));
        assert_eq!(parse("tar-out /a x.tar"), hook(false, Form::Archive, &["/a"], "x.tar"));
        for text in ["upload a", "copy-in a", "sync-in a b c", "upload 'a b", "download"] {
            assert!(parse(text).unwrap().is_err(), "{text}");
        }
        for text in ["echo upload", "", "copy a b", "upload-it a b"] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
