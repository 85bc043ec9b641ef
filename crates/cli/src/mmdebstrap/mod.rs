//! rootstrap in mmdebstrap's place: its command line becomes one of rootstrap's own.

mod command_line;
mod mirrors;

use command_line::CommandLine;
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

/// Returns the arguments of rootstrap that do what `words` ask mmdebstrap for, or the exit status if there is nothing left to do.
pub(crate) fn arguments(words: &[OsString]) -> Result<Vec<OsString>, u8> {
    let mut notes = Vec::new();
    let translated = translate(words, &mut notes);
    let _ = match &translated {
        Err(problem) => writeln!(std::io::stderr(), "error: {}", crate::visible::visible(problem)),
        Ok(Translated::Text(text)) => std::io::stdout().write_all(text.as_bytes()),
        Ok(Translated::Arguments(_)) => {
            notes.iter().try_for_each(|note| writeln!(std::io::stderr(), "note: {}", crate::visible::visible(note)))
        }
    };
    match translated {
        Err(_) => Err(2),
        Ok(Translated::Text(_)) => Err(0),
        Ok(Translated::Arguments(arguments)) => {
            Ok(["rootstrap".into()].into_iter().chain(arguments.into_iter().map(OsString::from)).collect())
        }
    }
}
