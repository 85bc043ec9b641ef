//! apt's preferences: which versions of a package are preferred to others (apt_preferences(5); apt `apt-pkg/policy.cc:ReadPinFile`).

use crate::control;
use crate::error::ParseError;

/// The priority `never`: no preference for a package brings back what has it.
pub const NEVER: i16 = i16::MIN;

/// A preference: for versions of some packages, how much they are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preference {
    /// Names of packages, shell patterns or regular expressions between slashes, each of them perhaps with `src:` before it (then it
    /// names source packages) or `:ARCHITECTURE` behind it; `*` alone stands for all packages.
    pub packages: Vec<String>,
    /// Which versions.
    pub pin: Pin,
    /// How much they are wanted: 500 is usual, and what is below 0 is never taken.
    pub priority: i16,
}

/// Which versions a preference is for. Texts are shell patterns or regular expressions between slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// Those versions.
    Version(String),
    /// Those from a host.
    Origin(String),
    /// Those from archives whose Release file says all of this.
    Release(Vec<(ReleaseField, String)>),
}

/// What a pin can ask of a Release file, or of an index that it lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseField {
    /// `a`: `Suite`.
    Suite,
    /// `n`: `Codename`.
    Codename,
    /// `Suite` or `Codename`: a word without a letter before it.
    Name,
    /// `v`: `Version`. A star at its end stands for anything.
    Version,
    /// `o`: `Origin`.
    Origin,
    /// `l`: `Label`.
    Label,
    /// `c`: the component of an index.
    Component,
    /// `b`: the architecture of an index.
    Architecture,
}

fn bad(reason: impl Into<String>) -> ParseError {
    ParseError::new("preference of apt", reason)
}

/// Parses a file of preferences. Stanzas without a `Pin` are comments.
///
/// # Errors
/// A stanza without packages or priority, or with a pin of another form.
pub fn parse(text: &str) -> Result<Vec<Preference>, ParseError> {
    let text = control::without_comments(text);
    let stanzas = control::parse_all(&text)?;
    let pinned = stanzas.iter().filter_map(|stanza| Some((stanza, stanza.get("Pin")?)));
    let parsed = pinned.map(|(stanza, pin)| {
        let packages = stanza.require("Package")?.split_whitespace().map(str::to_owned).collect();
        let priority = parse_priority(stanza.require("Pin-Priority")?)?;
        check(Preference { packages, pin: parse_pin(pin)?, priority })
    });
    parsed.collect()
}

/// Parses a preference in one line: `PACKAGE[,PACKAGE…] PIN PRIORITY`, as in `nginx release n=trixie-backports 900`. The pin is that of
/// apt_preferences(5).
///
/// # Errors
/// Text of another form.
pub fn parse_line(text: &str) -> Result<Preference, ParseError> {
    let form = || bad("it is not PACKAGES PIN PRIORITY, as in 'nginx release a=stable-backports 900'");
    let (packages, rest) = text.trim().split_once(char::is_whitespace).ok_or_else(form)?;
    let (pin, priority) = rest.trim().rsplit_once(char::is_whitespace).ok_or_else(form)?;
    let packages = packages.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    check(Preference { packages, pin: parse_pin(pin)?, priority: parse_priority(priority)? })
}

/// Refuses what apt refuses.
fn check(preference: Preference) -> Result<Preference, ParseError> {
    match preference.priority {
        NEVER if preference.packages != ["*"] => Err(bad("the priority never is for all packages (*) alone")),
        _ => Ok(preference),
    }
}

/// Writes preferences as a file of apt has them.
#[must_use]
pub fn to_text(preferences: &[Preference]) -> String {
    let stanzas = preferences.iter().map(|Preference { packages, pin, priority }| {
        let pin = match pin {
            Pin::Version(version) => format!("version {version}"),
            Pin::Origin(host) => format!("origin \"{host}\""),
            Pin::Release(fields) if fields.is_empty() => "release *".to_owned(),
            Pin::Release(fields) => {
                let fields: Vec<String> =
                    fields.iter().map(|(field, value)| field.letter().to_owned() + value).collect();
                format!("release {}", fields.join(","))
            }
        };
        let priority = if *priority == NEVER { "never".to_owned() } else { priority.to_string() };
        format!("Package: {}\nPin: {pin}\nPin-Priority: {priority}\n", packages.join(" "))
    });
    stanzas.collect::<Vec<_>>().join("\n")
}

fn parse_priority(text: &str) -> Result<i16, ParseError> {
    match text {
        "never" => Ok(NEVER),
        number => match number.parse::<i16>() {
            // apt refuses it too.
            Ok(0) => Err(bad("the priority 0 says nothing")),
            Ok(number) if number > NEVER => Ok(number),
            _ => Err(bad(format!("the priority {number:?} is no number between -32767 and 32767"))),
        },
    }
}

fn parse_pin(text: &str) -> Result<Pin, ParseError> {
    let (kind, data) = text.split_once(char::is_whitespace).map_or((text, ""), |(kind, data)| (kind, data.trim()));
    match kind {
        _ if data.is_empty() => Err(bad(format!("the pin {text:?} says nothing"))),
        "version" => Ok(Pin::Version(data.to_owned())),
        "origin" => {
            let host = data.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(data);
            Ok(Pin::Origin(host.to_owned()))
        }
        "release" => parse_release(data).map(Pin::Release),
        _ => Err(bad(format!("the pin {text:?} begins with none of version, release and origin"))),
    }
}

/// Parses what stands after `release`, which is also what stands behind the slash of `package/release`.
///
/// # Errors
/// An unknown letter, or a letter without a value.
pub fn parse_release(data: &str) -> Result<Vec<(ReleaseField, String)>, ParseError> {
    if data == "*" {
        return Ok(Vec::new());
    }
    if !data.contains('=') {
        let is_version = data.starts_with(|first: char| first.is_ascii_digit());
        let field = if is_version { ReleaseField::Version } else { ReleaseField::Name };
        return Ok(vec![(field, data.to_owned())]);
    }
    let fields = data.split(',').map(|word| {
        let word = word.trim();
        let found = ReleaseField::ALL.into_iter().find_map(|field| Some((field, word.strip_prefix(field.letter())?)));
        match found.filter(|(field, value)| *field != ReleaseField::Name && !value.is_empty()) {
            Some((field, value)) => Ok((field, value.to_owned())),
            None => Err(bad(format!("{word:?} is not a=, n=, v=, o=, l=, c= or b= with a value"))),
        }
    });
    fields.collect()
}

impl ReleaseField {
    const ALL: [Self; 8] = [
        Self::Suite,
        Self::Codename,
        Self::Version,
        Self::Origin,
        Self::Label,
        Self::Component,
        Self::Architecture,
        Self::Name,
    ];

    /// Returns the letter with the equals sign; nothing for a plain name.
    fn letter(self) -> &'static str {
        match self {
            Self::Suite => "a=",
            Self::Codename => "n=",
            Self::Name => "",
            Self::Version => "v=",
            Self::Origin => "o=",
            Self::Label => "l=",
            Self::Component => "c=",
            Self::Architecture => "b=",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_lines_say_the_same() {
        let text = "# of ours\nExplanation: because\nPackage: nginx src:linux\nPin: release n=trixie-backports, o=Debian\n\
                    Pin-Priority: 900\n\nPackage: *\nPin: origin \"\"\nPin-Priority: -1\n\n\
                    Package: a:arm64\n# between\nPin: version 1.2*\nPin-Priority: 7\n\nPackage: *\nPin: release o=x\nPin-Priority: never\n\n\
                    Package: b\nPin: release *\nPin-Priority: 1\n\nPackage: c\nPin: release trixie\nPin-Priority: 1\n\n\
                    Package: c\nPin: release 13*\nPin-Priority: 1\n\nExplanation: alone\n";
        let parsed = parse(text).unwrap();
        let lines = [
            "nginx,src:linux release n=trixie-backports,o=Debian 900",
            "* origin \"\" -1",
            " a:arm64  version 1.2*  7 ",
            "* release o=x never",
            "b release * 1",
            "c release trixie 1",
            "c release v=13* 1",
        ];
        assert_eq!(parsed, lines.map(|line| parse_line(line).unwrap()));
        assert_eq!(parse(&to_text(&parsed)).unwrap(), parsed);
    }

    #[test]
    fn what_says_nothing_is_refused() {
        for line in [
            "",
            "a",
            "a release 5",
            "a release x= 5",
            "a release n= 5",
            "a release q=x 5",
            "a release n=x",
            "a release n=x 0",
            "a release n=x 40000",
            "a releases n=x 5",
            "a version 5",
            "a release n=x never",
            "a release n=x -32768",
        ] {
            assert!(parse_line(line).is_err(), "{line}");
        }
        for text in ["Package: a\nPin: release n=x\n", "Pin: release n=x\nPin-Priority: 1\n", "nonsense\n"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
