//! A whole index, reduced to the fields that [`Package`] has: a third of its text is left, and any package of it is read
//! without those before it.
//!
//! Each package is its fields one after the other, always in the same order. Those that are asked of every package lie
//! together, apart from the rest, so that asking reads little memory. A field is its length and its text, the length in
//! digits of six bits, the lowest first, with bit 6 set where another digit follows. So the whole is text, and one check
//! for UTF-8 is enough for all of it.

use crate::packages::{Package, each};

/// The packages of an index, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    heads: String,
    bodies: String,
    /// Where each package begins in both.
    starts: Vec<[usize; 2]>,
}

/// What is asked of every package of an index: the fields of [`Package`] of these names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is the index field of the same name")]
pub struct Head<'a> {
    pub name: &'a str,
    pub architecture: &'a str,
    pub version: &'a str,
    pub essential: &'a str,
    pub priority: &'a str,
    pub provides: &'a str,
}

impl Head<'_> {
    /// Whether the package is `Essential: yes`.
    #[must_use]
    pub fn is_essential(&self) -> bool {
        self.essential == "yes"
    }
}

impl Table {
    /// An empty table that `bytes` of index text will go into.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        // Real indexes average 700 to 800 bytes a stanza, of which 80 and 420 are kept.
        let (heads, bodies) = (String::with_capacity(bytes / 9), String::with_capacity(bytes / 9 * 5));
        Self { heads, bodies, starts: Vec::with_capacity(bytes / 750) }
    }

    /// The packages of a whole index; see [`crate::packages::parse`].
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut table = Self::with_capacity(text.len());
        table.extend(text);
        table
    }

    /// Appends the packages of `text`, which is a number of whole stanzas.
    pub fn extend(&mut self, text: &str) {
        each(text, |package| self.push(package));
    }

    fn push(&mut self, package: &Package<'_>) {
        self.starts.push([self.heads.len(), self.bodies.len()]);
        let mut package = *package;
        for (number, field) in fields(&mut package).into_iter().enumerate() {
            append(if number < HEAD { &mut self.heads } else { &mut self.bodies }, field);
        }
    }

    /// How many packages there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The package at a position; all fields are empty where there is none.
    #[must_use]
    pub fn package(&self, position: usize) -> Package<'_> {
        let mut package = Package::default();
        let [mut head, mut body] = self.readers(position);
        for (number, field) in fields(&mut package).into_iter().enumerate() {
            *field = if number < HEAD { head.field() } else { body.field() };
        }
        package
    }

    /// The same, of the fields asked of every package.
    #[must_use]
    pub fn head(&self, position: usize) -> Head<'_> {
        let mut head = Head::default();
        let [mut reader, _] = self.readers(position);
        for field in head_fields(&mut head) {
            *field = reader.field();
        }
        head
    }

    /// All packages, in order.
    pub fn packages(&self) -> impl Iterator<Item = Package<'_>> {
        (0..self.len()).map(|position| self.package(position))
    }

    /// The table as it can be kept: two texts, the longer one last, and a list of numbers that belongs to them.
    #[must_use]
    pub fn parts(&self) -> ([&str; 2], Vec<u8>) {
        let numbers = self.starts.as_flattened().iter().flat_map(|start| (*start as u64).to_le_bytes());
        ([&self.heads, &self.bodies], numbers.collect())
    }

    /// What [`Table::parts`] was made from. Other parts make a table of nonsense, but never a panic.
    #[must_use]
    pub fn from_parts([heads, bodies]: [String; 2], numbers: &[u8]) -> Self {
        let (starts, _) = numbers.as_chunks::<8>().0.as_chunks();
        // Beyond the end, and so empty, where memory is too small for the number.
        let start = |bytes: &[u8; 8]| usize::try_from(u64::from_le_bytes(*bytes)).unwrap_or(usize::MAX);
        Self { heads, bodies, starts: starts.iter().map(|pair| pair.each_ref().map(start)).collect() }
    }

    fn readers(&self, position: usize) -> [Reader<'_>; 2] {
        let [head, body] = self.starts.get(position).copied().unwrap_or([usize::MAX; 2]);
        [Reader { text: &self.heads, position: head }, Reader { text: &self.bodies, position: body }]
    }
}

struct Reader<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Reader<'a> {
    /// The next field; empty behind the end, and where no field begins.
    fn field(&mut self) -> &'a str {
        let (mut length, mut shift) = (0, 0u32);
        while let Some(byte) = self.text.as_bytes().get(self.position) {
            self.position += 1;
            // More digits than numbers have are nonsense.
            length |= usize::from(byte & 0o77).checked_shl(shift).unwrap_or_default();
            if byte & 0o100 == 0 || shift > usize::BITS {
                break;
            }
            shift += 6;
        }
        let start = self.position;
        self.position = start.saturating_add(length);
        self.text.get(start..self.position).unwrap_or_default()
    }
}

fn append(text: &mut String, field: &str) {
    let mut rest = field.len();
    while rest > 0o77 {
        text.push(digit(rest & 0o77 | 0o100));
        rest >>= 6;
    }
    text.push(digit(rest));
    text.push_str(field);
}

/// Six bits and one that says whether there is more.
fn digit(bits: usize) -> char {
    char::from((bits & 0o177) as u8)
}

/// How many fields are in the head.
const HEAD: usize = 6;

/// The order of fields; with another one, what was kept is not read any more.
fn fields<'p, 'a>(p: &'p mut Package<'a>) -> [&'p mut &'a str; 26] {
    [
        &mut p.name,
        &mut p.architecture,
        &mut p.version,
        &mut p.essential,
        &mut p.priority,
        &mut p.provides,
        &mut p.multi_arch,
        &mut p.pre_depends,
        &mut p.depends,
        &mut p.conflicts,
        &mut p.breaks,
        &mut p.recommends,
        &mut p.suggests,
        &mut p.replaces,
        &mut p.enhances,
        &mut p.section,
        &mut p.source,
        &mut p.filename,
        &mut p.size,
        &mut p.installed_size,
        &mut p.sha256,
        &mut p.sha512,
        &mut p.maintainer,
        &mut p.original_maintainer,
        &mut p.homepage,
        &mut p.description,
    ]
}

/// The first of them.
fn head_fields<'p, 'a>(head: &'p mut Head<'a>) -> [&'p mut &'a str; HEAD] {
    [
        &mut head.name,
        &mut head.architecture,
        &mut head.version,
        &mut head.essential,
        &mut head.priority,
        &mut head.provides,
    ]
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
