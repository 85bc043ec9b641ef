//! `--metadata-file` of a single image: the report that `rootstrap build` writes of many.

use rootstrap_bootstrap::{Error, Event, Summary, write_text};
use rootstrap_project::{ImageReport, Observer, Report};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The file that is asked for, and what is known so far of what it will say.
pub(crate) struct MetadataFile {
    path: PathBuf,
    suite: String,
    since: Instant,
    observer: Observer,
}

impl MetadataFile {
    /// Begins to measure the time.
    ///
    /// # Errors
    /// The file cannot be where it is wanted. The message says why.
    pub(crate) fn new(path: Option<PathBuf>, suite: &str, target: Option<&Path>) -> Result<Option<Self>, String> {
        let Some(path) = path else { return Ok(None) };
        let refused = |reason: &str| format!("cannot write {} (--metadata-file): {reason}", path.display());
        let full = std::path::absolute(&path).map_err(|error| refused(&error.to_string()))?;
        let target = target.and_then(|target| std::path::absolute(target).ok());
        if target.is_some_and(|target| full.starts_with(target)) {
            return Err(refused("it would be in the target, or in its place\nhint: choose a place beside it"));
        }
        if !full.parent().is_some_and(Path::is_dir) {
            return Err(refused("its directory does not exist"));
        }
        let suite = suite.to_owned();
        Ok(Some(Self { path, suite, since: Instant::now(), observer: Observer::default() }))
    }

    /// Looks at an event.
    pub(crate) fn event(&self, event: &Event) {
        self.observer.event(event);
    }

    /// Writes the file, if there is one, of an image that was made or that failed.
    ///
    /// # Errors
    /// The image failed, or the file cannot be written.
    pub(crate) fn write(file: Option<&Self>, made: Result<Summary, Error>) -> Result<Summary, Error> {
        let Some(Self { path, suite, since, observer }) = file else { return made };
        let mut image = ImageReport { suite: suite.clone(), ..ImageReport::default() };
        match &made {
            Ok(summary) => image.succeed(summary),
            Err(error) => image.fail(error),
        }
        let names = image.tags.first().or(image.target.as_ref());
        image.name = names.filter(|_| made.is_ok()).unwrap_or(&image.suite).clone();
        observer.fill(&mut image);
        image.seconds = since.elapsed().as_secs_f64();
        let written = write_text(&Report::new(vec![image]).to_json(), path);
        made.and_then(|summary| written.map(|()| summary))
    }
}
