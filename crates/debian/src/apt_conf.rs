//! apt's configuration syntax (apt.conf(5); apt `apt-pkg/contrib/configuration.cc:ReadConfigFile`).
//!
//! Names are levels separated by `::`, whatever their case, and may be written in one piece or as nested blocks. Of several
//! values the last one counts. `#include` is not followed, since it would open a file.

/// Returns the value of `name`, such as `Acquire::http::Proxy`, in these `texts`, which stand in the order in which apt reads
/// the files (`apt.conf.d` sorted by name, then `apt.conf`).
///
/// An option that is set to nothing has the empty value, which apt treats as not set. A statement that apt would refuse is
/// skipped, so that the result is right for what apt accepts.
#[must_use]
pub fn value<'t>(texts: impl IntoIterator<Item = &'t str>, name: &str) -> Option<String> {
    let mut value = None;
    for text in texts {
        let mut reader = Reader { wanted: name, value, parents: Vec::new() };
        statements(text, &mut |statement, end| reader.take(statement, end));
        value = reader.value;
    }
    value
}

/// The character that ends a statement.
#[derive(Clone, Copy)]
enum End {
    /// `;`
    Semicolon,
    /// `{`
    Open,
    /// `}`
    Close,
}

/// Hands every statement of `text` to `take`, without comments and outer blanks. What follows the last end is no statement.
fn statements(text: &str, take: &mut dyn FnMut(&str, End)) {
    let mut statement = String::new();
    let mut is_comment = false;
    for line in text.lines() {
        // A quote ends with its line, as in apt.
        let mut is_quoted = false;
        let mut rest = line;
        while let Some(character) = rest.chars().next() {
            let after = rest.get(character.len_utf8()..).unwrap_or_default();
            if is_comment {
                (is_comment, rest) = match rest.strip_prefix("*/") {
                    Some(after) => (false, after),
                    None => (true, after),
                };
                continue;
            }
            if !is_quoted && (rest.starts_with("//") || is_line_comment(rest)) {
                break;
            }
            if !is_quoted && let Some(after) = rest.strip_prefix("/*") {
                (is_comment, rest) = (true, after);
                continue;
            }
            is_quoted ^= character == '"';
            let end = match character {
                ';' => Some(End::Semicolon),
                '{' => Some(End::Open),
                '}' => Some(End::Close),
                _ => None,
            };
            match end.filter(|_| !is_quoted) {
                Some(end) => {
                    take(statement.trim(), end);
                    statement.clear();
                }
                None => statement.push(character),
            }
            rest = after;
        }
        statement.push(' ');
    }
}

/// Whether `text` begins with a comment that `#` starts: `#clear` and `#include` are statements.
fn is_line_comment(text: &str) -> bool {
    text.starts_with('#') && !text.starts_with("#clear") && !text.starts_with("#include")
}

/// The deepest block that can hold the wanted option. apt allows 20 levels; the bound keeps the stored names short.
const MAX_DEPTH: usize = 20;

/// The state of reading one file.
struct Reader<'n> {
    /// The full name of the option whose value is wanted.
    wanted: &'n str,
    value: Option<String>,
    /// The full names of the open blocks, the innermost last. A block without a name is `None`: apt refuses it, so no option in
    /// it counts.
    parents: Vec<Option<String>>,
}

impl Reader<'_> {
    /// Takes `NAME VALUE`, or `VALUE` alone, which is an entry of a list.
    fn take(&mut self, statement: &str, end: End) {
        let (name, rest) = first_word(statement);
        let (value, junk) = first_word(rest);
        let full = match self.parents.last() {
            None => Some(name.clone()),
            Some(parent) => parent.as_ref().map(|parent| format!("{parent}::{name}")),
        };
        if name.eq_ignore_ascii_case("#clear") {
            if self.parents.is_empty() {
                self.clear(&value);
            }
        } else if !rest.is_empty() && junk.is_empty() && full.as_ref().is_some_and(|full| self.is_wanted(full)) {
            self.value = Some(value);
        }
        match end {
            End::Open => self.parents.push(full.filter(|_| !name.is_empty() && self.parents.len() < MAX_DEPTH)),
            End::Close => drop(self.parents.pop()),
            End::Semicolon => {}
        }
    }

    fn is_wanted(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case(self.wanted)
    }

    /// Forgets the option `name` and all options below it.
    fn clear(&mut self, name: &str) {
        let is_cleared = match (self.wanted.get(..name.len()), self.wanted.get(name.len()..)) {
            (Some(head), Some(tail)) => head.eq_ignore_ascii_case(name) && (tail.is_empty() || tail.starts_with("::")),
            _ => false,
        };
        if is_cleared {
            self.value = None;
        }
    }
}

/// Splits off the first word, which quotes may hold together, and returns it without quotes, and what follows it without
/// leading blanks.
fn first_word(text: &str) -> (String, &str) {
    let mut is_quoted = false;
    let end = text
        .char_indices()
        .find(|(_, character)| {
            is_quoted ^= *character == '"';
            !is_quoted && character.is_whitespace()
        })
        .map_or(text.len(), |(at, _)| at);
    let (word, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    (word.replace('"', ""), rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "Acquire::http::Proxy";

    fn proxy(text: &str) -> Option<String> {
        value([text], PROXY)
    }

    #[test]
    fn every_way_of_writing_an_option_is_understood() {
        for text in [
            "Acquire::http::Proxy \"http://a:3142\";",
            "acquire::HTTP::proxy \"http://a:3142\";",
            "  Acquire::http::Proxy\t\"http://a:3142\" ;\n",
            "Acquire::http::Proxy\n  \"http://a:3142\";",
            "Acquire { http { Proxy \"http://a:3142\"; }; };",
            "Acquire{http{Proxy \"http://a:3142\";};};",
            "Acquire\n{\n  http\n  {\n    Proxy \"http://a:3142\";\n  }\n}\n",
            "Acquire::http { Proxy \"http://a:3142\"; };",
            "Acquire { http::Proxy \"http://a:3142\"; };",
            "Acquire { Retries \"3\"; http { Timeout 5; Proxy \"http://a:3142\" } }",
            "Acquire { https { Proxy \"http://b\"; }; http { Proxy \"http://a:3142\"; }; };",
            "APT { Update { Post-Invoke { \"x\"; \"y;}\"; }; }; };\nAcquire::http::Proxy \"http://a:3142\";",
            "APT::Keep-Fds:: 3; APT::Keep-Fds { 4; 5; }; Acquire::http::Proxy \"http://a:3142\";",
        ] {
            assert_eq!(proxy(text).as_deref(), Some("http://a:3142"), "{text}");
        }
        assert_eq!(proxy("Acquire::http::Proxy DIRECT;").as_deref(), Some("DIRECT"));
        assert_eq!(proxy("Acquire::http::Proxy http://a:3142;"), None, "without quotes it is a comment");
    }

    #[test]
    fn comments_are_no_options() {
        for text in [
            "// Acquire::http::Proxy \"x\";",
            "# Acquire::http::Proxy \"x\";",
            "#Acquire::http::Proxy \"x\";",
            "/* Acquire::http::Proxy \"x\"; */",
            "/*\nAcquire::http::Proxy \"x\";\n*/",
            "/* \" */ // Acquire::http::Proxy \"x\";",
            "Acquire::http::Proxy",
            "Acquire::http::Proxy;",
            "Acquire::http::Proxy \"x\"",
            "Acquire::http::Proxy::host \"x\";",
            "Acquire { ftp { Proxy \"x\"; }; };",
            "Acquire { http { }; Proxy \"x\"; };",
            "Other { Acquire::http::Proxy \"x\"; };",
            "Other { { Acquire::http::Proxy \"x\"; }; };",
            "{ Acquire::http::Proxy \"x\"; };",
            "Acquire::http::Proxy \"x\" y;",
            "",
        ] {
            assert_eq!(proxy(text), None, "{text}");
        }
        for text in [
            "Acquire::http::Proxy \"http://a//b#c/*d\"; // \"x\"",
            "Acquire::http::Proxy /* no */ \"http://a//b#c/*d\"; # x",
            "/* one */ Acquire /* two\n */ { http::Proxy \"http://a//b#c/*d\"; };",
        ] {
            assert_eq!(proxy(text).as_deref(), Some("http://a//b#c/*d"), "{text}");
        }
    }

    #[test]
    fn the_last_value_counts() {
        for (text, expected) in [
            ("Acquire::http::Proxy \"a\"; Acquire { http { Proxy \"b\"; }; };", Some("b")),
            ("Acquire::http::Proxy \"a\"; acquire::http::proxy \"DIRECT\";", Some("DIRECT")),
            ("Acquire::http::Proxy \"a\"; Acquire::http::Proxy \"\";", Some("")),
            ("Acquire::http::Proxy \"a\";\n#clear Acquire::http::Proxy;\n", None),
            ("Acquire::http::Proxy \"a\";\n#clear acquire::HTTP;\n", None),
            ("Acquire::http::Proxy \"a\";\n#clear Acquire;\nAcquire::http::Proxy \"b\";", Some("b")),
            ("Acquire::http::Proxy \"a\";\n#clear Acquire::ht;\n#clear Acquire::http::Proxy::x;\n", Some("a")),
        ] {
            assert_eq!(proxy(text).as_deref(), expected, "{text}");
        }
        let texts = ["Acquire::http::Proxy \"a\"; Acquire { http {", "Acquire::http::Proxy \"b\";", "Other \"x\";"];
        assert_eq!(value(texts, PROXY).as_deref(), Some("b"), "a block that is left open ends with its file");
        assert_eq!(value(["#clear Acquire;", "x 1;"], PROXY), None);
    }

    #[test]
    fn no_text_makes_it_panic() {
        let text = "/* é */ Acquire { http { Proxy \"http://é\"; }; }; // x\n#clear é;\n} } { \"a b\" \"c\" { ;; \u{0} }\n\
                    # y\nA::B:: { \"é\"; };\nAcquire::http::Proxy 'x' y;\n";
        for start in 0..text.len() {
            for end in start..=text.len() {
                let Some(part) = text.get(start..end) else { continue };
                let _ = (value([part], PROXY), value([part, text], ""), value([text, part], "é"));
            }
        }
        for deep in ["{", "a{", "Acquire{http{"] {
            assert_eq!(proxy(&deep.repeat(50_000)), None);
        }
    }
}
