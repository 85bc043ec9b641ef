//! The words that say what a container of an image does, the same for every command that makes one.

use clap::Args;
use rootstrap_bootstrap::{Algorithm, Compression, Container, Target, Word};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;

/// Where an image goes and what is said of it.
#[derive(Debug, Args)]
pub(crate) struct ContainerArgs {
    /// What to make, whatever the name of TARGET ends in: directory, tar, oci, oci-directory, squashfs, ext4, cpio, null
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    pub format: Option<Word>,

    /// Compression of the archive, or of the image's layer: gzip, zstd, xz or none, and perhaps a level (zstd:19)
    #[arg(long, value_name = "NAME")]
    pub compression: Option<Compression>,

    /// Name of the image, as docker tag takes it; may be repeated
    #[arg(long, value_name = "NAME[:TAG]", help_heading = "Container images")]
    pub tag: Vec<String>,

    /// What a container runs: words as in a shell, or a JSON list; bash or sh unless given
    #[arg(long, value_name = "COMMAND", value_parser = command, help_heading = "Container images")]
    pub cmd: Option<Words>,

    /// What a container runs before the words of --cmd or docker run
    #[arg(long, value_name = "COMMAND", value_parser = command, help_heading = "Container images")]
    pub entrypoint: Option<Words>,

    /// A variable of the container's environment; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair, help_heading = "Container images")]
    pub env: Vec<(String, String)>,

    /// A label, which images made from this one inherit; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, help_heading = "Container images")]
    pub label: Vec<(String, String)>,

    /// An annotation of the image's manifest; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, help_heading = "Container images")]
    pub annotation: Vec<(String, String)>,

    /// Who runs the container: a name or number, and perhaps a group after a colon
    #[arg(long, value_name = "USER", help_heading = "Container images")]
    pub user: Option<String>,

    /// Where the container runs
    #[arg(long, value_name = "DIR", value_parser = absolute, help_heading = "Container images")]
    pub workdir: Option<String>,

    /// Push the image to a registry, under this name; may be repeated
    #[arg(long, value_name = "REGISTRY/NAME[:TAG]", help_heading = "Container images")]
    pub push: Vec<String>,

    /// Push to registries whose certificate nobody vouches for, or that have none
    #[arg(long, requires = "push", help_heading = "Container images")]
    pub insecure_registry: bool,
}

/// A command taken apart. A type of its own, because clap takes a list for several values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words(pub Vec<String>);

impl ContainerArgs {
    /// Where the result goes, if no target means `usual` on standard output.
    pub(crate) fn target(&self, path: Option<&Path>, usual: Word) -> Result<Target, String> {
        let to_stdout = path.is_none_or(|path| path.as_os_str() == "-");
        let target = match (path, self.format) {
            // What is pushed need not be anywhere else.
            (None, None) if !self.push.is_empty() => Target::Nowhere,
            (path, word) => Target::new(path, word.or(to_stdout.then_some(usual)), self.compression)?,
        };
        if matches!(target, Target::Stdout(_)) && std::io::stdout().is_terminal() {
            return Err(
                "cannot write an archive to a terminal\nhint: pipe it (| docker import - NAME) or name a TARGET".into(),
            );
        }
        if target == Target::Nowhere && !self.tag.is_empty() {
            return Err("cannot use --tag: there is no file to hold the name\nhint: give every name to --push".into());
        }
        if self.layer(&target).is_some_and(|layer| layer.algorithm == Algorithm::Xz) {
            return Err("no container engine reads a layer that is compressed with xz\nhint: use zstd or gzip".into());
        }
        if target.layer().is_none()
            && self.push.is_empty()
            && let Some(option) = self.of_containers()
        {
            return Err(format!(
                "cannot use {option}: it is said of container images, and TARGET is none\nhint: use a name ending in \
                 .oci.tar, or --format=oci for docker load"
            ));
        }
        Ok(target)
    }

    /// How the layer of an image is compressed that goes to registries alone.
    pub(crate) fn layer(&self, target: &Target) -> Option<Compression> {
        self.compression.filter(|_| *target == Target::Nowhere && !self.push.is_empty())
    }

    /// The first option that only an image can have.
    fn of_containers(&self) -> Option<&'static str> {
        [
            ("--tag", !self.tag.is_empty()),
            ("--cmd", self.cmd.is_some()),
            ("--entrypoint", self.entrypoint.is_some()),
            ("--env", !self.env.is_empty()),
            ("--label", !self.label.is_empty()),
            ("--annotation", !self.annotation.is_empty()),
            ("--user", self.user.is_some()),
            ("--workdir", self.workdir.is_some()),
        ]
        .into_iter()
        .find_map(|(name, given)| given.then_some(name))
    }

    /// What is said of the image.
    pub(crate) fn container(self) -> Container {
        let map = |pairs: Vec<(String, String)>| pairs.into_iter().collect::<BTreeMap<_, _>>();
        Container {
            tags: self.tag,
            entrypoint: self.entrypoint.map(|words| words.0),
            cmd: self.cmd.map(|words| words.0),
            env: map(self.env),
            user: self.user,
            workdir: self.workdir,
            labels: map(self.label),
            annotations: map(self.annotation),
        }
    }
}

fn format(name: &str) -> Result<Word, String> {
    let names: Vec<&str> = Word::ALL.iter().map(|(name, _)| *name).collect();
    Word::from_name(name).ok_or_else(|| format!("it is {}", names.join(", ")))
}

/// A JSON list of strings, or words as a shell splits them; nothing is replaced in them.
fn command(text: &str) -> Result<Words, String> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text)
            .map(Words)
            .map_err(|error| format!("that is no JSON list of strings: {error}"));
    }
    shlex::split(text).map(Words).ok_or_else(|| "a quote in it has no end".to_owned())
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it has the form NAME=VALUE".to_owned()),
    }
}

fn absolute(text: &str) -> Result<String, String> {
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err("it begins with a slash".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        let words = |text: &str| command(text).map(|words| words.0);
        assert_eq!(words("/app --port 80").unwrap(), ["/app", "--port", "80"]);
        assert_eq!(words("sh -c 'echo \"$HOME\"'").unwrap(), ["sh", "-c", "echo \"$HOME\""]);
        assert_eq!(words(r#"["a b", ""]"#).unwrap(), ["a b", ""]);
        assert_eq!(words("").unwrap(), [""; 0]);
        for wrong in ["'", "[1]", "[\"a\""] {
            assert!(words(wrong).is_err(), "{wrong}");
        }
        assert_eq!(pair("A=B=C").unwrap(), ("A".to_owned(), "B=C".to_owned()));
        assert!(pair("A").is_err() && pair("=B").is_err() && absolute("tmp").is_err());
    }
}
