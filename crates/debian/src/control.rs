//! Control stanzas: `Field: value` lines with continuations (deb822(5)).

use crate::error::ParseError;

/// One stanza: its fields in file order. Values are borrowed and unchanged, without the blanks around them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stanza<'a> {
    fields: Vec<(&'a str, &'a str)>,
}

impl<'a> Stanza<'a> {
    /// The value of the field `name`, whatever its case, with its continuation lines.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|&(_, value)| value)
    }

    /// The value of a field that must be there.
    ///
    /// # Errors
    /// The field is missing or empty.
    pub fn require(&self, name: &'static str) -> Result<&'a str, ParseError> {
        self.get(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| ParseError::new("control stanza", format!("it has no {name} field")))
    }

    /// All fields in file order.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.fields.iter().copied()
    }
}

/// Parses a text of exactly one stanza. Blank lines and comments around it are skipped.
///
/// # Errors
/// No stanza, a second stanza, a line that is neither field nor continuation, or a field given twice.
pub fn parse_one(text: &str) -> Result<Stanza<'_>, ParseError> {
    let mut stanzas = parse_all(text)?.into_iter();
    let stanza = stanzas.next().ok_or_else(|| ParseError::new("control file", "it is empty"))?;
    match stanzas.next() {
        Some(_) => Err(ParseError::new("control file", "it has more than one stanza")),
        None => Ok(stanza),
    }
}

/// Returns a text without its lines of comments, which apt allows also between the lines of one value (sources.list(5),
/// apt_preferences(5)).
#[must_use]
pub fn without_comments(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.starts_with('#')).collect()
}

/// Parses all stanzas of a file.
///
/// # Errors
/// A line that is neither field nor continuation, or a field given twice in one stanza.
pub fn parse_all(text: &str) -> Result<Vec<Stanza<'_>>, ParseError> {
    let mut stanzas = Vec::new();
    let mut current = Stanza::default();
    let mut position = 0;
    while let Some(rest) = text.get(position..).filter(|rest| !rest.is_empty()) {
        let line = rest.split_inclusive('\n').next().unwrap_or(rest);
        let start = position;
        position += line.len();
        if line.trim().is_empty() {
            if !current.fields.is_empty() {
                stanzas.push(std::mem::take(&mut current));
            }
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        let bad = |why: &str| ParseError::new("control stanza", format!("{why}: {:?}", shorten(line.trim_end())));
        let (name, _) = line.split_once(':').ok_or_else(|| bad("a line is no field"))?;
        if name.is_empty() || name.bytes().any(|b| b.is_ascii_whitespace() || b.is_ascii_control()) {
            return Err(bad("a line is no field"));
        }
        while let Some(next) = text.get(position..).filter(|next| next.starts_with([' ', '\t'])) {
            let line = next.split_inclusive('\n').next().unwrap_or(next);
            // A line of blanks begins like a continuation line, but it ends the stanza.
            if line.trim().is_empty() {
                break;
            }
            position += line.len();
        }
        let value = text.get(start + name.len() + 1..position).unwrap_or_default();
        if current.get(name).is_some() {
            return Err(bad("a field is given twice"));
        }
        current.fields.push((name, trim_value(value)));
    }
    if !current.fields.is_empty() {
        stanzas.push(current);
    }
    Ok(stanzas)
}

/// Drops blanks before the value, and blanks and line ends after it. A value that starts on the second line keeps its leading
/// newline, because dpkg writes such a value back that way (`Conffiles:`).
fn trim_value(value: &str) -> &str {
    value.trim_start_matches([' ', '\t']).trim_end_matches(['\n', '\r', ' ', '\t'])
}

fn shorten(line: &str) -> &str {
    let end = line.char_indices().nth(80).map_or(line.len(), |(at, _)| at);
    line.get(..end).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_order_and_continuations() {
        let text =
            "# comment\n\nPackage: a\nDescription: short\n long\n .\n more\nConffiles:\n /etc/a 1\n\n\nPackage: b";
        let stanzas = parse_all(text).unwrap();
        assert_eq!(stanzas.len(), 2);
        assert_eq!(stanzas[0].get("package"), Some("a"));
        assert_eq!(stanzas[0].get("Description"), Some("short\n long\n .\n more"));
        assert_eq!(stanzas[0].get("Conffiles"), Some("\n /etc/a 1"));
        assert_eq!(stanzas[1].require("Package"), Ok("b"));
        assert!(stanzas[1].require("Version").is_err());
    }

    #[test]
    fn damaged_stanzas_are_refused() {
        for bad in ["no field\n", "A: 1\na: 2\n", ": x\n", "two words: x\n", "", "A: 1\n\nB: 2\n"] {
            assert!(parse_one(bad).is_err(), "{bad:?}");
        }
    }
}
