//! Shell patterns (fnmatch(3)), as dpkg and apt match paths, names and versions with them.

/// Whether a whole text matches a shell pattern, as POSIX's `fnmatch` decides without flags in the locale C.UTF-8. `*` also matches slashes.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let characters = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(|text| text.chars().collect::<Vec<char>>());
    let (pattern, text) = match (characters(pattern), characters(text)) {
        (Some(pattern), Some(text)) => (pattern, text),
        // The text has another encoding, so every byte counts as one character.
        _ => (pattern.iter().copied().map(char::from).collect(), text.iter().copied().map(char::from).collect()),
    };
    let (mut rest, mut left) = (pattern.as_slice(), text.as_slice());
    // The pattern after the last star, and the text at which that pattern was last tried.
    let mut star: Option<(&[char], &[char])> = None;
    loop {
        if let Some(('*', after)) = rest.split_first().map(|(first, after)| (*first, after)) {
            (rest, star) = (after, Some((after, left)));
            continue;
        }
        match (rest.is_empty(), left.split_first()) {
            (true, None) => return true,
            (false, Some((&character, others))) => {
                if let Some(after) = match_one(rest, character) {
                    (rest, left) = (after, others);
                    continue;
                }
            }
            _ => {}
        }
        // It does not match, so the last star takes one character more.
        let Some((after, tried)) = star else { return false };
        let Some((_, others)) = tried.split_first() else { return false };
        (rest, left, star) = (after, others, Some((after, others)));
    }
}

/// Matches the first element of the pattern, which is no star, with `character`. Returns the rest of the pattern if they match.
fn match_one(pattern: &[char], character: char) -> Option<&[char]> {
    let (first, after) = pattern.split_first()?;
    match first {
        '?' => Some(after),
        '\\' => after.split_first().filter(|(escaped, _)| **escaped == character).map(|(_, after)| after),
        '[' => match bracket(after, character) {
            Some((fits, after)) => fits.then_some(after),
            // A bracket that is never closed is an ordinary character.
            None => (character == '[').then_some(after),
        },
        first => (*first == character).then_some(after),
    }
}

/// Matches a bracket expression, whose `[` has been read. Returns whether it matches `character`, and the pattern after it;
/// `None` if it is never closed.
fn bracket(pattern: &[char], character: char) -> Option<(bool, &[char])> {
    let negated = matches!(pattern.first(), Some('!' | '^'));
    let mut rest = pattern.get(usize::from(negated)..)?;
    let (mut fits, mut begun) = (false, false);
    loop {
        let (&first, after) = rest.split_first()?;
        if first == ']' && begun {
            return Some((fits != negated, after));
        }
        begun = true;
        if first == '['
            && let Some((name, after)) = class(after)
        {
            fits |= is_of_class(&name, character);
            rest = after;
            continue;
        }
        let (low, after) = if first == '\\' { after.split_first().map(|(c, r)| (*c, r))? } else { (first, after) };
        rest = after;
        let mut high = low;
        if let Some(('-', end)) = after.split_first().map(|(c, r)| (*c, r))
            && let Some((&last, after)) = end.split_first()
            && last != ']'
        {
            (high, rest) = if last == '\\' { after.split_first().map(|(c, r)| (*c, r))? } else { (last, after) };
        }
        fits |= (low..=high).contains(&character);
    }
}

/// Reads `:alpha:]`. Returns the name of the class and the pattern after it.
fn class(pattern: &[char]) -> Option<(String, &[char])> {
    let inner = pattern.strip_prefix(&[':'])?;
    let end = inner.windows(2).position(|pair| pair == [':', ']'])?;
    let name: String = inner.get(..end)?.iter().collect();
    name.bytes().all(|b| b.is_ascii_lowercase()).then_some((name, inner.get(end + 2..)?))
}

fn is_of_class(name: &str, character: char) -> bool {
    match name {
        "alpha" => character.is_alphabetic(),
        "digit" => character.is_ascii_digit(),
        "alnum" => character.is_alphanumeric(),
        "upper" => character.is_uppercase(),
        "lower" => character.is_lowercase(),
        "space" => character.is_whitespace(),
        "blank" => matches!(character, ' ' | '\t'),
        "punct" => character.is_ascii_punctuation(),
        "cntrl" => character.is_control(),
        "xdigit" => character.is_ascii_hexdigit(),
        "graph" => !character.is_control() && !character.is_whitespace(),
        "print" => !character.is_control(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_fnmatch_does() {
        for (pattern, fits, fits_not) in [
            (
                "/usr/share/doc/*",
                &["/usr/share/doc/a", "/usr/share/doc/a/b", "/usr/share/doc/"][..],
                &["/usr/share/doc"][..],
            ),
            ("*/copyright", &["/copyright", "/a/b/copyright"], &["copyright", "/copyright/x", "/xcopyright"]),
            ("/a?c", &["/abc", "/a/c", "/aéc"], &["/ac", "/abbc"]),
            ("/[a-c]*[!x]", &["/ab", "/c/y"], &["/a", "/d1", "/ax"]),
            ("/[]-]", &["/]", "/-"], &["/a"]),
            ("/[[:digit:]x]\\*", &["/1*", "/x*"], &["/1a", "/y*"]),
            ("/a[b", &["/a[b"], &["/ab"]),
            ("/a\\", &[], &["/a", "/a\\"]),
            ("*a*b*c", &["abc", "xaybzc", "aabbcc"], &["acb", "abcd"]),
            ("", &[""], &["/"]),
        ] {
            for text in fits {
                assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
            }
            for text in fits_not {
                assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
            }
        }
        assert!(matches(b"/\xe9?", b"/\xe9\xe8"));
    }
}
