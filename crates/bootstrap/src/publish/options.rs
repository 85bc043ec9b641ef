//! The options of a request as documents name them: SBOMs, provenance and the plan.

use crate::archive;
use crate::error::Error;
use crate::request::{Copy, Customization, FurtherSource, Hook, Request, TarIn};
use crate::transfer::{copies, tar_in};
use rootstrap_debian::digest::Digest;
use rootstrap_debian::preferences;
use rootstrap_http::redact;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;

/// Returns the options that decide the result, under their command-line names.
///
/// # Errors
/// A file of the host cannot be read.
pub(crate) fn options(request: &Request) -> Result<Vec<(String, String)>, Error> {
    let mut options = packages(request);
    options.extend(changes(&request.customization)?);
    Ok(options)
}

/// Returns those of them that change the tree beside the packages. Files, commands, passwords and answers are named by their digests.
///
/// # Errors
/// A file of the host cannot be read.
pub(crate) fn changes(customization: &Customization) -> Result<Vec<(String, String)>, Error> {
    // Where the files are on the host concerns nobody else.
    let copy = |copy: &Copy| Ok(format!("{} {}", copy.to.display(), copies::described(copy)?));
    let archive = |tar: &TarIn| Ok(format!("{} sha256:{}", tar.to.display(), tar_in::digest(tar)?));
    let copies = customization.copies.iter().map(copy).collect::<Result<Vec<_>, Error>>()?;
    let archives = customization.archives.iter().map(archive).collect::<Result<Vec<_>, Error>>()?;
    let hooks = customization.hooks.iter().map(Hook::described).collect::<Result<Vec<_>, Error>>()?;
    // Whoever reads the document need not know the hash, nor all answers.
    let short = |name: &str, text: String| match name {
        "root-password-hash" | "debconf" | "resolv-conf" => {
            format!("sha256:{}", Digest::Sha256(Sha256::digest(&text).into()))
        }
        _ => text,
    };
    let settings = customization.settings.described().into_iter();
    let settings = settings.map(|(name, text)| (name.to_owned(), short(name, text)));
    let changes = [
        ("slim", flag(customization.slim)),
        ("tar-in", list(&archives)),
        ("copy", list(&copies)),
        ("hook", list(&hooks)),
        ("hook-network", flag(customization.hook_network)),
    ];
    Ok(named(changes).chain(settings).collect())
}

/// Returns those of them that decide the packages, where they come from, and the form of the result.
pub(crate) fn packages(request: &Request) -> Vec<(String, String)> {
    let Request { selection, sources, output, .. } = request;
    let date = |seconds: Option<i64>| seconds.map(|seconds| format!("@{seconds}"));
    // Their order makes no difference.
    let set = |words: &[String]| list(&words.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());
    let file_name = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
    let included =
        selection.include.iter().map(|name| if archive::is_path(name) { file_name(name) } else { name.clone() });
    let included: Vec<String> = included.collect();
    let pins = preferences::to_text(&selection.preferences).trim_end().replace('\n', "; ");
    let options = [
        ("foreign", flag(output.is_first_stage())),
        ("image", flag(output.is_base_image())),
        ("include", set(&included)),
        ("exclude", set(&selection.exclude)),
        ("recommends", flag(selection.recommends)),
        ("add-architecture", list(&selection.add_architectures)),
        ("arch-variant", sources.arch_variant.clone()),
        ("components", list(&sources.components)),
        ("pockets", list(&sources.pockets)),
        ("mirror", sources.mirrors.first().map(|uri| redact::userinfo(uri))),
        ("source", list(&sources.further.iter().map(described).collect::<Vec<_>>())),
        ("pin", Some(pins).filter(|_| !selection.preferences.is_empty())),
        ("snapshot", date(sources.snapshot.as_ref().map(|snapshot| snapshot.at))),
        ("sources", sources.write_snapshot.then(|| "snapshot".to_owned())),
        ("valid-at", date(sources.valid_at)),
        ("allow-rollback", flag(sources.allow_rollback)),
        ("merged-usr", sources.merged_usr.map(|is| if is { "yes" } else { "no" }.to_owned())),
        ("no-check-sig", flag(sources.unsigned)),
        ("sources-format", sources.plain_sources.then(|| "plain".to_owned())),
    ];
    named(options).collect()
}

/// Returns a further source in one line, without its keys, user and password.
fn described(source: &FurtherSource) -> String {
    let mut entry = source.entry.clone();
    entry.uris.iter_mut().for_each(|uri| *uri = redact::userinfo(uri));
    entry.to_lines(None).trim_end().replace('\n', "; ")
}

fn list(words: &[String]) -> Option<String> {
    (!words.is_empty()).then(|| words.join(","))
}

fn flag(set: bool) -> Option<String> {
    set.then(|| "true".to_owned())
}

fn named<const N: usize>(options: [(&'static str, Option<String>); N]) -> impl Iterator<Item = (String, String)> {
    options.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)))
}
