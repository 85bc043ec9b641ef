//! Rust source as `tidy` reads it: what is code, what is a string, what is a comment, where the tests begin.

/// What to keep of a file; everything else becomes blanks, so lines and columns stay where they were.
#[derive(Clone, Copy, PartialEq)]
pub enum Keep {
    /// Code without the contents of strings.
    Code,
    /// Code and strings.
    CodeAndStrings,
}

/// The text with comments, and strings if asked, blanked out.
pub fn keep(text: &str, keep: Keep) -> String {
    let bytes = text.as_bytes();
    let mut kept = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let (length, shown) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), false)
        } else if rest.starts_with("/*") {
            (block_comment(rest), false)
        } else if let Some(length) = string(rest, &text[..at]) {
            (length, keep == Keep::CodeAndStrings)
        } else {
            (rest.chars().next().map_or(1, char::len_utf8), true)
        };
        let piece = &rest[..length];
        if shown {
            kept.push_str(piece);
        } else {
            kept.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        at += length;
    }
    kept
}

/// The line, from 0, on which a file's unit tests begin; past its end if it has none.
pub fn tests_begin(text: &str) -> usize {
    text.lines().position(|line| line.starts_with("#[cfg(test)]")).unwrap_or(text.lines().count())
}

/// Whether `word` stands in `line` with no letter or digit on either side.
pub fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let free = |c: Option<char>| !c.is_some_and(char::is_alphanumeric);
        free(line[..at].chars().next_back()) && free(line[at + word.len()..].chars().next())
    })
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of the string or character literal that begins here, if one does; a lifetime is none.
fn string(text: &str, before: &str) -> Option<usize> {
    let in_word = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    let body = if in_word { text } else { text.strip_prefix(['b', 'c']).unwrap_or(text) };
    let prefix = text.len() - body.len();
    if let Some(raw) = body.strip_prefix('r').filter(|_| !in_word) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let open = raw[hashes..].strip_prefix('"')?;
        let close = format!("\"{}", "#".repeat(hashes));
        let end = open.find(&close).map_or(open.len(), |end| end + close.len());
        return Some(prefix + 1 + hashes + 1 + end);
    }
    if body.starts_with('"') {
        return Some(prefix + closed(body, '"'));
    }
    if let Some(inside) = body.strip_prefix('\'') {
        let mut characters = inside.chars();
        let first = characters.next()?;
        let is_character = first == '\\' || characters.next() == Some('\'');
        return is_character.then(|| prefix + closed(body, '\''));
    }
    None
}

/// The length of a literal up to its closing quote.
fn closed(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_go_strings_as_asked() {
        let cases = [
            ("a // b\nc", "a     \nc", "a     \nc"),
            ("/* x /* y */ z */k", "                 k", "                 k"),
            ("f(\"a // b\")", "f(        )", "f(\"a // b\")"),
            ("r#\"a\"b\"#;x", "        ;x", "r#\"a\"b\"#;x"),
            ("b\"\\\"q\" k", "       k", "b\"\\\"q\" k"),
            ("'\"' k", "    k", "'\"' k"),
            ("'\\'' k", "     k", "'\\'' k"),
            ("&'a str, 'b'", "&'a str,    ", "&'a str, 'b'"),
            ("for\"x\"", "for   ", "for\"x\""),
            ("\"open", "     ", "\"open"),
        ];
        for (text, code, both) in cases {
            assert_eq!(keep(text, Keep::Code), code, "{text}");
            assert_eq!(keep(text, Keep::CodeAndStrings), both, "{text}");
        }
    }

    #[test]
    fn words() {
        assert!(has_word("is_sid(x)", "sid"));
        assert!(has_word("sid", "sid"));
        assert!(!has_word("setsid aside sids", "sid"));
    }

    #[test]
    fn where_tests_begin() {
        assert_eq!(tests_begin("a\nb\n#[cfg(test)]\nmod tests;\n"), 2);
        assert_eq!(tests_begin("a\n    #[cfg(test)]\n"), 2);
    }
}
