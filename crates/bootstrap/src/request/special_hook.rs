//! The special hooks of mmdebstrap(1), which copy files into the root or out of it, as commands for the shell.
//!
//! The root's own programs read and write the files of the root, below chroot(8): so no link of the root leads out of it.

/// Returns the command for the shell that does what a special hook says; `None` if the first word names none. The path of the root is `$1`.
///
/// # Errors
/// The words after the name do not fit it.
pub(super) fn command(text: &str) -> Option<Result<String, String>> {
    let mut words = text.split_whitespace();
    let name = words.next()?;
    let words: Vec<String> = words.map(quoted).collect();
    let made = match (name, words.as_slice()) {
        ("upload", [from, to]) => format!("chroot \"$1\" /bin/sh -c 'cat > \"$1\"' sh {to} < {from}"),
        ("download", [from, to]) => format!("chroot \"$1\" cat {from} > {to}"),
        ("tar-in", [from, to]) => format!("chroot \"$1\" tar --no-same-owner -C {to} -xf - < {from}"),
        ("tar-out", [from, to]) => format!("chroot \"$1\" tar -C {from} -cf - . > {to}"),
        ("sync-in", [from, to]) => format!("tar -C {from} -cf - . | chroot \"$1\" tar --no-same-owner -C {to} -xf -"),
        ("sync-out", [from, to]) => format!("chroot \"$1\" tar -C {from} -cf - . | tar --no-same-owner -C {to} -xf -"),
        ("copy-in", [from @ .., to]) if !from.is_empty() => each(from, |from| {
            format!(
                "tar -C \"$(dirname {from})\" -cf - \"$(basename {from})\" | chroot \"$1\" tar --no-same-owner -C {to} -xf -"
            )
        }),
        ("copy-out", [from @ .., to]) if !from.is_empty() => each(from, |from| {
            format!(
                "chroot \"$1\" tar -C \"$(dirname {from})\" -cf - \"$(basename {from})\" | tar --no-same-owner -C {to} -xf -"
            )
        }),
        ("upload" | "download" | "tar-in" | "tar-out" | "sync-in" | "sync-out", _) => {
            return Some(Err(format!("{name} needs two paths")));
        }
        ("copy-in" | "copy-out", _) => return Some(Err(format!("{name} needs paths and a directory"))),
        _ => return None,
    };
    Some(Ok(made))
}

/// Returns commands for all of `paths`, of which each has to succeed.
fn each(paths: &[String], command: impl Fn(&String) -> String) -> String {
    paths.iter().map(command).collect::<Vec<_>>().join(" && ")
}

/// Returns a word that the shell takes as it is.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_hooks_become_commands() {
        for (text, part) in [
            ("upload a b", "sh 'b' < 'a'"),
            ("download  /b it's", "cat '/b' > 'it'\\''s'"),
            ("copy-in x $(y) /z", "\"$(basename '$(y)')\""),
            ("copy-out /x /y z", " && "),
            ("tar-in a.tar /", "-C '/' -xf - < 'a.tar'"),
        ] {
            assert!(command(text).unwrap().unwrap().contains(part), "{text}");
        }
        for text in ["upload a", "copy-in a", "sync-in a b c"] {
            assert!(command(text).unwrap().is_err(), "{text}");
        }
        for text in ["echo upload", "", "copy a b", "upload-it a b"] {
            assert!(command(text).is_none(), "{text}");
        }
    }
}
