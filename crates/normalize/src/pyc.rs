//! Reproducible Python bytecode: `.pyc` files that do not depend on the process that compiled them.
//!
//! CPython before 3.11 writes different files for one source, for two reasons. First, a set in a test (`x in {"a", "b"}`)
//! becomes a constant, and CPython writes its elements in the order of their hashes. The hashes of strings depend on a seed
//! that is new in every process (CPython issue 81777). The packages compile with `python3 -E`, so no environment variable can
//! set the seed. Second, CPython marks an object as one that later references may name if anything in the process holds the
//! object at that moment, as caches do with some names in some processes (CPython issue 78274).
//!
//! Therefore this module reads the file as CPython's `Python/marshal.c` does and writes it again, with the elements of sets
//! sorted and with marks on exactly those objects that references name. Python loads equal objects from it, and as many of them
//! are shared as before. A file stays as it is if it is not understood or if no compiler writes such a file, because a package
//! may ship anything under such a name.

use rootstrap_rootfs::path;

/// The size in bytes of the largest file that is read. The largest file of CPython itself has less than half a million bytes.
pub(crate) const MAX_SIZE: u64 = 8 << 20;

/// The largest number of objects in a file that is rewritten. An object takes less than a hundred bytes of memory.
const MAX_OBJECTS: usize = 1 << 20;

/// The largest number of levels of nested objects in a file that is rewritten. A function in a function has two levels. CPython
/// itself reads 2000 levels.
const MAX_DEPTH: usize = 200;

/// Marks an object that references may name. The object gets the next number.
const FLAG_REF: u8 = 0x80;

/// Returns the `N` of the Python 3.N that compiled the file at `path`, if `N` is from 3 to 10.
///
/// The names are those of PEP 3147 and PEP 488: `__pycache__/module.cpython-38.opt-1.pyc`.
#[must_use]
pub fn version(path: &[u8]) -> Option<u8> {
    let stem = path.strip_suffix(b".pyc")?;
    let stem = stem.strip_suffix(b".opt-1").or_else(|| stem.strip_suffix(b".opt-2")).unwrap_or(stem);
    let (directory, name) = path::split(stem);
    if path::name(directory) != b"__pycache__" {
        return None;
    }
    let tag = name.split_at(name.iter().rposition(|&b| b == b'.')?).1;
    (3..=10).find(|version| tag == format!(".cpython-3{version}").as_bytes())
}

/// Returns `file` in its reproducible form. Returns `None` if it has this form already or is not understood. `version` is the
/// `N` of Python 3.N. The result is as long as `file`.
#[must_use]
pub fn normalized(file: &[u8], version: u8) -> Option<Vec<u8>> {
    // The header: the magic number, which ends with CR and LF; flags since PEP 552 (Python 3.7); the time and size of the
    // source, or its hash.
    let (header, rest) = file.split_at_checked(if version < 7 { 12 } else { 16 })?;
    if header.get(2..4) != Some(b"\r\n") {
        return None;
    }
    let budget = usize::try_from(MAX_SIZE).ok()?;
    let mut graph = Graph { version, rest, nodes: Vec::new(), numbered: Vec::new(), budget };
    let module = graph.object(0)?;
    if !graph.rest.is_empty() {
        return None;
    }
    let numbers = vec![None; graph.nodes.len()];
    let mut writer = Writer { nodes: &graph.nodes, numbers, next: 0, out: header.to_vec() };
    writer.object(module)?;
    // In any order, every object is written once and every reference takes five bytes.
    (writer.out.len() == file.len() && writer.out != file).then_some(writer.out)
}

/// One object of the file, or the bytes between two parts of an object.
struct Node<'f> {
    /// The bytes from the type to the first part.
    head: &'f [u8],
    /// Whether the file marks the object as one that references may name.
    has_mark: bool,
    /// Whether a reference names the object.
    is_referenced: bool,
    /// The indexes of the parts, in the order of the file. The elements of a set are in the order of their values.
    parts: Vec<usize>,
    /// The number of levels below the object. Levels behind references count.
    height: usize,
}

/// The objects read so far.
struct Graph<'f> {
    version: u8,
    rest: &'f [u8],
    nodes: Vec<Node<'f>>,
    /// The nodes of the objects that references can name, by number. `None` stands for an object that is still being read.
    numbered: Vec<Option<usize>>,
    /// How many bytes may still be written to compare elements. Without a limit, references to objects full of references could
    /// take any number.
    budget: usize,
}

impl<'f> Graph<'f> {
    /// Reads an object and returns the index of its node (`r_object` of marshal.c).
    fn object(&mut self, depth: usize) -> Option<usize> {
        if depth > MAX_DEPTH {
            return None;
        }
        let start = self.rest;
        let [first] = self.array()?;
        let (kind, has_mark) = (first & !FLAG_REF, first & FLAG_REF != 0);
        match kind {
            // Compilers never mark singletons and references.
            b'N' | b'F' | b'T' | b'S' | b'.' | b'r' if has_mark => return None,
            b'r' => return self.reference(),
            _ => {}
        }
        let count = self.data(kind)?;
        let head = start.get(..start.len() - self.rest.len())?;
        // An object gets its number before its parts are read (`r_ref_reserve` of marshal.c; `R_REF` for objects without
        // parts).
        let number = self.numbered.len();
        if has_mark {
            self.numbered.push(None);
        }
        let mut parts = self.parts(kind, count, depth + 1)?;
        let below = parts.iter().filter_map(|&part| self.nodes.get(part));
        let height = below.map(|node| node.height + 1).max().unwrap_or(0);
        if height > MAX_DEPTH {
            return None;
        }
        if matches!(kind, b'<' | b'>') {
            self.sort(&mut parts)?;
        }
        let node = self.add(Node { head, has_mark, is_referenced: false, parts, height })?;
        if has_mark {
            *self.numbered.get_mut(number)? = Some(node);
        }
        Some(node)
    }

    /// Reads the number of a reference and returns the index of the node that it names. An object could refer to itself from
    /// inside, but compilers build no such object.
    fn reference(&mut self) -> Option<usize> {
        let number = self.length()?;
        let node = (*self.numbered.get(number)?)?;
        self.nodes.get_mut(node)?.is_referenced = true;
        Some(node)
    }

    /// Passes over the data of an object of `kind` that come before its parts. Returns the number of parts, or 0 for a kind
    /// whose number of parts is not in the file.
    fn data(&mut self, kind: u8) -> Option<usize> {
        match kind {
            b'N' | b'F' | b'T' | b'S' | b'.' | b'{' => {}
            b'i' => self.skip(4)?,
            b'I' | b'g' => self.skip(8)?,
            b'y' => self.skip(16)?,
            b'f' => self.skip_short()?,
            b'x' => (0..2).try_for_each(|_| self.skip_short())?,
            // A long integer: the count of its digits, with the sign of the integer, then digits of 15 bits in two bytes each.
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
                let [count] = self.array()?;
                return Some(count.into());
            }
            b'(' | b'[' | b'<' | b'>' => return self.length(),
            // Code: the counts of arguments and locals, the size of the stack, and flags. PEP 570 (Python 3.8) added a count.
            b'c' => self.skip(if self.version < 8 { 20 } else { 24 })?,
            _ => return None,
        }
        Some(0)
    }

    /// Reads the parts of an object of `kind`.
    fn parts(&mut self, kind: u8, count: usize, depth: usize) -> Option<Vec<usize>> {
        let mut parts = Vec::new();
        match kind {
            // A dictionary: keys and values in turns, ended by a null in place of a key.
            b'{' => {
                while self.rest.first() != Some(&b'0') {
                    parts.push(self.object(depth)?);
                    parts.push(self.object(depth)?);
                }
                parts.push(self.raw(1)?);
            }
            // Code: the instructions, the constants, four tuples of names, the file and the function; the number of the first
            // line; the table of lines.
            b'c' => {
                for _ in 0..8 {
                    parts.push(self.object(depth)?);
                }
                parts.push(self.raw(4)?);
                parts.push(self.object(depth)?);
            }
            // No memory is reserved for `count` parts: a damaged file may have any number there.
            _ => {
                for _ in 0..count {
                    parts.push(self.object(depth)?);
                }
            }
        }
        Some(parts)
    }

    /// Sorts the elements of a set by their values.
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

    /// Adds a node and returns its index.
    fn add(&mut self, node: Node<'f>) -> Option<usize> {
        let index = self.nodes.len();
        self.nodes.push(node);
        (index < MAX_OBJECTS).then_some(index)
    }

    /// Adds a node for the next `length` bytes, which are copied as they are.
    fn raw(&mut self, length: usize) -> Option<usize> {
        let head = self.rest.get(..length)?;
        self.skip(length)?;
        self.add(Node { head, has_mark: false, is_referenced: false, parts: Vec::new(), height: 0 })
    }

    fn skip(&mut self, length: usize) -> Option<()> {
        self.rest = self.rest.get(length..)?;
        Some(())
    }

    /// Passes over a byte and as many further bytes as it says.
    fn skip_short(&mut self) -> Option<()> {
        let [length] = self.array()?;
        self.skip(length.into())
    }

    /// Reads a length or a number. The file has it as a signed integer; a negative one is an error.
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
    /// Writes the head, with a mark if `mark` is true.
    fn write(&self, mark: bool, out: &mut Vec<u8>) -> Option<()> {
        let (&first, rest) = self.head.split_first()?;
        out.push(if self.has_mark && !mark { first & !FLAG_REF } else { first });
        out.extend_from_slice(rest);
        Some(())
    }
}

/// Writes a value without marks and references, so that equal values give equal bytes whatever else refers to their parts.
fn write_value(nodes: &[Node], node: usize, out: &mut Vec<u8>, budget: &mut usize) -> Option<()> {
    let node = nodes.get(node)?;
    *budget = budget.checked_sub(node.head.len())?;
    node.write(false, out)?;
    node.parts.iter().try_for_each(|&part| write_value(nodes, part, out, budget))
}

/// Writes objects as `w_object` of marshal.c does: the first time in full, every other time as a reference.
struct Writer<'g> {
    nodes: &'g [Node<'g>],
    numbers: Vec<Option<u32>>,
    next: u32,
    out: Vec<u8>,
}

impl Writer<'_> {
    fn object(&mut self, index: usize) -> Option<()> {
        let node = self.nodes.get(index)?;
        if node.is_referenced {
            let number = self.numbers.get_mut(index)?;
            if let Some(number) = number {
                self.out.push(b'r');
                self.out.extend_from_slice(&number.to_le_bytes());
                return Some(());
            }
            *number = Some(self.next);
            self.next += 1;
        }
        node.write(node.is_referenced, &mut self.out)?;
        node.parts.iter().try_for_each(|&part| self.object(part))
    }
}

#[cfg(test)]
#[path = "pyc_tests.rs"]
mod tests;
