//! The images of `rootstrap.toml` as requests: an image has the options of `rootstrap SUITE TARGET`, so the same parser reads them.

use crate::args::{CommandLine, SharedArgs};
use crate::commands::bootstrap::{Problem, request};
use crate::project_args::{BuildArgs, ImagesArgs};
use crate::text_file;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Args, Command, CommandFactory, Parser};
use rootstrap_bootstrap::{Machine, Request, native_architecture};
use rootstrap_project::{Image, Job, Key, Kind};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Options that say how a run is made, beside those of `rootstrap build` itself.
const OF_A_RUN: [&str; 6] = ["print-plan", "lock", "locked", "frozen", "foreign", "help"];

/// The key that names the lock file of an image.
const LOCK: &str = "lock";

/// Returns the options that an image may have.
fn keys() -> Vec<Key> {
    let longs = |command: Command| -> BTreeSet<String> {
        command.get_arguments().filter_map(Arg::get_long).map(str::to_owned).collect()
    };
    let of_build = longs(BuildArgs::augment_args(Command::new("build")));
    let of_build: BTreeSet<String> = of_build.into_iter().filter(|name| name != "push").collect();
    let key = |argument: &Arg| {
        let name = argument.get_long()?;
        if of_build.contains(name) || OF_A_RUN.contains(&name) {
            return None;
        }
        let is_pair = argument.get_value_names().is_some_and(|names| names.iter().any(|name| name.ends_with("=VALUE")));
        let kind = match argument.get_action() {
            ArgAction::SetTrue => Kind::Switch,
            ArgAction::Append if is_pair => Kind::Pairs,
            ArgAction::Append => Kind::Many,
            _ => Kind::One,
        };
        Some(Key { name: name.to_owned(), kind })
    };
    let beside = ["suite", "target", LOCK].map(|name| Key { name: name.to_owned(), kind: Kind::One });
    CommandLine::command().get_arguments().filter_map(key).chain(beside).collect()
}

/// A manifest that was read.
pub(crate) struct Manifest {
    path: PathBuf,
    images: Vec<Image>,
    /// The options that its images may have.
    keys: Vec<Key>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// It cannot be read, or what it says makes no sense.
    pub(crate) fn read(path: &Path) -> Result<Self, Problem> {
        let shown = path.display();
        if std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            return Err(Problem::Usage(format!(
                "cannot read {shown}: there is no such file\nhint: `rootstrap init` writes one"
            )));
        }
        let text = text_file::read(&path.to_string_lossy()).map_err(Problem::Request)?;
        let keys = keys();
        let machine = crate::environment::host().machine;
        let native = native_architecture(&machine).unwrap_or("unknown");
        let images = rootstrap_project::images(&text, &keys, native).map_err(|error| {
            let hint = error.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            Problem::Usage(format!("cannot use {shown}: {error}{hint}"))
        })?;
        if images.is_empty() {
            return Err(Problem::Usage(format!("cannot find an image in {shown}\nhint: add a table [image.NAME]")));
        }
        Ok(Self { path: path.to_owned(), images, keys })
    }

    /// Makes the directory of the manifest the working directory, because its paths begin there. Returns the one before.
    ///
    /// # Errors
    /// There is no such directory any more.
    pub(crate) fn enter(&self) -> Result<PathBuf, Problem> {
        let failed = |error: std::io::Error| Problem::Usage(format!("cannot change the working directory: {error}"));
        let here = std::env::current_dir().map_err(failed)?;
        let directory = self.path.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::env::set_current_dir(directory).map_err(failed)?;
        Ok(here)
    }

    /// Returns all images.
    pub(crate) fn images(&self) -> &[Image] {
        &self.images
    }

    /// Returns the images with these names, or all.
    ///
    /// # Errors
    /// There is none with a name.
    pub(crate) fn select(&self, args: &ImagesArgs) -> Result<Vec<&Image>, Problem> {
        for name in &args.names {
            if !self.images.iter().any(|image| image.name == *name) {
                let names: Vec<&str> = self.images.iter().map(|image| image.name.as_str()).take(20).collect();
                let text = format!(
                    "cannot find the image `{name}` in {}\nhint: it has {}",
                    self.path.display(),
                    names.join(", ")
                );
                return Err(Problem::Usage(text));
            }
        }
        let is_meant = |image: &&Image| args.names.is_empty() || args.names.contains(&image.name);
        Ok(self.images.iter().filter(is_meant).collect())
    }

    /// Returns what is to be done for an image. Without `--push`, its names in registries are left out.
    ///
    /// # Errors
    /// An option of the image cannot be used.
    pub(crate) fn job(&self, image: &Image, args: &BuildArgs, machine: Machine) -> Result<Job, Problem> {
        self.check_target(image, args.push)?;
        let line = self.line(image, self.words(image, args.push))?;
        let (root, run) = (args.root.clone(), args.run.clone());
        let (container, filesystem) = (line.shared.container, line.shared.filesystem);
        let shared = SharedArgs { root, container, filesystem, metadata_file: None, run };
        // clap reports a missing suite before this.
        let Some(bootstrap) = line.bootstrap else { return Err(self.problem(image, None, "it has no suite")) };
        let mut request = request(bootstrap, (&line.packages, &line.settings), shared, machine)
            .map_err(|problem| self.in_image(image, problem))?;
        // More than one image can fail.
        if let Some(path) = &mut request.machine.keep_failed {
            path.as_mut_os_string().push(format!("-{}", image.name));
        }
        Ok(Job { name: image.name.clone(), request, lock: lock_path(image) })
    }

    /// Returns the request of an image for its lock, which nothing is made for.
    ///
    /// # Errors
    /// An option of the image cannot be used.
    pub(crate) fn request_for_lock(&self, image: &Image, machine: Machine) -> Result<(PathBuf, Request), Problem> {
        let mut words = self.words(image, true);
        // Nothing is made, so no target has to be named.
        words.insert(1, "--print-plan".to_owned());
        let line = self.line(image, words)?;
        let packages = &line.packages;
        let problem = |error| self.in_image(image, Problem::Request(error));
        let (selection, further) = packages.selection(&machine).map_err(problem)?;
        let suite = line.bootstrap.as_ref().map(|args| args.suite.as_str()).unwrap_or_default();
        let sources = packages.sources(suite, None).map_err(problem)?;
        let mut request = Request::new(selection, sources, rootstrap_bootstrap::Target::Nowhere, machine);
        request.customization.slim = packages.slim;
        request.output.further_platforms = further;
        Ok((lock_path(image), request))
    }

    /// Refuses an image that would go nowhere.
    fn check_target(&self, image: &Image, pushes: bool) -> Result<(), Problem> {
        let names = !image.values("push").is_empty();
        if image.value("target") == Some("-") {
            let text = "several images cannot go to standard output\nhint: say target = \"out/{name}.tar\"";
            return Err(self.problem(image, Some("target"), text));
        }
        if image.value("target").is_some() || (pushes && names) {
            return Ok(());
        }
        let hint = match names {
            true => "push it with --push, or say target = \"out/{name}.oci.tar\"",
            false => "say target = \"out/{name}.oci.tar\", or push = \"REGISTRY/NAME\"",
        };
        Err(self.problem(image, None, &format!("it has no target\nhint: {hint}")))
    }

    /// Reads the options of an image as those of a command line.
    fn line(&self, image: &Image, words: Vec<String>) -> Result<CommandLine, Problem> {
        CommandLine::try_parse_from(words).map_err(|error| {
            let option = match error.get(ContextKind::InvalidArg) {
                Some(ContextValue::String(name)) => name.trim_start_matches('-').split([' ', '=']).next(),
                _ => None,
            };
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            self.problem(image, option, first.strip_prefix("error: ").unwrap_or(first))
        })
    }

    /// Returns the options of an image as the words of a command line.
    fn words(&self, image: &Image, pushes: bool) -> Vec<String> {
        let mut words = vec!["rootstrap".to_owned()];
        for setting in &image.settings {
            let key = setting.key.as_str();
            if matches!(key, "suite" | "target" | LOCK) || (key == "push" && !pushes) {
                continue;
            }
            match self.keys.iter().find(|known| known.name == key).map(|known| known.kind) {
                Some(Kind::Switch) if setting.values.iter().all(|value| value == "true") => {
                    words.push(format!("--{key}"))
                }
                Some(Kind::Switch) => {}
                _ => words.extend(setting.values.iter().map(|value| format!("--{key}={value}"))),
            }
        }
        words.push("--".to_owned());
        words.extend(image.value("suite").map(str::to_owned));
        words.extend(image.value("target").map(str::to_owned));
        words
    }

    fn in_image(&self, image: &Image, problem: Problem) -> Problem {
        match problem {
            Problem::Usage(text) => self.problem(image, None, &text),
            Problem::Request(error) => {
                let hint = error.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
                self.problem(image, None, &format!("{error}{hint}"))
            }
        }
    }

    /// Says what is wrong with an image, and where.
    fn problem(&self, image: &Image, option: Option<&str>, text: &str) -> Problem {
        let line = option.and_then(|key| image.setting(key)).map_or(image.line, |setting| setting.line);
        let (path, name) = (self.path.display(), &image.name);
        Problem::Usage(format!("cannot use {path}: line {line}: the image `{name}`: {text}"))
    }
}

/// Returns where the lock of an image is.
fn lock_path(image: &Image) -> PathBuf {
    match image.value(LOCK) {
        Some(path) => PathBuf::from(path),
        None => Path::new("locks").join(format!("{}.lock", image.name)),
    }
}
