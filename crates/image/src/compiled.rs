//! Compiled Python as one compiler would write it every time.
//!
//! CPython before 3.11 does not, in two ways. A set in a test (`x in {"a", "b"}`) becomes a constant, and its elements
//! are written in the order of their hashes, which for strings are seeded anew in every process (CPython issue 81777);
//! the packages compile with `python3 -E`, so that no environment can name a seed. And what later references may name is
//! marked so if anything in the process holds it just then, as caches do with some names in some processes (CPython
//! issue 78274). So the file is read as CPython's `Python/marshal.c` reads it, and written again with the elements
//! sorted and with marks on what references do name. Python loads equal objects, as much shared as before. Whatever is
//! not understood, and what no compiler writes, stays as it is: a package may put anything there.

/// Bytes of the largest file that is looked at; the largest one CPython has is under half a million.
pub(crate) const LARGEST: u64 = 8 << 20;

/// Objects of the largest file that is looked at; one takes less than a hundred bytes of memory.
const MOST: usize = 1 << 20;

/// Levels of the deepest constant that is looked at: a function in a function is two. CPython itself reads 2000.
const DEEPEST: usize = 200;

/// Marks an object that references may name: it takes the next number.
const FLAG_REF: u8 = 0x80;

/// The `N` of the Python 3.N that compiled the file at `path`, if it is from 3 to 10.
///
/// The names are those of PEP 3147 and PEP 488: `__pycache__/module.cpython-38.opt-1.pyc`.
#[must_use]
pub fn version(path: &[u8]) -> Option<u8> {
    let stem = path.strip_suffix(b".pyc")?;
    let stem = stem.strip_suffix(b".opt-1").or_else(|| stem.strip_suffix(b".opt-2")).unwrap_or(stem);
    let (directory, name) = stem.split_at(stem.iter().rposition(|&b| b == b'/')?);
    if directory != b"__pycache__" && !directory.ends_with(b"/__pycache__") {
        return None;
    }
    let tag = name.split_at(name.iter().rposition(|&b| b == b'.')?).1;
    (3..=10).find(|version| tag == format!(".cpython-3{version}").as_bytes())
}

/// The file as it is every time, or `None` if it is so already or is not understood. `version` is the `N` of Python 3.N.
/// The result is as long as `file`.
#[must_use]
pub fn settled(file: &[u8], version: u8) -> Option<Vec<u8>> {
    // The magic number, ended by CR and LF; from PEP 552 on flags; then time and size of the source, or its hash.
    let (header, rest) = file.split_at_checked(if version < 7 { 12 } else { 16 })?;
    if header.get(2..4) != Some(b"\r\n") {
        return None;
    }
    let budget = usize::try_from(LARGEST).ok()?;
    let mut graph = Graph { version, rest, nodes: Vec::new(), numbered: Vec::new(), budget };
    let top = graph.object(0)?;
    if !graph.rest.is_empty() {
        return None;
    }
    let numbers = vec![None; graph.nodes.len()];
    let mut writer = Writer { nodes: &graph.nodes, numbers, next: 0, out: header.to_vec() };
    writer.object(top)?;
    // Every object is written once and every reference is five bytes, in whatever order.
    (writer.out.len() == file.len() && writer.out != file).then_some(writer.out)
}

/// One object of the file, or bytes that stand between two of its parts.
struct Node<'f> {
    /// From the type on, to where its parts begin.
    head: &'f [u8],
    /// Whether it is marked as what references may name.
    flagged: bool,
    /// Whether one does.
    named: bool,
    /// What it is made of, in the order of the file; in that of their values if it is a set.
    parts: Vec<usize>,
    /// Levels below it, those behind references as well.
    height: usize,
}

/// The objects read so far.
struct Graph<'f> {
    version: u8,
    rest: &'f [u8],
    nodes: Vec<Node<'f>>,
    /// The objects that references can name, by number: `None` while one is being read.
    numbered: Vec<Option<usize>>,
    /// Bytes that may still be written to compare elements. References to references to … would take any number.
    budget: usize,
}

impl<'f> Graph<'f> {
    /// Reads an object and says which node it is (`r_object` of marshal.c).
    fn object(&mut self, depth: usize) -> Option<usize> {
        if depth > DEEPEST {
            return None;
        }
        let start = self.rest;
        let [first] = self.array()?;
        let (kind, flagged) = (first & !FLAG_REF, first & FLAG_REF != 0);
        let mut count = 0;
        match kind {
            // Singletons, and references: these are never marked.
            b'N' | b'F' | b'T' | b'S' | b'.' | b'r' if flagged => return None,
            b'N' | b'F' | b'T' | b'S' | b'.' => {}
            // What is still being read could be named inside itself, but compilers build no such thing.
            b'r' => {
                let number = self.length()?;
                let node = (*self.numbered.get(number)?)?;
                self.nodes.get_mut(node)?.named = true;
                return Some(node);
            }
            b'i' => self.skip(4)?,
            b'I' | b'g' => self.skip(8)?,
            b'y' => self.skip(16)?,
            b'f' => self.skip_short()?,
            b'x' => (0..2).try_for_each(|_| self.skip_short())?,
            // Digits of 15 bits in two bytes each; the sign of their number is that of the value.
            b'l' => {
                let digits = i32::from_le_bytes(self.array()?).unsigned_abs();
                self.skip(usize::try_from(digits).ok()?.checked_mul(2)?)?;
            }
            b's' | b't' | b'u' | b'a' | b'A' => {
                let length = self.length()?;
                self.skip(length)?;
            }
            b'z' | b'Z' => self.skip_short()?,
            b')' => {
                let [short] = self.array()?;
                count = short.into();
            }
            b'(' | b'[' | b'<' | b'>' => count = self.length()?,
            b'{' => {}
            // Counts of arguments, of locals, of the stack, and flags; since PEP 570 one more.
            b'c' => self.skip(if self.version < 8 { 20 } else { 24 })?,
            _ => return None,
        }
        let head = start.get(..start.len() - self.rest.len())?;
        // Leaves take their number here, after their bytes, and what has parts before them: `R_REF`, `r_ref_reserve`.
        let number = self.numbered.len();
        if flagged {
            self.numbered.push(None);
        }
        let mut parts = self.parts(kind, count, depth + 1)?;
        let below = parts.iter().filter_map(|&part| self.nodes.get(part));
        let height = below.map(|node| node.height + 1).max().unwrap_or(0);
        if height > DEEPEST {
            return None;
        }
        if matches!(kind, b'<' | b'>') {
            self.sort(&mut parts)?;
        }
        let node = self.add(Node { head, flagged, named: false, parts, height })?;
        if flagged {
            *self.numbered.get_mut(number)? = Some(node);
        }
        Some(node)
    }

    /// Reads what an object of `kind` is made of.
    fn parts(&mut self, kind: u8, count: usize, depth: usize) -> Option<Vec<usize>> {
        let mut parts = Vec::new();
        match kind {
            // Keys and values, ended by a null in place of a key.
            b'{' => {
                while self.rest.first() != Some(&b'0') {
                    parts.push(self.object(depth)?);
                    parts.push(self.object(depth)?);
                }
                parts.push(self.between(1)?);
            }
            // Code, constants, four tuples of names, file and function; the first line; the table of lines.
            b'c' => {
                for _ in 0..8 {
                    parts.push(self.object(depth)?);
                }
                parts.push(self.between(4)?);
                parts.push(self.object(depth)?);
            }
            // Nothing is set aside for `count`: it may be any number, and the file ends before.
            _ => {
                for _ in 0..count {
                    parts.push(self.object(depth)?);
                }
            }
        }
        Some(parts)
    }

    /// Puts the elements of a set into the order of their values.
    fn sort(&mut self, elements: &mut [usize]) -> Option<()> {
        let mut keyed = Vec::new();
        for &element in &*elements {
            let mut key = Vec::new();
            write_value(&self.nodes, element, &mut key, &mut self.budget)?;
            keyed.push((key, element));
        }
        keyed.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (place, (_, element)) in elements.iter_mut().zip(keyed) {
            *place = element;
        }
        Some(())
    }

    /// Keeps a node, and says where.
    fn add(&mut self, node: Node<'f>) -> Option<usize> {
        let index = self.nodes.len();
        self.nodes.push(node);
        (index < MOST).then_some(index)
    }

    /// The next bytes as they are.
    fn between(&mut self, length: usize) -> Option<usize> {
        let head = self.rest.get(..length)?;
        self.skip(length)?;
        self.add(Node { head, flagged: false, named: false, parts: Vec::new(), height: 0 })
    }

    fn skip(&mut self, length: usize) -> Option<()> {
        self.rest = self.rest.get(length..)?;
        Some(())
    }

    /// Passes over bytes whose number is in the byte before them.
    fn skip_short(&mut self) -> Option<()> {
        let [length] = self.array()?;
        self.skip(length.into())
    }

    /// A length or a number: signed in the file, never negative.
    fn length(&mut self) -> Option<usize> {
        i32::from_le_bytes(self.array()?).try_into().ok()
    }

    fn array<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        let (array, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*array)
    }
}

impl Node<'_> {
    /// Writes the head with a mark or without.
    fn write(&self, marked: bool, out: &mut Vec<u8>) -> Option<()> {
        let (&first, rest) = self.head.split_first()?;
        out.push(if self.flagged && !marked { first & !FLAG_REF } else { first });
        out.extend_from_slice(rest);
        Some(())
    }
}

/// Writes a value so that it does not matter what else refers to its parts: without marks and references.
fn write_value(nodes: &[Node], node: usize, out: &mut Vec<u8>, budget: &mut usize) -> Option<()> {
    let node = nodes.get(node)?;
    *budget = budget.checked_sub(node.head.len())?;
    node.write(false, out)?;
    node.parts.iter().try_for_each(|&part| write_value(nodes, part, out, budget))
}

/// Writes objects as `w_object` of marshal.c does: in full where they come first, from then on by their number.
struct Writer<'g> {
    nodes: &'g [Node<'g>],
    numbers: Vec<Option<u32>>,
    next: u32,
    out: Vec<u8>,
}

impl Writer<'_> {
    fn object(&mut self, index: usize) -> Option<()> {
        let node = self.nodes.get(index)?;
        if node.named {
            let number = self.numbers.get_mut(index)?;
            if let Some(number) = number {
                self.out.push(b'r');
                self.out.extend_from_slice(&number.to_le_bytes());
                return Some(());
            }
            *number = Some(self.next);
            self.next += 1;
        }
        node.write(node.named, &mut self.out)?;
        node.parts.iter().try_for_each(|&part| self.object(part))
    }
}

#[cfg(test)]
#[path = "compiled_tests.rs"]
mod tests;
