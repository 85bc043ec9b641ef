//! The arguments about container images, which are the same for every command that makes one.

use clap::Args;
use rootstrap_bootstrap::{Compression, Container, FormatName, Push, Target};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;

/// Where an image goes, and its settings.
#[derive(Debug, Args)]
pub(crate) struct ContainerArgs {
    /// What to make, whatever ending TARGET has: directory, tar, oci, oci-directory, squashfs, ext4, cpio, null
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    pub format: Option<FormatName>,

    /// Compression of the archive, or of the image's layer: gzip, zstd, xz or none, optionally with a level (zstd:19)
    #[arg(long, value_name = "NAME")]
    pub compression: Option<Compression>,

    /// Name of the image, in the form that docker tag takes; may be repeated
    #[arg(long, value_name = "NAME[:TAG]", help_heading = "Container images")]
    pub tag: Vec<String>,

    #[command(flatten)]
    pub settings: SettingsArgs,

    /// An annotation of the image's manifest; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, help_heading = "Container images")]
    pub annotation: Vec<(String, String)>,

    /// Push the image to a registry, under this name; may be repeated
    #[arg(long, value_name = "REGISTRY/NAME[:TAG]", help_heading = "Container images")]
    pub push: Vec<String>,

    /// Push also if the registry has no valid certificate, or no encryption
    #[arg(long, requires = "push", help_heading = "Container images")]
    pub insecure_registry: bool,
}

/// The settings of a container, which are no part of its root filesystem.
#[derive(Clone, Debug, Args)]
pub(crate) struct SettingsArgs {
    /// What a container runs: words as in a shell, or a JSON list; by default bash or sh
    #[arg(long, value_name = "COMMAND", value_parser = command, help_heading = "Container images")]
    pub cmd: Option<Words>,

    /// What a container runs, with the words of --cmd or of docker run as its arguments
    #[arg(long, value_name = "COMMAND", value_parser = command, help_heading = "Container images")]
    pub entrypoint: Option<Words>,

    /// A variable of the container's environment; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair, help_heading = "Container images")]
    pub env: Vec<(String, String)>,

    /// A label, which images made from this one inherit; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, help_heading = "Container images")]
    pub label: Vec<(String, String)>,

    /// The user who runs the container: a name or number, optionally with a group after a colon
    #[arg(long, value_name = "USER", help_heading = "Container images")]
    pub user: Option<String>,

    /// The directory in which the container runs
    #[arg(long, value_name = "DIR", value_parser = absolute, help_heading = "Container images")]
    pub workdir: Option<String>,
}

/// The words of a command. It is a type of its own because clap takes a plain list for several values of the option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words(pub Vec<String>);

impl ContainerArgs {
    /// Returns where the result goes. Without a target, `default` goes to standard output.
    pub(crate) fn target(&self, path: Option<&Path>, default: FormatName) -> Result<Target, String> {
        let to_stdout = path.is_none_or(|path| path.as_os_str() == "-");
        let target = match (path, self.format) {
            // Without a TARGET, an image is only pushed.
            (None, None) if !self.push.is_empty() => Target::Nowhere,
            (path, format) => Target::new(path, format.or(to_stdout.then_some(default)), self.compression)?,
        };
        if matches!(target, Target::Stdout(_)) && std::io::stdout().is_terminal() {
            return Err(
                "cannot write an archive to a terminal\nhint: pipe it (| docker import - NAME) or name a TARGET".into(),
            );
        }
        Ok(target)
    }

    /// Returns where the image is pushed.
    pub(crate) fn push(&self, target: &Target) -> Push {
        let is_only_pushed = *target == Target::Nowhere && !self.push.is_empty();
        Push {
            names: self.push.clone(),
            tags: Vec::new(),
            compression: self.compression.filter(|_| is_only_pushed),
            insecure: self.insecure_registry,
            credentials: Vec::new(),
        }
    }

    /// Returns the settings of the image.
    pub(crate) fn container(self) -> Container {
        Container { tags: self.tag, annotations: self.annotation.into_iter().collect(), ..self.settings.container() }
    }
}

impl SettingsArgs {
    /// Returns the settings of an image without a name.
    pub(crate) fn container(self) -> Container {
        let map = |pairs: Vec<(String, String)>| pairs.into_iter().collect::<BTreeMap<_, _>>();
        Container {
            entrypoint: self.entrypoint.map(|words| words.0),
            cmd: self.cmd.map(|words| words.0),
            env: map(self.env),
            user: self.user,
            workdir: self.workdir,
            labels: map(self.label),
            ..Container::default()
        }
    }
}

fn format(name: &str) -> Result<FormatName, String> {
    let names: Vec<&str> = FormatName::ALL.iter().map(|(name, _)| *name).collect();
    FormatName::from_name(name).ok_or_else(|| format!("it must be one of {}", names.join(", ")))
}

/// Parses a JSON list of strings, or words as a shell splits them. Nothing in the words is expanded.
fn command(text: &str) -> Result<Words, String> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text)
            .map(Words)
            .map_err(|error| format!("it is not a JSON list of strings: {error}"));
    }
    shlex::split(text).map(Words).ok_or_else(|| "a quote in it has no end".to_owned())
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it must have the form NAME=VALUE".to_owned()),
    }
}

fn absolute(text: &str) -> Result<String, String> {
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err("it must begin with a slash".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_words_or_json() {
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
