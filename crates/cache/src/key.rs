//! Keys: digests of all that decided the content of an entry.
//!
//! An entry is found by its key alone, so everything that can change its content must be in the key. The rule for code that
//! makes a key: take each struct apart with a pattern that names every field and has no `..`:
//!
//! ```
//! # use rootstrap_cache::KeyBuilder;
//! struct Request { suite: String, include: Vec<String>, slim: bool, jobs: usize }
//!
//! fn add(key: &mut KeyBuilder, request: &Request) {
//!     // The number of jobs decides nothing about the result.
//!     let Request { suite, include, slim, jobs: _ } = request;
//!     key.text("suite", suite).texts("include", include).flag("slim", *slim);
//! }
//! ```
//!
//! Then a new field of the struct does not compile until somebody decides whether it belongs in the key. Never put the
//! `Debug` text or the serialised form of a whole struct into a key: a type that hides a field there would be missing from the
//! key without anybody noticing.

use crate::hash::SHA256_LENGTH;
use sha2::{Digest, Sha256};
use std::fmt;

/// The name of an [`Entry`](crate::Entry): a digest of all that decided its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key([u8; SHA256_LENGTH]);

impl fmt::Display for Key {
    /// Writes lower-case hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base16ct::lower::encode_string(&self.0))
    }
}

/// Builds a [`Key`] from named values.
///
/// Each value is hashed with its kind, the length of its name, its name, the length of its text and its text, so two different
/// sequences of calls never hash the same bytes. The order of the calls counts.
#[derive(Clone, Debug)]
pub struct KeyBuilder {
    hasher: Sha256,
}

/// What comes next in the hashed bytes.
#[derive(Clone, Copy)]
enum Tag {
    Text = 1,
    Bytes = 2,
    Number = 3,
    Flag = 4,
    Absent = 5,
    Group = 6,
    List = 7,
    Item = 8,
    End = 9,
}

impl KeyBuilder {
    /// Begins a key of a `kind` of entries (a word, so that no two kinds share a key) that `program` makes. That is the
    /// digest of the running program, from [`ProgramDigest`](crate::ProgramDigest): another build may make other content
    /// from the same values, even under the same version number.
    #[must_use]
    pub fn new(kind: &str, program: &[u8; SHA256_LENGTH]) -> Self {
        let mut builder = Self { hasher: Sha256::new() };
        builder.text("kind", kind).bytes("program", program);
        builder
    }

    /// Adds a text.
    pub fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.begin(Tag::Text, name).sized(value.as_bytes())
    }

    /// Adds bytes, such as a path or a digest.
    pub fn bytes(&mut self, name: &str, value: &[u8]) -> &mut Self {
        self.begin(Tag::Bytes, name).sized(value)
    }

    /// Adds a whole number.
    pub fn number(&mut self, name: &str, value: impl Into<i128>) -> &mut Self {
        self.begin(Tag::Number, name).sized(&value.into().to_le_bytes())
    }

    /// Adds a yes or no.
    pub fn flag(&mut self, name: &str, value: bool) -> &mut Self {
        self.begin(Tag::Flag, name).sized(&[u8::from(value)])
    }

    /// Adds what `add` adds for a value that may be absent. An absent value differs from every present one.
    pub fn optional<T>(
        &mut self,
        name: &str,
        value: Option<T>,
        add: impl FnOnce(&mut Self, T) -> &mut Self,
    ) -> &mut Self {
        match value {
            None => self.begin(Tag::Absent, name),
            Some(value) => self.group(name, |key| add(key, value)),
        }
    }

    /// Adds what `add` adds as one value: the fields of a struct within a struct.
    pub fn group(&mut self, name: &str, add: impl FnOnce(&mut Self) -> &mut Self) -> &mut Self {
        self.begin(Tag::Group, name);
        add(self);
        self.tag(Tag::End)
    }

    /// Adds what `add` adds for each of `items`, in their order.
    pub fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut add: impl FnMut(&mut Self, T) -> &mut Self,
    ) -> &mut Self {
        self.begin(Tag::List, name);
        for item in items {
            self.tag(Tag::Item);
            add(self, item);
        }
        self.tag(Tag::End)
    }

    /// Adds a list of texts.
    pub fn texts(&mut self, name: &str, values: impl IntoIterator<Item = impl AsRef<str>>) -> &mut Self {
        self.list(name, values, |key, value| key.sized(value.as_ref().as_bytes()))
    }

    /// Returns the key of all that was added.
    #[must_use]
    pub fn finish(&self) -> Key {
        Key(self.hasher.clone().finalize().into())
    }

    fn begin(&mut self, tag: Tag, name: &str) -> &mut Self {
        self.tag(tag).sized(name.as_bytes())
    }

    fn tag(&mut self, tag: Tag) -> &mut Self {
        self.hasher.update([tag as u8]);
        self
    }

    fn sized(&mut self, bytes: &[u8]) -> &mut Self {
        self.hasher.update((bytes.len() as u64).to_le_bytes());
        self.hasher.update(bytes);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const PROGRAM: [u8; SHA256_LENGTH] = [7; SHA256_LENGTH];

    fn key(add: impl FnOnce(&mut KeyBuilder) -> &mut KeyBuilder) -> Key {
        add(&mut KeyBuilder::new("test", &PROGRAM)).finish()
    }

    #[test]
    fn different_values_never_share_a_key() {
        let keys = [
            key(|key| key),
            KeyBuilder::new("other", &PROGRAM).finish(),
            KeyBuilder::new("test", &[8; SHA256_LENGTH]).finish(),
            key(|key| key.text("ab", "c")),
            key(|key| key.text("a", "bc")),
            key(|key| key.bytes("a", b"bc")),
            key(|key| key.text("a", "b").text("c", "")),
            key(|key| key.text("c", "").text("a", "b")),
            key(|key| key.number("a", 1)),
            key(|key| key.number("a", -1)),
            key(|key| key.flag("a", true)),
            key(|key| key.flag("a", false)),
            key(|key| key.optional("a", None, |key, ()| key.text("a", ""))),
            key(|key| key.optional("a", Some(""), |key, text| key.text("a", text))),
            key(|key| key.text("a", "")),
            key(|key| key.texts("a", ["b", "c"])),
            key(|key| key.texts("a", ["bc"])),
            key(|key| key.texts("a", ["b", "c", ""])),
            key(|key| key.texts("a", [""; 0])),
            key(|key| key.texts("a", ["b"]).texts("a", ["c"])),
            key(|key| key.list("a", [["b"], ["c"]], |key, item| key.texts("i", item))),
            key(|key| key.list("a", [["b", "c"]], |key, item| key.texts("i", item))),
            key(|key| key.group("a", |key| key.text("b", "").text("c", ""))),
            key(|key| key.group("a", |key| key.text("b", "")).text("c", "")),
        ];
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
    }

    #[test]
    fn equal_values_share_a_key() {
        let make = || key(|key| key.text("a", "b").number("n", 3_u64).texts("l", ["x"]));
        assert_eq!(make(), make());
        assert_eq!(make().to_string().len(), 64);
    }
}
