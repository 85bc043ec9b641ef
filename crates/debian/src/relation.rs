//! Relationship fields: `Depends`, `Provides`, `Breaks` and their like (Debian policy §7.1).

use crate::error::ParseError;
use crate::version::Version;
use std::cmp::Ordering;
use std::fmt;

/// How a version has to compare with the named one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operator {
    /// `<<`
    Earlier,
    /// `<=`, and the obsolete `<`
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`, and the obsolete `>`
    LaterOrEqual,
    /// `>>`
    Later,
}

impl Operator {
    /// Whether `version OPERATOR wanted` holds.
    #[must_use]
    pub fn holds(self, version: Version<'_>, wanted: Version<'_>) -> bool {
        let order = version.cmp(&wanted);
        match self {
            Self::Earlier => order == Ordering::Less,
            Self::EarlierOrEqual => order != Ordering::Greater,
            Self::Equal => order == Ordering::Equal,
            Self::LaterOrEqual => order != Ordering::Less,
            Self::Later => order == Ordering::Greater,
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Earlier => "<<",
            Self::EarlierOrEqual => "<=",
            Self::Equal => "=",
            Self::LaterOrEqual => ">=",
            Self::Later => ">>",
        })
    }
}

/// One alternative: `name[:qualifier] [(operator version)]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relation<'a> {
    /// Package or virtual package.
    pub name: &'a str,
    /// `any`, `native` or an architecture, if one is given.
    pub qualifier: Option<&'a str>,
    /// The version that is demanded or, in `Provides`, provided.
    pub version: Option<(Operator, Version<'a>)>,
}

impl Relation<'_> {
    /// Whether `version` meets the demand. Without a demand every version does.
    #[must_use]
    pub fn admits(&self, version: Version<'_>) -> bool {
        self.version.is_none_or(|(operator, wanted)| operator.holds(version, wanted))
    }
}

impl fmt::Display for Relation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if let Some(qualifier) = self.qualifier {
            write!(f, ":{qualifier}")?;
        }
        if let Some((operator, version)) = self.version {
            write!(f, " ({operator} {version})")?;
        }
        Ok(())
    }
}

/// Whether `name` may be a package name: letters, digits and `+-.`, starting with a letter or digit
/// (policy §5.6.1; upper case and `_` are tolerated because archives have had such names). Names become file names, so this is
/// checked first.
#[must_use]
pub fn is_package_name(name: &str) -> bool {
    name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && name.len() <= 128
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'_'))
}

/// Parses one alternative: the text between two `|`, or what a user types.
///
/// # Errors
/// The name is no package name, or the version restriction is malformed.
pub fn parse_relation(text: &str) -> Result<Relation<'_>, ParseError> {
    let bad = |why: &str| ParseError::new("relation", format!("{:?}: {why}", text.trim()));
    let (head, version) = match text.split_once('(') {
        None => (text, None),
        Some((head, rest)) => {
            let inner = rest.trim_end().strip_suffix(')').ok_or_else(|| bad("the version has no closing bracket"))?;
            (head, Some(parse_version(inner.trim()).ok_or_else(|| bad("no version restriction"))?))
        }
    };
    let head = head.trim();
    let (name, qualifier) = match head.split_once(':') {
        None => (head, None),
        Some((name, qualifier)) => (name, Some(qualifier)),
    };
    if !is_package_name(name) || qualifier.is_some_and(|q| !crate::arch::is_valid(q)) {
        return Err(bad("no package name"));
    }
    Ok(Relation { name, qualifier, version })
}

fn parse_version(text: &str) -> Option<(Operator, Version<'_>)> {
    let length = text.bytes().take_while(|b| matches!(b, b'<' | b'=' | b'>')).count();
    let (operator, version) = text.split_at(length);
    let operator = match operator {
        "<<" => Operator::Earlier,
        "<=" | "<" => Operator::EarlierOrEqual,
        // A bare version means "exactly this one", as dpkg reads it.
        "=" | "" => Operator::Equal,
        ">=" | ">" => Operator::LaterOrEqual,
        ">>" => Operator::Later,
        _ => return None,
    };
    let version = version.trim();
    (!version.is_empty() && !version.contains(char::is_whitespace)).then(|| (operator, Version::new(version)))
}

/// Parses a whole field: groups separated by commas, alternatives within a group separated by `|`. Empty groups are dropped.
///
/// # Errors
/// The error of the first alternative that is malformed.
pub fn parse_field(text: &str) -> Result<Vec<Vec<Relation<'_>>>, ParseError> {
    text.split(',')
        .map(str::trim)
        .filter(|group| !group.is_empty())
        .map(|group| group.split('|').map(parse_relation).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_split_into_groups_and_alternatives() {
        let groups = parse_field("libc6 (>= 2.36), debconf (>= 0.5) | debconf-2.0,\n perl:any, , x (<2)").unwrap();
        let text: Vec<Vec<String>> = groups.iter().map(|g| g.iter().map(ToString::to_string).collect()).collect();
        assert_eq!(
            text,
            [vec!["libc6 (>= 2.36)"], vec!["debconf (>= 0.5)", "debconf-2.0"], vec!["perl:any"], vec!["x (<= 2)"]]
        );
        assert!(groups[0][0].admits(Version::new("2.36-9")));
        assert!(!groups[0][0].admits(Version::new("2.35")));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["../x", "a (", "a (>= )", "a b", "a (>>> 1)", "a:B", "| a", "é"] {
            assert!(parse_field(bad).is_err(), "{bad:?}");
        }
    }
}
