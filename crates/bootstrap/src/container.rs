//! A finished root as a container image: what its container does, what it is called, and where it is pushed.

use crate::hidden::nameless_file;
use crate::host::os_release_field;
use crate::publish::{Finished, unless_cancelled};
use crate::target::{parent, place_of};
use crate::{Error, Request, Target};
use rootstrap_debian::digest::Digest;
use rootstrap_debian::release::format_date;
use rootstrap_image::compress::Algorithm;
use rootstrap_image::oci::{self, Config, Image, Name, Platform, Statement};
use rootstrap_image::tar;
use rootstrap_registry::Reference;
use rootstrap_rootfs::Root;
use rootstrap_sbom::{Facts, Subject};
use std::collections::BTreeMap;

/// What is asked for of a container image. What is not said is found in the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// Its names, as `docker tag` takes them.
    pub tags: Vec<String>,
    /// The program and its first arguments.
    pub entrypoint: Option<Vec<String>>,
    /// The arguments after these, or the program itself.
    pub cmd: Option<Vec<String>>,
    /// Variables to set, by name.
    pub env: BTreeMap<String, String>,
    /// Who runs it.
    pub user: Option<String>,
    /// Where it runs.
    pub workdir: Option<String>,
    /// What images made from it inherit.
    pub labels: BTreeMap<String, String>,
    /// What is said of this very image.
    pub annotations: BTreeMap<String, String>,
}

/// What Debian's and Ubuntu's own images have.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Packs a root of a Debian architecture.
pub(crate) fn pack(finished: &Finished<'_>, request: &Request, architecture: &str, by: &str) -> Result<Image, Error> {
    let platform = platform(architecture)?;
    let config = config(finished.root, request, finished.epoch, by)?;
    let place = match &request.target {
        Target::Layout(path, _) => place_of(path),
        target => target.path().map_or(request.temporary.as_path(), parent),
    };
    let compression = request.target.layer().or(request.compression).unwrap_or(Algorithm::Gzip.into());
    let options = tar::Options { compression, ..finished.options(request) };
    let file = nameless_file(place)?;
    let layer = oci::layer(finished.root, file, &options, &request.cancel).map_err(Error::from);
    Ok(Image::new(platform, unless_cancelled(&request.cancel, layer)?, &config))
}

/// Says in the image what it is made of and where that came from.
pub(crate) fn attest(image: Image, facts: &Facts, names: &[Name]) -> Image {
    let digest = image.digest().strip_prefix("sha256:").unwrap_or_default();
    let Ok(digest) = Digest::parse(digest) else { return image };
    let name = names.first().map_or_else(|| facts.name.clone(), |name| name.full.clone());
    let subjects = [Subject { name, digest }];
    let statement = |predicate_type: &str, bytes| Statement { predicate_type: predicate_type.to_owned(), bytes };
    image.attest(vec![
        statement("https://spdx.dev/Document", rootstrap_sbom::statement_spdx(facts, &subjects)),
        statement("https://slsa.dev/provenance/v1", rootstrap_sbom::statement_provenance(facts, &subjects)),
    ])
}

/// The names asked for, each once; or those in registries, or else `usual`.
pub(crate) fn names(request: &Request, usual: Option<&str>) -> Result<Vec<Name>, Error> {
    let mut asked: Vec<&str> = request.container.tags.iter().map(String::as_str).collect();
    if asked.is_empty() {
        asked.extend(request.push.iter().map(String::as_str));
    }
    if asked.is_empty() {
        asked.extend(usual);
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

fn name(text: &str) -> Result<Name, Error> {
    let reference: Reference = text.parse()?;
    let full = reference.to_string();
    // As docker shows it: without what everybody leaves out.
    let familiar = full.strip_prefix("docker.io/").unwrap_or(&full);
    let familiar = familiar.strip_prefix("library/").filter(|_| full.starts_with("docker.io/")).unwrap_or(familiar);
    Ok(Name { familiar: familiar.to_owned(), tag: reference.tag().to_owned(), full })
}

/// The platform of a Debian architecture.
pub(crate) fn platform(architecture: &str) -> Result<Platform, Error> {
    Platform::of_debian(architecture).ok_or_else(|| Error::NoPlatform { architecture: architecture.to_owned() })
}

fn config(root: &Root, request: &Request, epoch: i64, by: &str) -> Result<Config, Error> {
    let asked = &request.container;
    let created = format_date(epoch);
    let mut os_release = root.read(b"etc/os-release")?;
    if os_release.is_none() {
        os_release = root.read(b"usr/lib/os-release")?;
    }
    let os_release = os_release.unwrap_or_default();
    let os_release = String::from_utf8_lossy(&os_release);
    let field = |name| os_release_field(&os_release, name).filter(|value| !value.is_empty()).map(str::to_owned);
    let mut annotations = BTreeMap::new();
    let mut say = |key: &str, value: Option<String>| {
        annotations.extend(value.map(|value| (format!("org.opencontainers.image.{key}"), value)));
    };
    say("created", Some(created.clone()));
    say("title", field("PRETTY_NAME").or_else(|| field("NAME")));
    // A suite without a release has no number yet.
    say("version", field("VERSION_ID").or_else(|| field("VERSION_CODENAME")));
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
        created_by: by.to_owned(),
        entrypoint: asked.entrypoint.clone().unwrap_or_default(),
        cmd,
        env: env.into_iter().map(|(name, value)| format!("{name}={value}")).collect(),
        user: asked.user.clone().unwrap_or_default(),
        workdir: asked.workdir.clone().unwrap_or_default(),
        labels,
        annotations,
    })
}
