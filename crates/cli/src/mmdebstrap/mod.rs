//! rootstrap in mmdebstrap's place: its command line becomes one of rootstrap's own.

mod command_line;
mod mirrors;

use crate::peer;
use crate::visible::visible;
use command_line::CommandLine;
use rootstrap_bootstrap::privilege::Invocation;
use std::ffi::OsString;
use std::io::Write;

/// What a command line of mmdebstrap(1) is for rootstrap.
pub(crate) enum Translated {
    /// The arguments of rootstrap, without the program's name.
    Arguments(Vec<String>),
    /// A text that was asked for.
    Text(String),
}

/// Translates the words after the program's name. What has no counterpart and decides nothing is named in `notes`.
///
/// # Errors
/// A message for the user.
pub(crate) fn translate(words: &[OsString], notes: &mut Vec<String>) -> Result<Translated, String> {
    let line = CommandLine::parse(words)?;
    if let Some(text) = line.text {
        return Ok(Translated::Text(text));
    }
    let arguments = line.to_rootstrap(notes)?;
    Ok(Translated::Arguments(arguments))
}

/// Returns the arguments of rootstrap that do what was asked of this program by its own name or by mmdebstrap's, or the exit status if there
/// is nothing left to do.
pub(crate) fn arguments(invocation: &Invocation) -> Result<Vec<OsString>, u8> {
    let Some(words) = peer::words_of(&invocation.arguments, "mmdebstrap") else {
        return Ok(invocation.arguments.clone());
    };
    let mut notes = Vec::new();
    match translate(words, &mut notes) {
        Ok(Translated::Arguments(arguments)) => {
            // The first process has said it.
            for note in notes.iter().filter(|_| invocation.handover.is_none()) {
                let _ = writeln!(std::io::stderr(), "note: {}", visible(note));
            }
            Ok(["rootstrap".into()].into_iter().chain(arguments.into_iter().map(OsString::from)).collect())
        }
        Ok(Translated::Text(text)) => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            Err(0)
        }
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "error: {}", visible(&problem));
            Err(2)
        }
    }
}
