//! The text of a lock.

use crate::digest::digest_of;
use crate::error::Error;
use crate::model::{Lock, Package, Platform, Source, label};
use crate::request::Request;
use rootstrap_debian::packages::is_relative_path;
use rootstrap_debian::sources::suite_directory;
use rootstrap_debian::{arch, relation};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The number of the format. It changes when an older version of rootstrap would read a lock wrongly.
pub const FORMAT: u32 = 1;

/// The most bytes of a lock. A desktop for one architecture has 1.3 MB.
pub const SIZE: u64 = 64 << 20;

/// What is done with updates that an archive hands out to some machines first: the newest version is taken, as if this machine were among
/// those, so that every machine gets the same.
const PHASED_UPDATES: &str = "newest";

const HEAD: &str = "# Written by `rootstrap lock`; a change by hand makes it invalid. See docs/lock.md of rootstrap.\n";

/// The outer form of the text.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    version: u32,
    /// The SHA-256 of all that follows.
    digest: String,
    epoch: i64,
    phased_updates: String,
    /// [`Request::digest`].
    request_digest: String,
    request: Request,
    #[serde(rename = "source")]
    sources: Vec<Source>,
    #[serde(rename = "platform")]
    platforms: Vec<Platform>,
}

/// The version alone, which says whether the rest can be read.
#[derive(Deserialize)]
struct Version {
    version: i64,
}

impl Lock {
    /// Returns the text: the same bytes for the same lock.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut lock = self.clone();
        lock.request = lock.request.distinct();
        lock.platforms.sort_by(|a, b| a.architecture.cmp(&b.architecture));
        for platform in &mut lock.platforms {
            platform.packages.sort_by(|a, b| (&a.name, &a.architecture).cmp(&(&b.name, &b.architecture)));
        }
        let digest = lock.digest();
        let Self { epoch, request, sources, platforms } = lock;
        let request_digest = request.digest();
        let phased_updates = PHASED_UPDATES.to_owned();
        let file = File { version: FORMAT, digest, epoch, phased_updates, request_digest, request, sources, platforms };
        // Strings, numbers, lists and tables can always be written as TOML.
        HEAD.to_owned() + &toml::to_string_pretty(&file).unwrap_or_default()
    }

    /// Reads a text that [`Lock::to_text`] wrote. Line ends may have become those of another system.
    ///
    /// # Errors
    /// The text is no lock, a newer format, or not as it was written.
    pub fn parse(text: &str) -> Result<Self, Error> {
        // Keys and preferences have several lines in one value.
        let text = text.replace("\r\n", "\n");
        let text = text.as_str();
        let malformed = |error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            Error::Malformed { line: before.matches('\n').count() + 1, reason: error.message().to_owned() }
        };
        let Version { version } = toml::from_str(text).map_err(malformed)?;
        if version != i64::from(FORMAT) {
            return Err(match version > i64::from(FORMAT) {
                true => Error::Newer { found: version, known: FORMAT },
                false => Error::Invalid { reason: format!("there is no format {version}") },
            });
        }
        let file: File = toml::from_str(text).map_err(malformed)?;
        let File { version: _, digest, epoch, phased_updates, request_digest, request, sources, platforms } = file;
        let lock = Self { epoch, request, sources, platforms };
        if lock.digest() != digest || lock.request.digest() != request_digest || phased_updates != PHASED_UPDATES {
            return Err(Error::Changed);
        }
        lock.check().map_err(|reason| Error::Invalid { reason })?;
        Ok(lock)
    }

    fn digest(&self) -> String {
        digest_of(&(self.epoch, PHASED_UPDATES, &self.request, &self.sources, &self.platforms))
    }

    /// Checks what others rely on.
    fn check(&self) -> Result<(), String> {
        let architectures: Vec<&String> = self.platforms.iter().map(|platform| &platform.architecture).collect();
        if !architectures.iter().copied().eq(&self.request.architectures) {
            return Err("its platforms are not those of its request".to_owned());
        }
        let Request { suite, variant, include, exclude, add_architectures, pockets, components, .. } = &self.request;
        let words = [include, exclude, pockets, components].into_iter().flatten().chain([suite, variant]);
        if words.clone().any(|word| has_control(word)) || !add_architectures.iter().all(|name| arch::is_valid(name)) {
            return Err("its request has a word that no request has".to_owned());
        }
        for source in &self.sources {
            let Source { pocket, suite, codename, origin, uris, signed_by, .. } = source;
            let words = [pocket, codename, origin].into_iter().chain(uris).chain(signed_by);
            let directory = suite_directory(suite);
            let is_usable = directory.is_empty() || is_relative_path(&directory);
            if !is_usable || has_control(suite) || words.clone().any(|word| has_control(word)) {
                return Err(format!("the source {:?} has no usable address", source.pocket));
            }
        }
        self.platforms.iter().try_for_each(|platform| self.check_platform(platform))
    }

    fn check_platform(&self, platform: &Platform) -> Result<(), String> {
        let of_root = &platform.architecture;
        if !arch::is_valid(of_root) {
            return Err(format!("{of_root:?} is no architecture"));
        }
        let pockets: BTreeSet<&String> = self.sources_of(of_root).map(|source| &source.pocket).collect();
        let mut labels = BTreeSet::new();
        for package in &platform.packages {
            let Package { name, version, architecture, source, pocket, component, path, .. } = package;
            let is_word =
                |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_control() || c.is_whitespace());
            let lines = [source, component, &package.priority, &package.section, &package.multi_arch, &package.why];
            if !is_word(version)
                || !is_word(path)
                || !is_relative_path(path)
                || lines.iter().any(|text| has_control(text))
            {
                return Err(format!("the package {name:?} has a field that no package has"));
            }
            if !relation::is_package_name(name) || !arch::is_valid(architecture) || !pockets.contains(pocket) {
                return Err(format!("the package {name:?} has no valid name, architecture or pocket"));
            }
            if !labels.insert(label(of_root, name, architecture)) {
                return Err(format!("the package {name} is there twice"));
            }
        }
        for name in platform.phases.iter().flat_map(|phase| &phase.packages) {
            if !labels.remove(name) {
                return Err(format!("a phase has the package {name:?}, which is not listed, or is in another phase"));
            }
        }
        match labels.pop_first() {
            Some(name) => Err(format!("no phase has the package {name}")),
            None => Ok(()),
        }
    }
}

fn has_control(text: &str) -> bool {
    text.contains(char::is_control)
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
