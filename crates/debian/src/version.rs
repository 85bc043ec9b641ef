//! Version numbers and their order (deb-version(7); Debian policy §5.6.12).

use std::cmp::Ordering;
use std::fmt;

/// A package version, ordered as dpkg orders versions. The text is borrowed and never normalised: `1.0` and `1.00` are equal
/// but print as written.
#[derive(Clone, Copy, Debug)]
pub struct Version<'a>(&'a str);

impl<'a> Version<'a> {
    /// Wraps `text`. Every text has a place in the order, so none is refused.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self(text.trim())
    }

    /// The text as written.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.0
    }

    /// The version without its epoch, as in the names of .deb files.
    #[must_use]
    pub fn without_epoch(&self) -> &'a str {
        self.0.split_once(':').map_or(self.0, |(_, rest)| rest)
    }

    /// Epoch, upstream version and revision. A missing revision is empty, which is equal to `0`.
    fn split(&self) -> (&'a str, &'a str, &'a str) {
        let (epoch, rest) = self.0.split_once(':').unwrap_or(("", self.0));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        (epoch, upstream, revision)
    }
}

/// The weight of a character that is no digit: `~` sorts before the end, the end and digits before letters, letters before all
/// others.
fn weight(c: Option<u8>) -> i32 {
    match c {
        Some(b'~') => -1,
        None => 0,
        Some(c) if c.is_ascii_digit() => 0,
        Some(c) if c.is_ascii_alphabetic() => i32::from(c),
        Some(c) => i32::from(c) + 256,
    }
}

fn compare_part(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    let digit = |s: &[u8]| s.first().is_some_and(u8::is_ascii_digit);
    while !a.is_empty() || !b.is_empty() {
        while (!a.is_empty() && !digit(a)) || (!b.is_empty() && !digit(b)) {
            let order = weight(a.first().copied()).cmp(&weight(b.first().copied()));
            if order != Ordering::Equal {
                return order;
            }
            a = a.get(1..).unwrap_or_default();
            b = b.get(1..).unwrap_or_default();
        }
        let number = |s: &[u8]| s.iter().take_while(|c| c.is_ascii_digit()).count();
        let (na, rest_a) = a.split_at(number(a));
        let (nb, rest_b) = b.split_at(number(b));
        let significant = |n: &[u8]| n.iter().position(|&c| c != b'0').unwrap_or(n.len());
        let (na, nb) = (&na[significant(na)..], &nb[significant(nb)..]);
        // Of two numbers without leading zeros the longer one is larger. So numbers may have any size.
        let order = na.len().cmp(&nb.len()).then_with(|| na.cmp(nb));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let ((e1, u1, r1), (e2, u2, r2)) = (self.split(), other.split());
        compare_part(e1, e2).then_with(|| compare_part(u1, u2)).then_with(|| compare_part(r1, r2))
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version<'_> {}

impl fmt::Display for Version<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_dpkgs() {
        // Each line is sorted and neighbours differ. The order is that of `dpkg --compare-versions`.
        let chains: [&[&str]; 7] = [
            &["1.0~~", "1.0~~a", "1.0~", "1.0", "1.0-0.1", "1.0-1", "1.0a", "1.0+", "1.0.1"],
            &["2", "1:0", "1:1", "2:0~1"],
            &["1.2", "1.10", "1.100"],
            &["0.9-1ubuntu1~20.04", "0.9-1ubuntu1", "0.9-1ubuntu1.1", "0.9-1ubuntu2"],
            &["1-1~deb13u1", "1-1", "1-1+b1", "1-1+deb13u1"],
            &["99999999999999999999", "100000000000000000000"],
            &["1-a", "1-b-1"],
        ];
        for chain in chains {
            for pair in chain.windows(2) {
                assert!(Version::new(pair[0]) < Version::new(pair[1]), "{pair:?}");
                assert!(Version::new(pair[1]) > Version::new(pair[0]), "{pair:?}");
            }
        }
        for (a, b) in [("1.0", "1.00"), ("0:1", "1"), ("1-0", "1"), ("01", "1"), ("1.0-", "1.0")] {
            assert_eq!(Version::new(a), Version::new(b));
        }
    }

    #[test]
    fn odd_text_has_an_order_too() {
        for a in ["", "~", ":", "-", "é", "::", "1:", "--"] {
            for b in ["", "~", ":", "-", "é", "::", "1:", "--"] {
                assert_eq!(Version::new(a).cmp(&Version::new(b)), Version::new(b).cmp(&Version::new(a)).reverse());
            }
        }
    }
}
