//! Text of mirrors, archives and scripts on a terminal, which must not obey it.

use std::borrow::Cow;

/// Returns `text` with control characters escaped, but for the ends of its lines and tabs.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let is_hidden = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    text.chars().map(|c| if is_hidden(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// The same for text that is one line.
pub(crate) fn visible_line(text: &str) -> Cow<'_, str> {
    let text = visible(text);
    if text.contains('\n') { text.replace('\n', "\\n").into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        for (text, seen) in [
            ("libc6 2.41-1\n\tall right", "libc6 2.41-1\n\tall right"),
            ("\x1b]0;title\x07\x1b[2J", "\\u{1b}]0;title\\u{7}\\u{1b}[2J"),
            ("\u{9b}2Jé\r\x7f\0", "\\u{9b}2Jé\\r\\u{7f}\\u{0}"),
        ] {
            assert_eq!(visible(text), seen);
        }
        assert_eq!(visible_line("a\nerror: b"), "a\\nerror: b");
    }
}
