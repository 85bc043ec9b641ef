//! A whole index reduced to the fields of [`Package`]: a third of the text of the index is left, and each package can be read
//! without reading those before it.
//!
//! A package is stored as its fields, one after the other and always in the same order. The fields that are asked of every
//! package (its head) are stored apart from the rest (its body), so that a search reads little memory. A field is stored as its
//! length and its text. The length is written in digits of six bits, the lowest first; bit 6 of a digit says that another
//! digit follows. So everything stored is text, and one check for UTF-8 is enough for all of it.

use crate::package::{Package, each};

/// The packages of an index, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    heads: String,
    bodies: String,
    /// Where each package begins in `heads` and in `bodies`.
    starts: Vec<[usize; 2]>,
}

/// The fields that are asked of every package of an index.
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
    /// Creates an empty table with room for `bytes` of index text.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        // A stanza of a real index has 700 to 800 bytes on average; its head takes 80 of them and its body 420.
        let (heads, bodies) = (String::with_capacity(bytes / 9), String::with_capacity(bytes / 9 * 5));
        Self { heads, bodies, starts: Vec::with_capacity(bytes / 750) }
    }

    /// Parses a whole index as [`crate::packages::parse`] does.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut table = Self::with_capacity(text.len());
        table.extend(text);
        table
    }

    /// Appends the packages of `text`, which must consist of whole stanzas.
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

    /// The number of packages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether the table has no packages.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The package at `position`. If there is none, all fields are empty.
    #[must_use]
    pub fn package(&self, position: usize) -> Package<'_> {
        let mut package = Package::default();
        let [mut head, mut body] = self.readers(position);
        for (number, field) in fields(&mut package).into_iter().enumerate() {
            *field = if number < HEAD { head.field() } else { body.field() };
        }
        package
    }

    /// The head of the package at `position`. If there is none, all fields are empty.
    #[must_use]
    pub fn head(&self, position: usize) -> Head<'_> {
        let mut head = Head::default();
        let [mut reader, _] = self.readers(position);
        for field in head_fields(&mut head) {
            *field = reader.field();
        }
        head
    }

    /// All packages, in the order of the index.
    pub fn packages(&self) -> impl Iterator<Item = Package<'_>> {
        (0..self.len()).map(|position| self.package(position))
    }

    /// Returns the table in parts that can be stored: two texts, the longer one last, and a list of numbers.
    #[must_use]
    pub fn parts(&self) -> ([&str; 2], Vec<u8>) {
        let numbers = self.starts.as_flattened().iter().flat_map(|start| (*start as u64).to_le_bytes());
        ([&self.heads, &self.bodies], numbers.collect())
    }

    /// Makes a table of the parts that [`Table::parts`] returned. Other parts make a meaningless table, but never a panic.
    #[must_use]
    pub fn from_parts([heads, bodies]: [String; 2], numbers: &[u8]) -> Self {
        let (starts, _) = numbers.as_chunks::<8>().0.as_chunks();
        // A number that does not fit into memory lies beyond the end, so that the package there is empty.
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
    /// Reads the next field. It is empty beyond the end, and where no field begins.
    fn field(&mut self) -> &'a str {
        let (mut length, mut shift) = (0, 0u32);
        while let Some(byte) = self.text.as_bytes().get(self.position) {
            self.position += 1;
            // A length with more digits than a number can have is damaged.
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

/// A digit: six bits of the length, and the bit that says whether another digit follows.
fn digit(bits: usize) -> char {
    char::from((bits & 0o177) as u8)
}

/// The number of fields in the head.
const HEAD: usize = 6;

/// The order in which fields are stored. If it changes, tables that were stored before cannot be read any more.
fn fields<'p, 'a>(p: &'p mut Package<'a>) -> [&'p mut &'a str; 27] {
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
        &mut p.task,
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

/// The first [`HEAD`] of these fields.
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
