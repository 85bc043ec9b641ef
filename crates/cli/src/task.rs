//! How far one root is, and the line that says so.

use indicatif::HumanBytes;
use rootstrap_bootstrap::{Event, FetchEvent, Stage};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The widest bar, in columns.
const BAR: usize = 30;

/// The narrowest bar that shows anything.
const LEAST_BAR: usize = 8;

/// The columns that the names of stages take.
const LABEL: usize = 9;

/// What is known about one root of a run.
pub(crate) struct Task {
    /// The platform, if there are several.
    name: Option<String>,
    began: Instant,
    stage: Option<Stage>,
    packages: usize,
    unpacked: usize,
    /// dpkg configures some packages twice.
    configured: BTreeSet<String>,
    /// The package whose script runs.
    running: Option<String>,
    /// Bytes of indexes that have arrived, and bytes of all indexes.
    indexes: (u64, u64),
    /// Bytes of archives that were written, and about how many there will be.
    packed: (u64, u64),
    debs: Option<Download>,
}

/// How far the download of debs is, in bytes.
struct Download {
    total: u64,
    done: u64,
    /// The bytes that were there at the beginning.
    cached: u64,
    since: Instant,
}

impl Task {
    pub(crate) fn new(name: Option<String>) -> Self {
        Self {
            name,
            began: Instant::now(),
            stage: None,
            packages: 0,
            unpacked: 0,
            configured: BTreeSet::new(),
            running: None,
            indexes: (0, 0),
            packed: (0, 0),
            debs: None,
        }
    }

    /// Takes note of an event.
    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::Stage(stage) => {
                self.stage = Some(*stage);
                self.running = None;
            }
            Event::Planned { packages } => self.packages = *packages,
            Event::Unpacked { .. } => self.unpacked += 1,
            Event::Preinst { package } => self.running = Some(package.clone()),
            Event::Configuring { package } => {
                self.configured.insert(package.clone());
                self.running = Some(package.clone());
            }
            Event::Packing { bytes } => self.packed.1 = self.packed.1.saturating_add(*bytes),
            Event::Packed { bytes } => self.packed.0 = self.packed.0.saturating_add(*bytes),
            Event::Fetch(FetchEvent::IndexStarted { size, .. }) => {
                self.indexes.1 = self.indexes.1.saturating_add(*size);
            }
            Event::Fetch(FetchEvent::IndexBytes { bytes }) => {
                self.indexes.0 = self.indexes.0.saturating_add_signed(*bytes);
            }
            Event::Fetch(FetchEvent::DebsTotal { bytes, cached_bytes, .. }) => {
                let (total, done) = (*bytes, *cached_bytes);
                self.debs = Some(Download { total, done, cached: done, since: Instant::now() });
            }
            Event::Fetch(FetchEvent::DebBytes { bytes }) => {
                if let Some(debs) = &mut self.debs {
                    debs.done = debs.done.saturating_add_signed(*bytes);
                }
            }
            _ => {}
        }
    }

    /// Returns a line of at most `width` columns. What matters least is left out first.
    pub(crate) fn line(&self, width: usize, now: Instant) -> String {
        let Some(stage) = self.stage else { return String::new() };
        let name = self.name.as_ref().map(|name| format!("{name:<7} ")).unwrap_or_default();
        let label = format!("{name}{:<LABEL$}", stage.name());
        let elapsed = clock(now.saturating_duration_since(self.began));
        let (share, amount, rate, left) = self.amounts(stage, now);
        let percent = share.map(|share| format!("{share:>3}%"));
        let mut room = width.saturating_sub(label.len() + elapsed.len() + 1);
        let mut fits = |text: Option<String>| {
            let text = text.filter(|text| text.len() < room)?;
            room -= text.len() + 1;
            Some(text)
        };
        let (percent, amount, rate, left) = (fits(percent), fits(amount), fits(rate), fits(left));
        let running = fits(self.running.as_ref().map(|name| name.chars().filter(char::is_ascii_graphic).collect()));
        let bar = share.filter(|_| room > LEAST_BAR).map(|share| bar(share, (room - 1).min(BAR)));
        let parts = [Some(label), bar, percent, amount, rate, left, running, Some(elapsed)];
        let mut line = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
        line.truncate(width);
        line
    }

    /// Returns how much of the present stage is done in per cent, the numbers behind that, the speed, and the time that is left.
    fn amounts(&self, stage: Stage, now: Instant) -> (Option<u64>, Option<String>, Option<String>, Option<String>) {
        let of_bytes = |done: u64, total: u64, about: &str| {
            let share = (total > 0).then(|| per_cent(done, total));
            (share, Some(format!("{} of {about}{}", HumanBytes(done), HumanBytes(total.max(done)))), None, None)
        };
        let of_packages = |done: usize| {
            let (done, total) = (done.min(self.packages) as u64, self.packages as u64);
            let share = (total > 0).then(|| per_cent(done, total));
            (share, (total > 0).then(|| format!("{done}/{total}")), None, None)
        };
        match stage {
            Stage::Indexes if self.indexes.1 > 0 => of_bytes(self.indexes.0, self.indexes.1, ""),
            Stage::Unpack | Stage::Plan if let Some(debs) = self.debs.as_ref().filter(|it| it.done < it.total) => {
                let (share, amount, ..) = of_bytes(debs.done, debs.total, "");
                let millis = now.saturating_duration_since(debs.since).as_millis().max(1);
                let arrived = u128::from(debs.done.saturating_sub(debs.cached));
                let rate = u64::try_from(arrived * 1000 / millis).unwrap_or(u64::MAX);
                let left = (rate > 0).then(|| (debs.total - debs.done) / rate);
                let left = left.map(|seconds| format!("{} left", clock(Duration::from_secs(seconds))));
                (share, amount, Some(format!("{}/s", HumanBytes(rate))), left)
            }
            Stage::Unpack if self.unpacked > 0 => of_packages(self.unpacked),
            Stage::Configure if !self.configured.is_empty() => of_packages(self.configured.len()),
            Stage::Publish if self.packed.0 > 0 => of_bytes(self.packed.0, self.packed.1, "about "),
            _ => (None, None, None, None),
        }
    }
}

fn per_cent(done: u64, total: u64) -> u64 {
    (u128::from(done) * 100 / u128::from(total.max(1))).min(100).try_into().unwrap_or(100)
}

/// Returns a bar of this many columns.
fn bar(share: u64, width: usize) -> String {
    let inner = width.saturating_sub(2);
    let full = inner * usize::try_from(share).unwrap_or(0) / 100;
    format!("[{}{}]", "#".repeat(full), "-".repeat(inner - full))
}

/// Returns a time such as `0:07` or `1:02:03`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuring() -> Task {
        let mut task = Task::new(None);
        task.apply(&Event::Stage(Stage::Unpack));
        task.apply(&Event::Planned { packages: 4 });
        task.apply(&Event::Stage(Stage::Configure));
        for package in ["libc6", "libc6", "libpam-runtime"] {
            task.apply(&Event::Configuring { package: package.to_owned() });
        }
        task
    }

    /// A package that is configured twice counts once.
    #[test]
    fn lines_fit_every_width() {
        let task = configuring();
        let now = task.began + Duration::from_secs(67);
        assert_eq!(task.line(40, now), "configure  50% 2/4 libpam-runtime 1:07");
        assert_eq!(task.line(80, now), "configure [##############--------------]  50% 2/4 libpam-runtime 1:07");
        for width in 1..=200 {
            assert!(task.line(width, now).len() <= width, "{width}");
        }
        assert!(task.line(24, now).ends_with("50% 2/4 1:07"), "{}", task.line(24, now));
    }

    #[test]
    fn downloads_have_a_speed_and_an_end() {
        let mut task = Task::new(Some("arm64".to_owned()));
        task.apply(&Event::Stage(Stage::Unpack));
        let (bytes, cached_bytes) = (100 << 20, 40 << 20);
        task.apply(&Event::Fetch(FetchEvent::DebsTotal { count: 9, bytes, cached_count: 3, cached_bytes }));
        task.apply(&Event::Fetch(FetchEvent::DebBytes { bytes: 20 << 20 }));
        let now = task.debs.as_ref().unwrap().since + Duration::from_secs(10);
        let line = task.line(120, now);
        assert!(line.starts_with("arm64   unpack    ["), "{line}");
        assert!(line.contains(" 60% 60.00 MiB of 100.00 MiB 2.00 MiB/s 0:20 left "), "{line}");
    }

    /// A root that comes from the cache unpacks and configures nothing.
    #[test]
    fn what_does_not_happen_is_not_counted() {
        let mut task = Task::new(None);
        task.apply(&Event::Planned { packages: 78 });
        task.apply(&Event::Stage(Stage::Configure));
        assert!(!task.line(80, task.began).contains('/'));
    }
}
