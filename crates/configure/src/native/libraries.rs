//! Whether a native program finds all its libraries.

use object::elf::{DT_NEEDED, FileHeader64};
use object::endian::NativeEndian;
use object::read::elf::{Dyn, FileHeader};
use rootstrap_rootfs::Root;
use std::collections::BTreeMap;

/// The libraries of the native programs in a directory, each looked at once.
pub(super) struct Libraries<'r> {
    root: &'r Root,
    /// The directories where the loader looks for libraries.
    places: Vec<String>,
    /// Whether a library and all that it needs are there.
    known: BTreeMap<String, bool>,
}

impl<'r> Libraries<'r> {
    pub fn new(root: &'r Root, places: Vec<String>) -> Self {
        Self { root, places, known: BTreeMap::new() }
    }

    /// Whether the program at `path` is one of this machine's, and finds all libraries that it needs, and those that these need.
    pub fn suffice_for(&mut self, path: &str) -> bool {
        let needed = self.root.read(path.as_bytes()).ok().flatten().and_then(|program| needed(&program));
        needed.is_some_and(|names| names.iter().all(|name| self.has(name)))
    }

    fn has(&mut self, name: &str) -> bool {
        if let Some(known) = self.known.get(name) {
            return *known;
        }
        // Libraries may need each other.
        self.known.insert(name.to_owned(), true);
        let paths: Vec<String> = self.places.iter().map(|place| format!("{place}/{name}")).collect();
        let is_there = paths.iter().any(|path| self.suffice_for(path));
        self.known.insert(name.to_owned(), is_there);
        is_there
    }
}

/// Returns the names of the libraries that a program or library of this machine needs (`DT_NEEDED`).
fn needed(bytes: &[u8]) -> Option<Vec<String>> {
    let header = FileHeader64::<NativeEndian>::parse(bytes).ok()?;
    let endian = header.endian().ok()?;
    let own = if cfg!(target_arch = "aarch64") { object::elf::EM_AARCH64 } else { object::elf::EM_X86_64 };
    if header.e_machine(endian) != own {
        return None;
    }
    let sections = header.sections(endian, bytes).ok()?;
    let Some((entries, link)) = sections.dynamic(endian, bytes).ok()? else { return Some(Vec::new()) };
    let names = sections.strings(endian, bytes, link).ok()?;
    let wanted = entries.iter().filter(|entry| entry.tag(endian) == DT_NEEDED);
    let names = wanted.map(|entry| entry.string(endian, names).ok());
    names.map(|name| name.map(|name| String::from_utf8_lossy(name).into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_itself_needs_the_c_library() {
        let needed = needed(&std::fs::read("/proc/self/exe").unwrap()).unwrap();
        assert!(needed.iter().any(|name| name.starts_with("libc.so")), "{needed:?}");
        assert_eq!(super::needed(b"#!/bin/sh\n"), None);
    }

    #[test]
    fn a_program_needs_the_libraries_of_its_libraries() {
        let place = tempfile::tempdir().unwrap();
        let root = Root::open(place.path()).unwrap();
        let own = std::fs::read("/proc/self/exe").unwrap();
        std::fs::create_dir(place.path().join("lib")).unwrap();
        std::fs::write(place.path().join("program"), &own).unwrap();
        let suffice = || Libraries::new(&root, vec!["lib".to_owned()]).suffice_for("program");
        assert!(!suffice());
        // They need each other, as the C library and its loader do.
        for name in needed(&own).unwrap() {
            std::fs::write(place.path().join("lib").join(name), &own).unwrap();
        }
        assert!(suffice());
        std::fs::write(place.path().join("lib/libc.so.6"), "damaged").unwrap();
        assert!(!suffice());
    }
}
