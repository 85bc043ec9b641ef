//! `rootstrap translate`: prints what a command line of another program is for rootstrap.

use super::outcome::usage;
use crate::args::PeerArgs;
use crate::debootstrap::{self, CommandLine};
use crate::mmdebstrap::{self, Translated};
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

/// Prints the command line, and returns the exit status.
pub(crate) fn run(args: &PeerArgs) -> u8 {
    let Some((program, words)) = args.arguments.split_first() else {
        return usage("no command line is named\nhint: rootstrap translate -- mmdebstrap SUITE TARGET");
    };
    let mut notes = Vec::new();
    let arguments = match Path::new(program).file_name().and_then(|name| name.to_str()) {
        Some("debootstrap") => of_debootstrap(words, &mut notes),
        Some("mmdebstrap") => mmdebstrap::translate(words, &mut notes).and_then(|translated| match translated {
            Translated::Arguments(arguments) => Ok(arguments),
            Translated::Text(_) => Err("this asks for a text only".to_owned()),
        }),
        _ => Err("only command lines of debootstrap and mmdebstrap can be translated".to_owned()),
    };
    let arguments = match arguments {
        Ok(arguments) => arguments,
        Err(problem) => return usage(&problem),
    };
    for note in notes {
        let _ = writeln!(std::io::stderr(), "note: {note}");
    }
    let words: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
    let text = format!("rootstrap {}\n", words.join(" "));
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => 0,
        Err(error) => usage(&format!("cannot write to standard output: {error}")),
    }
}

fn of_debootstrap(words: &[OsString], notes: &mut Vec<String>) -> Result<Vec<String>, String> {
    let line = CommandLine::parse(words)?;
    if !line.makes_system() {
        return Err("only command lines that make a system can be translated".to_owned());
    }
    notes.extend(line.unused.iter().map(|option| format!("{option} decides nothing here")));
    line.to_rootstrap(&debootstrap::host())
}

/// Returns a word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=+:,./@%^".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_shell_reads_words_as_they_are() {
        assert_eq!(quoted("--include=a,b"), "--include=a,b");
        assert_eq!(quoted("deb http://m x"), "'deb http://m x'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
