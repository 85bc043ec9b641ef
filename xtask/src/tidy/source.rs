//! Rust source as `tidy` reads it: code without comments, strings or tests, and its tokens.
//!
//! This is no parser of Rust. It knows just enough for the rules, and for source that rustfmt has formatted.

/// What to keep of a file; everything else becomes blanks, so lines and columns stay where they were.
#[derive(Clone, Copy, PartialEq)]
pub enum Keep {
    /// Code without the contents of strings.
    Code,
    /// Code and strings.
    CodeAndStrings,
}

/// An identifier, a number, a lifetime or a punctuation mark. `::`, `->` and `=>` are one token each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Token<'t> {
    /// The text of the token.
    pub text: &'t str,
    /// The line, from 0.
    pub line: usize,
}

impl Token<'_> {
    /// Whether this is an identifier, a keyword or a number.
    pub fn is_word(&self) -> bool {
        self.text.starts_with(is_word_character)
    }
}

/// Returns the tokens of code that has neither comments nor strings.
pub fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (line, text) in code.lines().enumerate() {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = |start: usize| {
                let end = rest[start..].find(|c| !is_word_character(c));
                end.map_or(rest.len(), |end| start + end)
            };
            let length = match first {
                '\'' => word(1),
                _ if is_word_character(first) => word(0),
                _ if ["::", "->", "=>"].iter().any(|mark| rest.starts_with(mark)) => 2,
                _ => first.len_utf8(),
            };
            tokens.push(Token { text: &rest[..length], line });
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

fn is_word_character(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the text with blanks in place of comments, tests and, with [`Keep::Code`], strings.
pub fn without_tests(text: &str, keep: Keep) -> String {
    let code = self::keep(text, Keep::Code);
    let mut kept = self::keep(text, keep);
    for (start, end) in test_items(&code) {
        kept.replace_range(start..end, &blank(&kept[start..end]));
    }
    kept
}

/// Returns blanks with as many lines and bytes as the text has.
fn blank(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

/// Returns the number of lines in the tests of a file.
pub fn lines_of_tests(text: &str) -> usize {
    let code = keep(text, Keep::Code);
    test_items(&code).iter().map(|&(start, end)| code[start..end].lines().count()).sum()
}

/// Returns the ranges, in bytes, of the items that are compiled only for tests.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let mut items = Vec::new();
    let mut from = 0;
    while let Some(start) = code[from..].find("#[cfg(").map(|at| from + at) {
        let condition = start + "#[cfg".len();
        let end = condition + group(&code[condition..]);
        from = end;
        if has_word(&code[condition..end], "test") && !code[condition..end].contains("not(test") {
            from = end + item(&code[end..]);
            items.push((start, from));
        }
    }
    items
}

/// Returns the length of the item whose attribute ends at the beginning of `text`. The item ends with a semicolon, with
/// a block, or with the block around it.
fn item(text: &str) -> usize {
    let text = text.strip_prefix(']').unwrap_or(text);
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        match c {
            ';' => return at + 2,
            '{' => return at + group(&text[at..]) + 1,
            '(' | '[' => at += group(&text[at..]),
            ')' | ']' | '}' => return at + 1,
            _ => at += c.len_utf8(),
        }
    }
    at + 1
}

/// Returns the length from the bracket at the beginning of `text` to its closing one.
fn group(text: &str) -> usize {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + c.len_utf8();
        }
    }
    text.len()
}

/// Returns the text with blanks in place of comments and, with [`Keep::Code`], strings.
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
            kept.push_str(&blank(piece));
        }
        at += length;
    }
    kept
}

/// Returns whether `line` contains `word` with no letter or digit on either side.
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

/// Returns the length of the string or character literal that `text` begins with, if it does; a lifetime is none.
/// `before` is the text before it.
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

/// Returns the length of a literal, both quotes included.
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
    fn tests_are_left_out() {
        for (text, kept) in [
            ("a;\n#[cfg(test)]\nmod tests { fn f() {} }\nb;", "a;\n\n\nb;"),
            ("#[cfg(test)]\n#[path = \"x\"]\nmod tests;\nb;", "\n\n\nb;"),
            ("#[cfg(test)]\nfn f(a: [u8; 2]) -> X { é }\nb;", "\n\nb;"),
            ("mod a { #[cfg(test)] x }\nb;", "mod a { }\nb;"),
            ("#[cfg(all(test, unix))]\nfn f() {}\nb;", "\n\nb;"),
            ("#[cfg(not(test))]\nfn f() {}", "#[cfg(not(test))]\nfn f() {}"),
            ("#[cfg(unix)]\nfn f() {}", "#[cfg(unix)]\nfn f() {}"),
        ] {
            let found = without_tests(text, Keep::Code);
            assert_eq!(found.lines().count(), text.lines().count(), "{text}");
            let squeezed: Vec<String> =
                found.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
            assert_eq!(squeezed.join("\n"), kept, "{text}");
        }
    }

    #[test]
    fn code_is_cut_into_tokens() {
        let tokens = tokens("use a::b_1;\nfn f<'a>(x: &'a u8) -> u8 { |_| => 0.5 }");
        let texts: Vec<&str> = tokens.iter().map(|token| token.text).collect();
        let expected = "use a :: b_1 ; fn f < 'a > ( x : & 'a u8 ) -> u8 { | _ | => 0 . 5 }";
        assert_eq!(texts.join(" "), expected);
        assert_eq!((tokens[4].line, tokens[5].line), (0, 1));
        assert!(tokens[0].is_word() && !tokens[2].is_word() && !tokens[8].is_word());
    }
}
