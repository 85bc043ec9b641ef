//! `Release` files: the names of an archive, how long it is valid, and the digests of its indexes (the Debian repository
//! format).

use crate::control::{self, Stanza};
use crate::digest::Digest;
use crate::error::ParseError;
use crate::package::is_relative_path;
use std::collections::BTreeMap;

/// A parsed `Release` file. Absent text fields are empty; times are in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is the Release field of the same name")]
pub struct Release {
    pub origin: String,
    pub label: String,
    pub suite: String,
    pub codename: String,
    pub version: String,
    pub date: i64,
    pub valid_until: Option<i64>,
    pub architectures: Vec<String>,
    pub components: Vec<String>,
    pub acquire_by_hash: bool,
    /// `NotAutomatic`: versions are taken only if nothing else has the package, or if somebody asks for them.
    pub not_automatic: bool,
    /// `ButAutomaticUpgrades`: what was taken from here is upgraded from here.
    pub but_automatic_upgrades: bool,
    /// Whether `No-Support-for-Architecture-all` names `Packages`: then the index of every architecture also contains the
    /// packages of `all`.
    pub no_support_for_all: bool,
    /// Size in bytes and digest of each file by its path below `dists/SUITE/`. The digest is SHA256 if it is listed, else
    /// SHA512.
    pub files: BTreeMap<String, (u64, Digest)>,
}

/// Parses the text of a `Release` file. The caller must have taken the text from a verified signature.
///
/// # Errors
/// No `Date`, a malformed list, or no list of SHA256 or better.
pub fn parse(text: &str) -> Result<Release, ParseError> {
    let stanza = control::parse_one(text)?;
    let text_of = |name| stanza.get(name).unwrap_or_default().to_owned();
    let list_of = |name| stanza.get(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let flag = |name| stanza.get(name).is_some_and(|value| value.eq_ignore_ascii_case("yes"));
    let date_of = |name: &str| {
        stanza.get(name).map(|value| {
            parse_date(value).ok_or_else(|| ParseError::new("Release file", format!("{name} is no date: {value:?}")))
        })
    };
    Ok(Release {
        origin: text_of("Origin"),
        label: text_of("Label"),
        suite: text_of("Suite"),
        codename: text_of("Codename"),
        version: text_of("Version"),
        date: date_of("Date").ok_or_else(|| ParseError::new("Release file", "it has no Date"))??,
        valid_until: date_of("Valid-Until").transpose()?,
        architectures: list_of("Architectures"),
        components: list_of("Components"),
        acquire_by_hash: flag("Acquire-By-Hash"),
        not_automatic: flag("NotAutomatic"),
        but_automatic_upgrades: flag("ButAutomaticUpgrades"),
        no_support_for_all: stanza
            .get("No-Support-for-Architecture-all")
            .is_some_and(|v| v.split_whitespace().any(|word| word == "Packages")),
        files: files(&stanza)?,
    })
}

fn files(stanza: &Stanza<'_>) -> Result<BTreeMap<String, (u64, Digest)>, ParseError> {
    let mut files = BTreeMap::new();
    // SHA256 comes last and so wins: where both are listed, caches and by-hash directories go by SHA256.
    for (field, length) in [("SHA512", 128), ("SHA256", 64)] {
        let mut of_field = BTreeMap::new();
        for line in stanza.get(field).unwrap_or_default().lines().filter(|line| !line.trim().is_empty()) {
            let bad = || ParseError::new("Release file", format!("{field} has a malformed line: {line:?}"));
            let mut words = line.split_whitespace();
            let (Some(hex), Some(size), Some(path), None) = (words.next(), words.next(), words.next(), words.next())
            else {
                return Err(bad());
            };
            let size = size.parse().map_err(|_| bad())?;
            let digest = Digest::parse(hex).map_err(|_| bad())?;
            if hex.len() != length || !is_relative_path(path) {
                return Err(bad());
            }
            // A reader that takes the first and a reader that takes the last would trust different files.
            if of_field.insert(path.to_owned(), (size, digest)).is_some_and(|known| known != (size, digest)) {
                let reason = format!("{field} lists {path:?} twice, with different sizes or digests");
                return Err(ParseError::new("Release file", reason));
            }
        }
        files.append(&mut of_field);
    }
    if files.is_empty() {
        return Err(ParseError::new("Release file", "it lists no SHA256 or SHA512 digests"));
    }
    Ok(files)
}

/// Parses a date such as `Sat, 12 Sep 2026 07:55:41 UTC` (RFC 5322) into seconds since 1970.
///
/// The name of the day may be missing, the zone is `UTC`, `GMT`, `UT`, `Z` or a number, and numbers may have one digit, with
/// or without a blank before it.
#[must_use]
pub fn parse_date(text: &str) -> Option<i64> {
    let text = text.split_once(',').map_or(text, |(_, rest)| rest);
    let mut words = text.split_whitespace();
    let day: i64 = words.next()?.parse().ok()?;
    let name = words.next()?;
    let month = 1 + MONTHS.iter().position(|m| name.get(..3).is_some_and(|n| n.eq_ignore_ascii_case(m)))?;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next().unwrap_or(Some(0))?);
    let zone = match words.next().unwrap_or("UTC") {
        "UTC" | "GMT" | "Z" | "UT" => 0,
        zone => {
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let digits = zone.strip_prefix(['+', '-']).filter(|d| d.len() == 4)?;
            let number: i64 = digits.parse().ok()?;
            sign * (number / 100 * 3600 + number % 100 * 60)
        }
    };
    let in_range = (1..=31).contains(&day)
        && (1970..=9999).contains(&year)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    in_range.then(|| {
        days_from_civil(year, i64::try_from(month).unwrap_or(1), day) * 86400 + hour * 3600 + minute * 60 + second
            - zone
    })
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March, so that the leap day comes last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Formats `seconds` since 1970 as `2026-09-12T07:55:41Z`, for messages and metadata.
#[must_use]
pub fn format_date(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86400) + 719_468, seconds.rem_euclid(86400));
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Parses a point in time that a user gives, in UTC, into seconds since 1970: `2026-09-12`, `2026-09-12T07:55:41Z`, `@SECONDS`,
/// a snapshot stamp `20260912T075541Z`, or a date as in a Release file.
#[must_use]
pub fn parse_moment(text: &str) -> Option<i64> {
    if let Some(seconds) = text.strip_prefix('@') {
        return seconds.parse().ok();
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let iso = !text.contains(',') && text.chars().all(|c| c.is_ascii_digit() || "-:TZtz ".contains(c));
    if !iso || !matches!(digits.len(), 8 | 14) {
        return parse_date(text);
    }
    let number = |from: usize, to: usize| digits.get(from..to).map_or(Some(0), |part| part.parse::<i64>().ok());
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
    let in_range = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    in_range.then(|| days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(parse_date("Thu, 01 Jan 1970 00:00:00 UTC"), Some(0));
        assert_eq!(parse_date("Thu, 21 Apr 2016 23:23:46 UTC"), Some(1_461_281_026));
        assert_eq!(parse_date("Thu, 19 Nov 2026  0:51:51 UTC"), parse_date("19 Nov 2026 01:51:51 +0100"));
        for bad in ["", "x", "Thu, 99 Jan 2000 00:00:00 UTC", "1 Foo 2000 0:0:0 UTC", "1 Jan 2000 0:0:0 CEST"] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
        assert_eq!(format_date(1_461_281_026), "2016-04-21T23:23:46Z");
        for seconds in [0, 951_782_400, 951_868_800, 4_107_542_399, 1_709_164_800] {
            assert_eq!(parse_moment(&format_date(seconds)), Some(seconds));
        }
        assert_eq!(parse_moment("20160421T232346Z"), Some(1_461_281_026));
        assert_eq!(parse_moment("@5"), Some(5));
        assert_eq!(parse_moment("1970-01-02"), Some(86400));
        assert_eq!(parse_moment("tomorrow"), None);
    }

    #[test]
    fn only_strong_digests_count() {
        let head = "Origin: Debian\nSuite: stable\nCodename: x\nDate: Thu, 21 Apr 2016 23:23:46 UTC\n\
                    Architectures: all amd64\nComponents: main contrib\nAcquire-By-Hash: yes\n";
        let sha256 = format!("SHA256:\n {} 10 main/binary-amd64/Packages.xz\n", "ab".repeat(32));
        let release = parse(&format!("{head}{sha256}")).unwrap();
        assert_eq!(release.components, ["main", "contrib"]);
        assert!(release.acquire_by_hash);
        assert!(!release.no_support_for_all);
        let all = format!("{head}No-Support-for-Architecture-all: Packages\n{sha256}");
        assert!(parse(&all).unwrap().no_support_for_all);
        assert_eq!(release.files["main/binary-amd64/Packages.xz"].0, 10);
        let md5 = format!("MD5Sum:\n {} 10 main/binary-amd64/Packages.xz\n", "ab".repeat(16));
        assert!(parse(&format!("{head}{md5}")).unwrap_err().to_string().contains("no SHA256"));
        for line in
            ["zz 10 x", "00 10 x", &format!("{} ten x", "ab".repeat(32)), &format!("{} 1 ../x", "ab".repeat(32))]
        {
            assert!(parse(&format!("{head}SHA256:\n {line}\n")).is_err(), "{line}");
        }
        for (field, bytes) in [("SHA256", 20), ("SHA256", 64), ("SHA512", 32)] {
            let text = format!("{head}{field}:\n {} 10 x\n", "ab".repeat(bytes));
            assert!(parse(&text).is_err(), "a digest of {bytes} bytes in {field}");
        }
        let sha1 = format!("SHA1:\n {} 10 main/binary-amd64/Packages.xz\n", "cd".repeat(20));
        assert_eq!(
            parse(&format!("{head}{sha1}{md5}{sha256}")).unwrap().files,
            release.files,
            "weak digests are not read"
        );
        assert!(parse(&sha256).is_err());
        let line = |hex: &str, size| format!(" {} {size} main/binary-amd64/Packages.xz\n", hex.repeat(32));
        assert!(parse(&format!("{head}{sha256}{}", line("ab", 10))).is_ok(), "the same line twice");
        for other in [line("cd", 10), line("ab", 11)] {
            assert!(parse(&format!("{head}{sha256}{other}")).unwrap_err().to_string().contains("twice"), "{other}");
        }
    }
}
