//! Shows what happens: with a display on a terminal, and with plain lines otherwise. Everything goes to standard error.

use crate::log::Log;
use crate::verbosity::Verbosity;
use crate::visible::visible_line;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rootstrap_bootstrap::{Event, FetchEvent, Stage, Summary, Target, format_date};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How much is shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Quiet,
    Normal,
    Verbose,
}

impl Level {
    /// Returns the level that `--quiet` and `--verbose` ask for.
    pub(crate) fn of(verbosity: &Verbosity) -> Self {
        match (verbosity.quiet, verbosity.verbose) {
            (true, _) => Self::Quiet,
            (_, true) => Self::Verbose,
            _ => Self::Normal,
        }
    }
}

/// Shows events and measures the time of each stage.
pub(crate) struct Progress {
    level: Level,
    log: Log,
    state: Mutex<State>,
}

struct State {
    bar: ProgressBar,
    stage: Option<(Stage, Instant)>,
    times: Vec<(Stage, Duration)>,
    packages: usize,
    configured: usize,
    unpacked: usize,
    /// Bytes of indexes that have arrived, and bytes of all indexes.
    indexes: (u64, u64),
    /// Bytes of archives that were written, and about how many there will be.
    packed: (u64, u64),
    download: Option<Download>,
    cache: Vec<HitRate>,
}

/// How often a layer of the cache had a file that was looked up.
struct HitRate {
    layer: &'static str,
    hits: usize,
    lookups: usize,
    /// The size of all hits.
    bytes: u64,
}

/// How far the download of debs is, in bytes.
struct Download {
    total: u64,
    done: u64,
    since: Instant,
}

impl Progress {
    pub(crate) fn new(level: Level, log: Log) -> Self {
        let shown = level == Level::Normal && std::io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(
            None,
            if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
        );
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:<10} {wide_msg}") {
            bar.set_style(style);
        }
        if shown {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        let state = State {
            bar,
            stage: None,
            times: Vec::new(),
            packages: 0,
            configured: 0,
            unpacked: 0,
            indexes: (0, 0),
            packed: (0, 0),
            download: None,
            cache: Vec::new(),
        };
        Self { level, log, state: Mutex::new(state) }
    }

    /// Returns the log.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Shows an event. Any thread may call this.
    pub(crate) fn event(&self, event: &Event) {
        self.trace(None, event);
        self.show(event);
    }

    /// Adds an event to the timeline, if there is one, and does not show it. `image` is the image that it is about, if there are several.
    pub(crate) fn trace(&self, image: Option<&str>, event: &Event) {
        if let Some(trace) = self.log.trace() {
            trace.event(image, event);
        }
    }

    /// Shows an event that is in the timeline already.
    pub(crate) fn show(&self, event: &Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Stage(stage) => {
                let first = !state.times.iter().any(|(known, _)| known == stage)
                    && state.stage.is_none_or(|(current, _)| current != *stage);
                state.begin_stage(Some(*stage));
                if first && matches!(stage, Stage::Unpack | Stage::Configure) {
                    let text = format!("{}: {} packages", stage.name(), state.packages);
                    self.print(&state, Level::Normal, &text);
                }
            }
            Event::Planned { packages } => {
                state.packages = *packages;
                self.print(&state, Level::Normal, &format!("plan: {packages} packages"));
            }
            Event::Unpacked { package } => {
                state.unpacked += 1;
                self.print(&state, Level::Verbose, &format!("decoded {package}"));
            }
            Event::Unpacking { .. } | Event::Preinst { .. } => {}
            Event::Cache { layer, hit, bytes } => state.count_lookup(layer, *hit, *bytes),
            Event::Configuring { .. } => state.configured += 1,
            Event::Packing { bytes } => state.packed.1 = state.packed.1.saturating_add(*bytes),
            Event::Packed { bytes } => state.packed.0 = state.packed.0.saturating_add(*bytes),
            Event::Note(text) => self.print(&state, Level::Verbose, text),
            Event::Warning(text) => self.print(&state, Level::Normal, &format!("warning: {text}")),
            Event::Varying { path, reason } => {
                let text = format!("{path} can differ from build to build: {reason}");
                self.print(&state, Level::Verbose, &text);
            }
            Event::Output(line) => self.print(&state, Level::Verbose, &format!("  | {line}")),
            Event::Fetch(event) => self.fetch_event(&mut state, event),
        }
        state.draw();
    }

    fn fetch_event(&self, state: &mut State, event: &FetchEvent) {
        match event {
            FetchEvent::ReleaseVerified { suite, date, keys } => {
                let signed = format!("release: {suite} of {}", format_date(*date));
                self.print(state, Level::Normal, &signed);
                self.print(state, Level::Verbose, &format!("signed by {}", keys.join(", ")));
            }
            FetchEvent::IndexStarted { size, .. } => state.indexes.1 = state.indexes.1.saturating_add(*size),
            FetchEvent::IndexBytes { bytes } => state.indexes.0 = state.indexes.0.saturating_add_signed(*bytes),
            FetchEvent::PocketMissing { suite } => {
                self.print(
                    state,
                    Level::Normal,
                    &format!("release: {suite} is not on the mirror, going on without it"),
                );
            }
            FetchEvent::PocketElsewhere { suite, next } => {
                let text = format!("release: {suite} is not on the mirror, taking it from {next}");
                self.print(state, Level::Normal, &text);
            }
            FetchEvent::DebsTotal { count, bytes, cached_count, cached_bytes } => {
                state.download = Some(Download { total: *bytes, done: *cached_bytes, since: Instant::now() });
                let cached =
                    if *cached_count == 0 { String::new() } else { format!(", {cached_count} of them cached") };
                self.print(state, Level::Normal, &format!("debs: {count}, {}{cached}", HumanBytes(*bytes)));
            }
            FetchEvent::DebBytes { bytes } => {
                if let Some(download) = &mut state.download {
                    download.done = download.done.saturating_add_signed(*bytes);
                }
            }
            FetchEvent::Retry { what, reason, attempt, wait } => {
                let text =
                    format!("retrying {what} in {:.1} s (attempt {attempt} failed: {reason})", wait.as_secs_f64());
                self.print(state, Level::Normal, &text);
            }
            FetchEvent::MirrorFailed { uri, reason, next } => {
                // If there is no next mirror, an error with the same text follows.
                let (level, next) = match next {
                    Some(next) => (Level::Normal, format!(", going on with {next}")),
                    None => (Level::Verbose, String::new()),
                };
                self.print(state, level, &format!("{uri} failed: {reason}{next}"));
            }
            FetchEvent::IndexDone { name } => self.print(state, Level::Verbose, &format!("index {name}")),
            FetchEvent::DebDone { label } => self.print(state, Level::Verbose, &format!("fetched {label}")),
            FetchEvent::CacheHit { what } => self.print(state, Level::Verbose, &format!("cached {what}")),
            _ => {}
        }
    }

    /// Writes a line to the log and, if the level allows it, to standard error.
    fn print(&self, state: &State, level: Level, text: &str) {
        let text = &visible_line(text);
        self.log.line(text);
        if self.level >= level {
            state.bar.suspend(|| drop(writeln!(std::io::stderr(), "{text}")));
        }
    }

    /// Removes the display, so that something else can be printed.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.begin_stage(None);
        state.bar.finish_and_clear();
        if let Some(trace) = self.log.trace() {
            trace.end();
        }
    }

    /// Prints a line of a result.
    pub(crate) fn say(&self, text: &str) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.print(&state, Level::Normal, text);
    }

    /// Prints a line that nobody may miss.
    pub(crate) fn complain(&self, text: &str) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.print(&state, Level::Quiet, text);
    }

    /// Prints what was made, where it is, and how long each stage took.
    pub(crate) fn summary(&self, summary: &Summary) {
        self.end();
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let place = match &summary.target {
            Target::Stdout(_) => ", in standard output".to_owned(),
            Target::Nowhere => String::new(),
            target => target.path().map(|path| format!(", in {}", path.display())).unwrap_or_default(),
        };
        let bytes = summary.archive_bytes.map(HumanBytes);
        let archive = match (bytes, summary.target.layer()) {
            (Some(bytes), Some(_)) => format!(", an image of {bytes}"),
            (Some(bytes), None) => format!(", an archive of {bytes}"),
            (None, _) => String::new(),
        };
        let made = match summary.packages {
            // `rootstrap image` makes its result from a tree, not from packages.
            0 => format!("done{archive}{place}"),
            packages => format!(
                "{} {}: {} packages, {} of debs, {} of files{archive}{place}",
                summary.suite,
                summary.architectures.join(","),
                packages,
                HumanBytes(summary.deb_bytes),
                HumanBytes(summary.file_bytes),
            ),
        };
        self.print(&state, Level::Normal, &made);
        if let Some(digest) = &summary.digest {
            let id = summary.image.as_deref().unwrap_or_default();
            self.print(&state, Level::Normal, &format!("image {id}, digest {digest}"));
        }
        for name in &summary.pushed {
            self.print(&state, Level::Normal, &format!("pushed {name}"));
        }
        for limit in &summary.limits {
            self.print(&state, Level::Normal, &format!("warning: {limit}"));
        }
        if let (Target::Directory(path), false) = (&summary.target, summary.unfinished)
            && path.join("bin/sh").symlink_metadata().is_ok()
        {
            let text = format!("to work in it: rootstrap enter {}", path.display());
            self.print(&state, Level::Normal, &text);
        }
        if summary.unfinished {
            let text = "a first stage: where its programs run, /rootstrap/second-stage in it finishes it";
            self.print(&state, Level::Normal, text);
        }
        if !state.cache.is_empty() {
            self.print(&state, Level::Verbose, &format!("cache: {}", state.hit_rates()));
        }
        self.print_times(&state);
    }

    /// Prints what a second stage finished, and how long that took.
    pub(crate) fn finished(&self, directory: &Path) {
        self.end();
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.print(&state, Level::Normal, &format!("finished {}", directory.display()));
        self.print_times(&state);
    }

    fn print_times(&self, state: &State) {
        let total: Duration = state.times.iter().map(|(_, time)| *time).sum();
        let times: Vec<String> =
            state.times.iter().map(|(stage, time)| format!("{} {:.2} s", stage.name(), time.as_secs_f64())).collect();
        self.print(state, Level::Normal, &format!("{} ({:.2} s in all)", times.join(", "), total.as_secs_f64()));
    }
}

impl State {
    /// Ends the current stage and begins the next one. The times of a stage that begins several times are added up.
    fn begin_stage(&mut self, next: Option<Stage>) {
        if let Some((stage, since)) = self.stage.take() {
            match self.times.iter_mut().find(|(known, _)| *known == stage) {
                Some((_, time)) => *time += since.elapsed(),
                None => self.times.push((stage, since.elapsed())),
            }
        }
        self.stage = next.map(|stage| (stage, Instant::now()));
    }

    fn count_lookup(&mut self, layer: &'static str, hit: bool, bytes: u64) {
        let at = self.cache.iter().position(|rate| rate.layer == layer).unwrap_or(self.cache.len());
        if at == self.cache.len() {
            self.cache.push(HitRate { layer, hits: 0, lookups: 0, bytes: 0 });
        }
        if let Some(rate) = self.cache.get_mut(at) {
            rate.lookups += 1;
            rate.hits += usize::from(hit);
            rate.bytes += if hit { bytes } else { 0 };
        }
    }

    /// Returns text such as `2 of 2 indexes, 78 of 78 debs (31.23 MiB)`.
    fn hit_rates(&self) -> String {
        let rate = |rate: &HitRate| {
            let bytes = if rate.bytes > 0 { format!(" ({})", HumanBytes(rate.bytes)) } else { String::new() };
            format!("{} of {} {}{bytes}", rate.hits, rate.lookups, rate.layer)
        };
        self.cache.iter().map(rate).collect::<Vec<_>>().join(", ")
    }

    fn draw(&self) {
        let Some((stage, _)) = self.stage else { return };
        self.bar.set_prefix(stage.name());
        let mut parts = Vec::new();
        if stage == Stage::Indexes && self.indexes.1 > 0 {
            parts.push(format!("{} of {}", HumanBytes(self.indexes.0), HumanBytes(self.indexes.1)));
        }
        if let Some(download) = self.download.as_ref().filter(|download| download.done < download.total) {
            let seconds = download.since.elapsed().as_secs_f64().max(0.001);
            #[allow(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a rate for people need not be exact"
            )]
            let rate = (download.done as f64 / seconds) as u64;
            parts.push(format!(
                "{} of {} ({}/s)",
                HumanBytes(download.done),
                HumanBytes(download.total),
                HumanBytes(rate)
            ));
        }
        if stage == Stage::Publish && self.packed.0 > 0 {
            parts.push(format!(
                "packed {} of about {}",
                HumanBytes(self.packed.0),
                HumanBytes(self.packed.1.max(self.packed.0))
            ));
        }
        if self.packages > 0 {
            parts.push(format!("unpacked {}/{}", self.unpacked, self.packages));
            parts.push(format!("configured {}/{}", self.configured, self.packages));
        }
        self.bar.set_message(parts.join(", "));
    }
}
