//! `rootstrap lock export`: the packages of a lock in forms that other programs read.

use crate::archive;
use crate::error::Error;
use crate::publish::sbom::{address, publisher_of, vendor_of};
use rootstrap_debian::packages;
use rootstrap_debian::sources::{self, path_in_suite};
use rootstrap_lock::{Lock, Package, Platform, Source};
use rootstrap_sbom::{Facts, Release, uri};
use std::collections::BTreeSet;
use std::path::Path;

/// A form that other programs read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// dpkg's database of installed packages (deb-status: dpkg(1), `/var/lib/dpkg/status`), as scanners read it.
    DpkgStatus,
    /// One line for each .deb, as `sha256sum -c` checks it.
    Sha256Sum,
    /// SPDX 2.3 as JSON.
    Spdx,
    /// CycloneDX as JSON.
    CycloneDx,
}

/// Returns the packages of a lock in another form. `architecture` chooses one of its roots; the only one if `None`. Checksums are those of
/// all roots if `None`. `path` names the lock in errors.
///
/// # Errors
/// The lock has several roots, and none is named, or not the one that is named.
pub fn export(lock: &Lock, format: ExportFormat, architecture: Option<&str>, path: &Path) -> Result<String, Error> {
    let roots: Vec<&Platform> =
        lock.platforms.iter().filter(|root| architecture.is_none_or(|named| root.architecture == named)).collect();
    let has: Vec<&str> = lock.platforms.iter().map(|root| root.architecture.as_str()).collect();
    let refuse = |reason: String| Error::Lock { path: path.to_owned(), reason };
    if let (Some(named), true) = (architecture, roots.is_empty()) {
        return Err(refuse(format!("it has no root for {named}, only for {}", has.join(", "))));
    }
    match (format, roots.as_slice()) {
        (ExportFormat::Sha256Sum, roots) => Ok(checksums(roots)),
        (ExportFormat::DpkgStatus, [root]) => Ok(status(root)),
        (ExportFormat::Spdx, [root]) => Ok(rootstrap_sbom::spdx(&facts(lock, root))),
        (ExportFormat::CycloneDx, [root]) => Ok(rootstrap_sbom::cyclonedx(&facts(lock, root))),
        _ => Err(refuse(format!("it has roots for {}: name one with --arch", has.join(", ")))),
    }
}

fn checksums(roots: &[&Platform]) -> String {
    let packages = roots.iter().flat_map(|root| &root.packages);
    let lines: BTreeSet<(&str, String)> =
        packages.map(|package| (package.path.as_str(), package.sha256.to_string())).collect();
    lines.iter().map(|(path, digest)| format!("{digest}  {path}\n")).collect()
}

fn status(root: &Platform) -> String {
    let stanza = |package: &Package| {
        let Package { name, version, architecture, source, priority, section, multi_arch, .. } = package;
        let fields = [
            ("Package", name.clone()),
            ("Essential", if package.essential { "yes".to_owned() } else { String::new() }),
            ("Status", "install ok installed".to_owned()),
            ("Priority", priority.clone()),
            ("Section", section.clone()),
            ("Installed-Size", (package.installed_size / 1024).to_string()),
            ("Architecture", architecture.clone()),
            ("Multi-Arch", multi_arch.clone()),
            ("Source", if source == name { String::new() } else { source.clone() }),
            ("Version", version.clone()),
        ];
        let lines = fields.iter().filter(|(_, value)| !value.is_empty());
        lines.map(|(field, value)| format!("{field}: {value}\n")).collect::<String>() + "\n"
    };
    root.packages.iter().map(stanza).collect()
}

/// Returns what an SBOM says of a root. What packages depend on is not known here.
fn facts(lock: &Lock, root: &Platform) -> Facts {
    let request = &lock.request;
    let sources: Vec<&Source> = lock.sources_of(&root.architecture).collect();
    let suite = rootstrap_suites::lookup(&request.suite);
    let vendor = match suite.and_then(rootstrap_suites::Suite::vendor) {
        Some(vendor) => vendor.name.clone(),
        None => vendor_of(sources.first().map_or("", |source| source.origin.as_str())),
    };
    let base = |pocket: &str| {
        let source = sources.iter().find(|source| source.pocket == pocket);
        source.and_then(|source| source.uris.first()).map_or("", String::as_str)
    };
    let publisher = |pocket: &str| match sources.iter().find(|source| source.pocket == pocket) {
        Some(source) if archive::is_further(pocket) => publisher_of(&source.origin, &vendor),
        _ => vendor.clone(),
    };
    let release = |source: &&Source| Release {
        pocket: source.pocket.clone(),
        suite: source.suite.clone(),
        codename: source.codename.clone(),
        date: source.date,
        uri: uri(base(&source.pocket), &path_in_suite(&source.suite, "Release")),
        digest: source.release_sha256,
        keys: source.signed_by.clone(),
    };
    let name = [vendor.as_str(), &request.suite, &request.variant, &root.architecture].join("-");
    Facts {
        name: name.trim_start_matches('-').to_owned(),
        image: false,
        codename: request.suite.clone(),
        version: suite.and_then(|suite| suite.version.clone()).unwrap_or_default(),
        architecture: root.architecture.clone(),
        epoch: lock.epoch,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        variant: request.variant.clone(),
        changes: lock.request.slim.then(|| ("slim".to_owned(), "true".to_owned())).into_iter().collect(),
        options: options(lock),
        packages: root.packages.iter().map(|it| package(it, base(&it.pocket), publisher(&it.pocket))).collect(),
        releases: sources.iter().filter(|it| !archive::is_local(&it.pocket)).map(release).collect(),
        vendor: vendor.clone(),
    }
}

/// Returns what an SBOM says of a package, of which a lock knows no maintainer and no dependencies.
fn package(package: &Package, base: &str, vendor: String) -> rootstrap_sbom::Package {
    let (source, source_version) = packages::source(&package.source, &package.name, &package.version);
    rootstrap_sbom::Package {
        name: package.name.clone(),
        version: package.version.clone(),
        architecture: package.architecture.clone(),
        vendor,
        source: source.to_owned(),
        source_version: source_version.to_owned(),
        digest: package.sha256,
        size: package.size,
        installed_size: package.installed_size,
        uri: address(base, &package.path),
        maintainer: String::new(),
        original_maintainer: String::new(),
        homepage: String::new(),
        summary: String::new(),
        licence: format!("/usr/share/doc/{}/copyright", package.name),
        depends: Vec::new(),
    }
}

/// Returns the options that decide the packages, under their command-line names.
fn options(lock: &Lock) -> Vec<(String, String)> {
    let request = &lock.request;
    let list = |name: &str, words: &[String]| (!words.is_empty()).then(|| (name.to_owned(), words.join(",")));
    let entries = request.further_sources.iter().flat_map(|text| sources::parse(text).unwrap_or_default());
    let sources: Vec<String> = entries.map(|entry| entry.to_lines(None).trim_end().replace('\n', "; ")).collect();
    let pins = request.preferences.trim_end().replace('\n', "; ");
    let pins = Some(pins).filter(|pins| !pins.is_empty());
    let options = [
        list("include", &request.include),
        list("exclude", &request.exclude),
        request.recommends.then(|| ("recommends".to_owned(), "true".to_owned())),
        list("add-architecture", &request.add_architectures),
        request.arch_variant.clone().map(|variant| ("arch-variant".to_owned(), variant)),
        list("components", &request.components),
        list("pockets", &request.pockets),
        list("source", &sources),
        pins.map(|pins| ("pin".to_owned(), pins)),
        request.snapshot.as_ref().map(|moment| ("snapshot".to_owned(), moment.clone())),
    ];
    options.into_iter().flatten().collect()
}
