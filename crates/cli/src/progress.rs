//! Shows what happens: with a display on a terminal, and with plain lines otherwise. Everything goes to standard error.

use crate::color;
use crate::display::Display;
use crate::log::Log;
use crate::verbosity::ProgressKind;
use crate::verbosity::Verbosity;
use crate::visible::visible_line;
use indicatif::HumanBytes;
use rootstrap_bootstrap::{Event, FetchEvent, Stage, StageTimes, Summary, Target, format_date};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How much is shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Quiet,
    Normal,
    Verbose,
}

impl Level {
    /// Returns the level that `--quiet` and `--verbose` ask for.
    fn of(verbosity: &Verbosity) -> Self {
        match (verbosity.quiet || verbosity.progress == ProgressKind::None, verbosity.verbose) {
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
    /// When the run began, if everything is printed as JSON.
    json: Option<Instant>,
    has_colors: bool,
    state: Mutex<State>,
}

struct State {
    display: Display,
    times: StageTimes,
    packages: usize,
    cache: Vec<HitRate>,
    /// The hosts of mirrors that failed for a while, and why.
    failures: BTreeSet<(String, String)>,
}

/// How often a layer of the cache had a file that was looked up.
struct HitRate {
    layer: &'static str,
    hits: usize,
    lookups: usize,
    /// The size of all hits.
    bytes: u64,
}

impl Progress {
    pub(crate) fn new(verbosity: &Verbosity, log: Log) -> Self {
        let (level, kind) = (Level::of(verbosity), verbosity.progress);
        let shown = level == Level::Normal && kind == ProgressKind::Auto && std::io::stderr().is_terminal();
        let state = State {
            display: Display::new(shown),
            times: StageTimes::default(),
            packages: 0,
            cache: Vec::new(),
            failures: BTreeSet::new(),
        };
        let json = (kind == ProgressKind::Json && level != Level::Quiet).then(Instant::now);
        Self { level, log, json, has_colors: color::is_on(), state: Mutex::new(state) }
    }

    /// Shows errors alone.
    pub(crate) fn quiet(log: Log) -> Self {
        let verbosity = Verbosity { quiet: true, verbose: false, progress: ProgressKind::None, log: None, trace: None };
        Self::new(&verbosity, log)
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
        let (platform, event) = match event {
            Event::Of { architecture, event } => (Some(architecture.as_str()), &**event),
            event => (None, event),
        };
        state.display.event(platform, event);
        if let (Some(began), Some(document)) = (self.json, json_of(event)) {
            let head = json!({"seconds": began.elapsed().as_secs_f64(), "platform": platform});
            print_json(head, document);
        }
        let named = |text: &str| platform.map_or_else(|| text.to_owned(), |platform| format!("{platform}: {text}"));
        match event {
            Event::Stage(stage) => self.begin_stage(&mut state, platform, *stage),
            Event::Planned { packages } => {
                state.packages = *packages;
                self.print(&state, Level::Normal, &named(&format!("plan: {packages} packages")));
            }
            Event::Unpacked { package } => self.print(&state, Level::Verbose, &named(&format!("decoded {package}"))),
            Event::Cache { layer, hit, bytes } => state.count_lookup(layer, *hit, *bytes),
            Event::Note(text) => self.print(&state, Level::Verbose, &named(text)),
            Event::Warning(text) => self.print(&state, Level::Normal, &format!("warning: {}", named(text))),
            Event::Varying { path, reason } => {
                let text = format!("{path} can differ from build to build: {reason}");
                self.print(&state, Level::Verbose, &named(&text));
            }
            Event::Output(line) => self.print(&state, Level::Verbose, &format!("  | {}", named(line))),
            Event::Fetch(event) => self.fetch_event(&mut state, event),
            Event::Unpacking { .. }
            | Event::Preinst { .. }
            | Event::Configuring { .. }
            | Event::Packing { .. }
            | Event::Packed { .. }
            | Event::Of { .. } => {}
        }
    }

    /// Times a stage, and says when packages begin to be unpacked or configured.
    fn begin_stage(&self, state: &mut State, platform: Option<&str>, stage: Stage) {
        if state.times.begin(platform, stage) && matches!(stage, Stage::Unpack | Stage::Configure) {
            self.print(state, Level::Normal, &format!("{}: {} packages", stage.name(), state.packages));
        }
    }

    fn fetch_event(&self, state: &mut State, event: &FetchEvent) {
        match event {
            FetchEvent::ReleaseVerified { suite, date, keys } => {
                let signed = format!("release: {suite} of {}", format_date(*date));
                self.print(state, Level::Normal, &signed);
                self.print(state, Level::Verbose, &format!("signed by {}", keys.join(", ")));
            }
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
            FetchEvent::DebsTotal { count, bytes, cached_count, .. } => {
                let cached =
                    if *cached_count == 0 { String::new() } else { format!(", {cached_count} of them cached") };
                self.print(state, Level::Normal, &format!("debs: {count}, {}{cached}", HumanBytes(*bytes)));
            }
            FetchEvent::Retry { what, uri, reason, attempt, wait } => {
                let level = state.level_of_failure(uri, reason);
                let again = format!("attempt {} in {:.1} s", attempt + 1, wait.as_secs_f64());
                self.print(state, level, &format!("retrying {what} from {uri}: {reason} ({again})"));
            }
            FetchEvent::MirrorFailed { uri, reason, next } => {
                // If there is no next mirror, an error with the same text follows.
                if let Some(next) = next {
                    let known = state.level_of_failure(uri, reason) == Level::Verbose;
                    let why = if known { String::new() } else { format!("{uri} failed: {reason}, ") };
                    let level = state.level_of_failure(next, "next");
                    self.print(state, level, &format!("{why}going on with {next}"));
                } else {
                    self.print(state, Level::Verbose, &format!("{uri} failed: {reason}"));
                }
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
        if self.level < level {
            return;
        }
        match self.json {
            Some(began) => {
                print_json(
                    json!({"seconds": began.elapsed().as_secs_f64()}),
                    json!({"event": "message", "text": text}),
                );
            }
            None => {
                let text = color::paint(text, self.has_colors);
                state.display.suspend(|| drop(writeln!(std::io::stderr(), "{text}")));
            }
        }
    }

    /// Removes the display, so that something else can be printed.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.times.end();
        state.display.end();
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
        let total: Duration = state.times.times().iter().map(|(_, time)| *time).sum();
        let times: Vec<String> = state
            .times
            .times()
            .iter()
            .map(|(stage, time)| format!("{} {:.2} s", stage.name(), time.as_secs_f64()))
            .collect();
        self.print(state, Level::Normal, &format!("{} ({:.2} s in all)", times.join(", "), total.as_secs_f64()));
    }
}

impl State {
    /// Returns the level at which a failure is shown. A server that cannot be reached fails for every file, and again and again: one line
    /// about it suffices.
    fn level_of_failure(&mut self, uri: &str, reason: &str) -> Level {
        let host = uri.split('/').nth(2).unwrap_or(uri);
        let is_new = self.failures.insert((host.to_owned(), reason.to_owned()));
        if is_new { Level::Normal } else { Level::Verbose }
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
}

/// Returns an event as JSON; `None` for those that are told in words, or that nobody waits for.
fn json_of(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Stage(stage) => json!({"event": "stage", "stage": stage.name()}),
        Event::Planned { packages } => json!({"event": "planned", "packages": packages}),
        Event::Unpacked { package } => json!({"event": "unpacked", "package": package}),
        Event::Configuring { package } => json!({"event": "configuring", "package": package}),
        Event::Packing { bytes } => json!({"event": "packing", "bytes": bytes}),
        Event::Packed { bytes } => json!({"event": "packed", "bytes": bytes}),
        Event::Fetch(FetchEvent::DebsTotal { count, bytes, cached_count, cached_bytes }) => json!({
            "event": "debs", "count": count, "bytes": bytes, "cached_count": cached_count, "cached_bytes": cached_bytes,
        }),
        Event::Fetch(FetchEvent::DebDone { label }) => json!({"event": "downloaded", "deb": label}),
        _ => return None,
    })
}

/// Prints two objects as one, in one line.
fn print_json(mut head: Value, document: Value) {
    if let (Some(head), Value::Object(document)) = (head.as_object_mut(), document) {
        head.extend(document);
        head.retain(|_, value| !value.is_null());
    }
    let _ = std::io::stderr().write_all(format!("{head}\n").as_bytes());
}
