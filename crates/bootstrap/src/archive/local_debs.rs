//! Debs that the user names by their paths. The debs of one directory are a pocket of their own, which no Release file describes.

use crate::archive::input_file::open_input;
use crate::archive::served::ServedPocket;
use crate::error::Error;
use crate::request::Selection;
use rootstrap_debian::digest::Digest;
use rootstrap_debian::packages::Table;
use rootstrap_debian::release::Release;
use rootstrap_resolve::{Index, NamedDeb};
use rootstrap_unpack::Deb;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

/// The debs of one directory.
pub(crate) struct LocalDebs {
    pub served: ServedPocket,
    /// What an index would say of them, for each architecture of the root.
    indexes: Vec<(String, Table)>,
    debs: Vec<NamedDeb>,
    release: Release,
}

/// Whether an include is the path of a deb and not the name of a package. As for apt, it has to have a slash.
pub(crate) fn is_path(include: &str) -> bool {
    let is_deb = include.contains('/') && include.ends_with(".deb");
    is_deb || ["/", "./", "../"].iter().any(|start| include.starts_with(start))
}

/// Returns the directory, which begins with a slash or a dot, and the file name of a path.
fn split(path: &str) -> (String, &str) {
    match path.rsplit_once('/') {
        Some(("", file)) => ("/".to_owned(), file),
        Some((directory, file)) if directory.starts_with(['/', '.']) => (directory.to_owned(), file),
        Some((directory, file)) => (format!("./{directory}"), file),
        None => (".".to_owned(), path),
    }
}

/// Returns the address of a directory that the user names, as mirrors have it.
fn mirror(directory: &str) -> Result<String, Error> {
    let path = std::path::absolute(directory).map_err(Error::io("find", Path::new(directory)))?;
    Ok(format!("file://{}", path.display().to_string().replace('%', "%25")))
}

/// Returns the directories of the debs that are included, and their addresses.
pub(crate) fn mirrors(selection: &Selection) -> Result<Vec<(String, String)>, Error> {
    let mut found: Vec<(String, String)> = Vec::new();
    for path in selection.include.iter().filter(|include| is_path(include)) {
        let (directory, _) = split(path);
        if found.iter().all(|(known, _)| *known != directory) {
            let mirror = mirror(&directory)?;
            found.push((directory, mirror));
        }
    }
    Ok(found)
}

/// Reads the debs that are included by their paths. `first` is the number of the first pocket that they make.
///
/// # Errors
/// A file cannot be read, is no deb, or is for an architecture that the root does not have.
pub(crate) fn read(selection: &Selection, first: usize) -> Result<Vec<LocalDebs>, Error> {
    let mut pockets = Vec::new();
    for (number, (directory, mirror)) in (first..).zip(mirrors(selection)?) {
        let of_directory = |path: &&String| is_path(path) && split(path).0 == directory;
        let (mut stanzas, mut debs) = (Vec::new(), Vec::new());
        let mut paths: Vec<&String> = selection.include.iter().filter(of_directory).collect();
        paths.sort();
        paths.dedup();
        for path in paths {
            let (deb, stanza) = read_one(path, selection, number)?;
            stanzas.push((deb.architecture.clone(), stanza));
            debs.push(deb);
        }
        let index = |architecture: &str| {
            let is_native = architecture == selection.architecture;
            let is_listed = |of: &str| of == architecture || is_native && of == "all";
            let texts = stanzas.iter().filter(|(of, _)| is_listed(of)).map(|(_, stanza)| stanza.as_str());
            (architecture.to_owned(), Table::parse(&texts.collect::<Vec<_>>().join("\n")))
        };
        let all: String = stanzas.iter().map(|(_, stanza)| stanza.as_str()).collect();
        pockets.push(LocalDebs {
            served: ServedPocket {
                name: directory,
                // As of a flat repository.
                suite: "./".to_owned(),
                codename: String::new(),
                origin: String::new(),
                date: 0,
                valid_until: None,
                release: Digest::Sha256(Sha256::digest(&all).into()),
                keys: Vec::new(),
                snapshot: None,
                current: Vec::new(),
                first_having: mirror.clone(),
                mirrors: vec![mirror],
            },
            indexes: selection.architectures().into_iter().map(index).collect(),
            debs,
            release: Release::default(),
        });
    }
    Ok(pockets)
}

/// Reads one deb: what it is, and its entry of an index.
fn read_one(path: &str, selection: &Selection, pocket: usize) -> Result<(NamedDeb, String), Error> {
    let bad = |reason: String| Error::LocalDeb { path: path.to_owned(), reason, hint: None };
    let (_, name) = split(path);
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(bad("its name has a blank, or is empty".to_owned()));
    }
    let mut file = open_input(Path::new(path)).map_err(|error| bad(error.to_string()))?;
    let (size, digest) = digest(&mut file).map_err(|error| bad(error.to_string()))?;
    let control = rootstrap_unpack::read_control(Deb { file, label: path })?;
    let architecture = control.architecture.clone();
    if architecture != "all" && !selection.architectures().contains(&architecture.as_str()) {
        return Err(Error::LocalDeb {
            path: path.to_owned(),
            reason: format!("it is for {architecture}, and the root is for {}", selection.architectures().join(", ")),
            hint: Some(format!("add the architecture with --add-architecture={architecture}")),
        });
    }
    let stanza = format!("{}\nFilename: {name}\nSize: {size}\nSHA256: {digest}\n", control.text.trim_end());
    let (name, version) = (control.package, control.version);
    Ok((NamedDeb { path: path.to_owned(), name, architecture, version, pocket }, stanza))
}

/// Returns length and digest of a file, and goes back to its beginning.
fn digest(file: &mut File) -> std::io::Result<(u64, Digest)> {
    let (mut sha256, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 17]);
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            file.rewind()?;
            return Ok((size, Digest::Sha256(sha256.finalize().into())));
        }
        sha256.update(buffer.get(..count).unwrap_or_default());
        size += count as u64;
    }
}

impl LocalDebs {
    /// Returns the indexes as the resolver takes them.
    pub fn indexes(&self, number: usize) -> impl Iterator<Item = Index<'_>> {
        self.indexes.iter().map(move |(architecture, packages)| Index {
            pocket: number,
            release: &self.release,
            site: "",
            component: "",
            architecture,
            packages,
        })
    }

    /// Returns the debs.
    pub fn debs(&self) -> &[NamedDeb] {
        &self.debs
    }
}
