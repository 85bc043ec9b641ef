//! Other programs whose place this one takes.

use std::ffi::OsString;
use std::path::Path;

/// Returns the arguments for the program `name`, if this program was started by that name, as by a link, or with that name as its command.
pub(crate) fn words_of<'a>(arguments: &'a [OsString], name: &str) -> Option<&'a [OsString]> {
    let [program, rest @ ..] = arguments else { return None };
    if Path::new(program).file_name().is_some_and(|file| file == name) {
        return Some(rest);
    }
    match rest {
        [command, rest @ ..] if command == name => Some(rest),
        _ => None,
    }
}
