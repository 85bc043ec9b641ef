//! A finished root as a container image: its settings and its names.

use crate::archive::host_mirrors::os_release_field;
use crate::error::{Error, refuse, unless_cancelled};
use crate::publish::product::FinishedRoot;
use crate::request::check::platform;
use crate::request::{Container, Machine, Output, Target};
use crate::staging::new_file::nameless_file;
use crate::staging::place::{parent, place_of};
use rootstrap_debian::digest::Digest;
use rootstrap_debian::release::format_date;
use rootstrap_image::compress::Algorithm;
use rootstrap_image::oci::{self, Config, Image, Name, Statement};
use rootstrap_image::tar;
use rootstrap_registry::Reference;
use rootstrap_rootfs::Root;
use rootstrap_sbom::{Facts, LOCK_TYPE, Subject};
use std::collections::BTreeMap;

/// The PATH of Debian's and Ubuntu's own images.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Packs a root of a Debian architecture or of a variant of it. `created_by` goes into the image's history.
pub(crate) fn pack(
    finished: &FinishedRoot<'_>,
    output: &Output,
    machine: &Machine,
    (architecture, variant): (&str, Option<&str>),
    created_by: &str,
) -> Result<Image, Error> {
    let platform = platform(architecture)?.with_variant(variant);
    let config = config(finished.root, &output.container, finished.options.epoch, created_by)?;
    let place = match &output.target {
        Target::Layout(path, _) => place_of(path),
        target => target.path().map_or(machine.temporary.as_path(), parent),
    };
    let compression = output.layer_compression().unwrap_or(Algorithm::Gzip.into());
    let options = tar::Options { compression, ..finished.tar_options() };
    let file = nameless_file(place, &machine.janitor)?;
    let layer =
        oci::layer(finished.root, file, &options, finished.known_pieces.clone(), &machine.cancel).map_err(Error::from);
    Ok(Image::new(platform, unless_cancelled(&machine.cancel, layer)?, &config))
}

/// Adds statements to the image that say what it is made of and where that came from, and its lock, if there can be one.
pub(crate) fn attest(image: Image, facts: &Facts, lock: Option<&str>, names: &[Name]) -> Image {
    let digest = image.digest().strip_prefix("sha256:").unwrap_or_default();
    let Ok(digest) = Digest::parse(digest) else { return image };
    let name = names.first().map_or_else(|| facts.name.clone(), |name| name.full.clone());
    let subjects = [Subject { name, digest }];
    let statement = |predicate_type: &str, bytes| Statement { predicate_type: predicate_type.to_owned(), bytes };
    let mut statements = vec![
        statement("https://spdx.dev/Document", rootstrap_sbom::statement_spdx(facts, &subjects)),
        statement("https://slsa.dev/provenance/v1", rootstrap_sbom::statement_provenance(facts, &subjects)),
    ];
    let lock = lock.map(|lock| statement(LOCK_TYPE, rootstrap_sbom::statement_lock(lock, &subjects)));
    statements.extend(lock);
    image.attest(statements)
}

/// Returns the names that were asked for, each once; or else the names in registries, or else `default`.
pub(crate) fn names(output: &Output, default: Option<&str>) -> Result<Vec<Name>, Error> {
    let mut asked: Vec<&str> = output.container.tags.iter().map(String::as_str).collect();
    if asked.is_empty() {
        asked.extend(output.push.names.iter().map(String::as_str));
    }
    if asked.is_empty() {
        asked.extend(default);
    }
    let mut names: Vec<Name> = Vec::new();
    for text in asked {
        let name = name(text)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Returns the names as Docker shows them, if there is an image that has them.
pub(crate) fn tags(output: &Output, names: &[Name]) -> Vec<String> {
    let names = names.iter().filter(|_| output.target.layer().is_some());
    names.map(|name| name.familiar.clone()).collect()
}

fn name(text: &str) -> Result<Name, Error> {
    let reference: Reference = text.parse()?;
    let full = reference.to_string();
    // Docker shows names without its own registry and namespace.
    let familiar = full.strip_prefix("docker.io/").unwrap_or(&full);
    let familiar = familiar.strip_prefix("library/").filter(|_| full.starts_with("docker.io/")).unwrap_or(familiar);
    Ok(Name { familiar: familiar.to_owned(), tag: reference.tag().to_owned(), full })
}

/// Refuses a user or a group of the container, `USER[:GROUP]`, that the image does not know by name. Numbers need no entry.
fn check_user(root: &Root, asked: &str) -> Result<(), Error> {
    let (user, group) = asked.split_once(':').unwrap_or((asked, ""));
    for (name, what, file) in [(user, "user", "etc/passwd"), (group, "group", "etc/group")] {
        let text = root.read(file.as_bytes())?.unwrap_or_default();
        let is_there =
            text.split(|&b| b == b'\n').any(|line| line.split(|&b| b == b':').next() == Some(name.as_bytes()));
        if !name.is_empty() && !is_there && !name.bytes().all(|byte| byte.is_ascii_digit()) {
            let reason = format!("the image has no {what} {name}");
            return refuse("--user", reason, "make the user with --add-user, or give a number");
        }
    }
    Ok(())
}

/// Returns the settings of the image: those that were asked for, and the others from the tree.
fn config(root: &Root, asked: &Container, epoch: i64, created_by: &str) -> Result<Config, Error> {
    check_user(root, asked.user.as_deref().unwrap_or_default())?;
    let created = format_date(epoch);
    let mut os_release = root.read(b"etc/os-release")?;
    if os_release.is_none() {
        os_release = root.read(b"usr/lib/os-release")?;
    }
    let os_release = os_release.unwrap_or_default();
    let os_release = String::from_utf8_lossy(&os_release);
    let field = |name| os_release_field(&os_release, name).filter(|value| !value.is_empty()).map(str::to_owned);
    let mut annotations = BTreeMap::new();
    let mut annotate = |key: &str, value: Option<String>| {
        annotations.extend(value.map(|value| (format!("org.opencontainers.image.{key}"), value)));
    };
    annotate("created", Some(created.clone()));
    annotate("title", field("PRETTY_NAME").or_else(|| field("NAME")));
    // A suite that is not released has no number yet.
    annotate("version", field("VERSION_ID").or_else(|| field("VERSION_CODENAME")));
    let mut labels = annotations.clone();
    labels.extend(asked.labels.clone());
    annotations.extend(asked.annotations.clone());
    let mut env = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
    env.extend(asked.env.clone());
    let shell = || {
        let is_there = |name: &&str| root.leads_somewhere(format!("bin/{name}").as_bytes()).unwrap_or(false);
        ["bash", "sh"].into_iter().find(is_there).map(|name| vec![name.to_owned()]).unwrap_or_default()
    };
    let cmd = match (&asked.cmd, &asked.entrypoint) {
        (Some(cmd), _) => cmd.clone(),
        (None, Some(_)) => Vec::new(),
        (None, None) => shell(),
    };
    Ok(Config {
        created,
        created_by: created_by.to_owned(),
        entrypoint: asked.entrypoint.clone().unwrap_or_default(),
        cmd,
        env: env.into_iter().map(|(name, value)| format!("{name}={value}")).collect(),
        user: asked.user.clone().unwrap_or_default(),
        workdir: asked.workdir.clone().unwrap_or_default(),
        labels,
        annotations,
    })
}
