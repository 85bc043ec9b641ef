//! What this machine has and lacks for builds, found out by trying.

use crate::archive::{self, ArchiveOptions};
use crate::error::Error;
use crate::install::emulation;
use crate::request::{Machine, Selection, Sources, native_architecture};
use crate::staging::downloads::Downloads;
use crate::staging::memory;
use rootstrap_cache::Cache;
use rootstrap_debian::release::{format_date, parse_moment};
use rootstrap_fetch::Policy;
use rootstrap_http::redact;
use rustix::fs::statvfs;
use serde::Serialize;
use std::path::Path;

/// The architectures that are asked about.
const ARCHITECTURES: [&str; 7] = ["amd64", "arm64", "armhf", "i386", "ppc64el", "riscv64", "s390x"];

/// Less free space than this, in bytes, is worth a word: a system with its packages takes about half of it.
const LITTLE: u64 = 2 << 30;

/// How good something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// It works.
    Good,
    /// Builds work, but not all, or not as well as they could.
    Limited,
    /// Builds fail.
    Bad,
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is: `mode`, `architecture`, `mirror`, `clock`, `proxy`, `cache`, `disk`, `memory`.
    pub topic: &'static str,
    /// Which of them.
    pub name: String,
    /// How good it is.
    pub condition: Condition,
    /// What was found, in a few words.
    pub text: String,
    /// What makes it better.
    pub fix: Option<String>,
}

impl Finding {
    /// Returns a finding without a fix.
    #[must_use]
    pub fn new(topic: &'static str, name: &str, condition: Condition, text: impl Into<String>) -> Self {
        Self { topic, name: name.to_owned(), condition, text: text.into(), fix: None }
    }

    /// Returns what an error says, with its causes and its hint.
    fn of(topic: &'static str, name: &str, condition: Condition, error: &Error) -> Self {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        Self { fix: error.hint(), ..Self::new(topic, name, condition, text) }
    }
}

/// Tries everything but the modes, which need processes of their own: `machine` has the one that a build would take. The mirrors are those of
/// `suites`; if there are none, those of the suite of each vendor that is supported longest.
#[must_use]
pub fn examine(machine: &Machine, suites: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(ARCHITECTURES.iter().map(|name| architecture(name, machine)));
    let suites = if suites.is_empty() { longest_supported() } else { suites.to_vec() };
    findings.extend(suites.iter().flat_map(|name| mirror(name, machine)));
    let proxies = &machine.network.proxies;
    for (name, proxy) in [("http", &proxies.http), ("https", &proxies.https), ("all", &proxies.all)] {
        findings.extend(proxy.iter().map(|uri| Finding::new("proxy", name, Condition::Good, redact::userinfo(uri))));
    }
    findings.push(cache(machine));
    let places = machine.cache.iter().map(|path| ("cache", path.as_path()));
    findings.extend(places.chain([("temporary", machine.temporary.as_path())]).map(|(name, path)| disk(name, path)));
    findings.push(match memory::filesystem(1 << 20) {
        Ok(_) => Finding::new("memory", "staging", Condition::Good, "roots grow in memory where there is enough"),
        Err(errno) => Finding::of("memory", "staging", Condition::Limited, &Error::Memory(errno)),
    });
    findings
}

fn architecture(name: &str, machine: &Machine) -> Finding {
    match emulation::find(&[name], machine) {
        Ok(found) => {
            let own = found.emulators.first().map(|emulator| &emulator.interpreter);
            let text = match (own, &found.handler) {
                (Some(program), _) => format!("emulated by {}", program.display()),
                (None, Some(program)) => format!("emulated by the kernel's handler {}", program.display()),
                (None, None) => "runs here".to_owned(),
            };
            Finding::new("architecture", name, Condition::Good, text)
        }
        Err(error) => Finding::of("architecture", name, Condition::Limited, &error),
    }
}

/// Returns the suite of each vendor that is supported longest.
fn longest_supported() -> Vec<String> {
    let mut found: Vec<(&str, &str, &str)> = Vec::new();
    for suite in rootstrap_suites::all().filter(|suite| !suite.ended) {
        let (Some(vendor), Some(ends)) = (suite.vendor(), suite.ends.as_deref()) else { continue };
        match found.iter_mut().find(|(known, ..)| *known == vendor.name) {
            Some(longest) if longest.1 < ends => *longest = (&vendor.name, ends, &suite.codename),
            Some(_) => {}
            None => found.push((&vendor.name, ends, &suite.codename)),
        }
    }
    found.into_iter().map(|(_, _, codename)| codename.to_owned()).collect()
}

/// Asks the mirrors of a suite for its Release file, whose date says something of the clock.
fn mirror(name: &str, machine: &Machine) -> Vec<Finding> {
    match newest_release(name, machine) {
        Ok((uri, date)) => {
            let text = format!("{uri} has a Release file of {}", format_date(date));
            let mirror = Finding::new("mirror", name, Condition::Good, text);
            vec![mirror, Finding::new("clock", name, Condition::Good, format_date(machine.now))]
        }
        Err(error @ Error::Fetch(rootstrap_fetch::Error::Future { .. })) => {
            let mut finding = Finding::of("clock", name, Condition::Bad, &error);
            finding.fix = Some("set the clock: `timedatectl set-ntp true`, or `date --set`".to_owned());
            vec![finding]
        }
        Err(error) => vec![Finding::of("mirror", name, Condition::Bad, &error)],
    }
}

/// Returns the mirror that sent the Release file of a suite, and its date.
fn newest_release(name: &str, machine: &Machine) -> Result<(String, i64), Error> {
    let mut machine = machine.clone();
    // Whoever asks waits for the answer.
    machine.network.retries.count = 1;
    let sources = Sources { pockets: vec!["release".to_owned()], ..Sources::new(name) };
    let suite = archive::find_suite(&sources)?;
    let selection = Selection::new(native_architecture(&machine.host.machine)?);
    let downloads = Downloads::create(&machine)?;
    let cache = &downloads.path(&machine);
    let options = ArchiveOptions {
        selection: &selection,
        sources: &sources,
        machine: &machine,
        suite: &suite,
        cache,
        report: &|_| (),
    };
    let mut pockets = archive::pockets(&sources, &machine.host, &suite, &selection.architecture, &|_| ())?;
    let is_over = suite.ends.as_deref().and_then(parse_moment).is_some_and(|end| end < machine.now);
    pockets.iter_mut().for_each(|pocket| pocket.unsupported = suite.ended || is_over);
    let policy = Policy { now: machine.now, allow_rollback: false, unsigned: false };
    let found =
        archive::session(&options)?.pockets(&pockets, &[], &archive::keyring(&sources, &suite)?, &policy, &|_| ())?;
    let first = found.first().map(|pocket| (redact::userinfo(pocket.mirror()), pocket.release().date));
    first.ok_or_else(|| Error::UnknownSuite { name: name.to_owned(), nearest: Vec::new() })
}

fn cache(machine: &Machine) -> Finding {
    let Some(path) = &machine.cache else {
        return Finding::new("cache", "none", Condition::Limited, "nothing is kept, so each run downloads everything");
    };
    let name = path.display().to_string();
    match Cache::open(Some(path), &machine.temporary) {
        Ok(cache) => match cache.distrust() {
            None => Finding::new("cache", &name, Condition::Good, "downloads and finished parts are kept"),
            Some(reason) => {
                let fix = Some("use a directory that nobody else can write to: --cache-dir".to_owned());
                let text = format!("it is not yours alone ({reason}), so only downloads are kept");
                Finding { fix, ..Finding::new("cache", &name, Condition::Limited, text) }
            }
        },
        Err(error) => Finding::of("cache", &name, Condition::Bad, &error.into()),
    }
}

fn disk(name: &str, path: &Path) -> Finding {
    // The cache need not exist yet.
    let Some(found) = path.ancestors().find_map(|above| statvfs(above).ok()) else {
        return Finding::new("disk", name, Condition::Bad, format!("{} cannot be inspected", path.display()));
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let text = format!("{} MiB are free for {}", free >> 20, path.display());
    if free >= LITTLE || found.f_blocks == 0 {
        return Finding::new("disk", name, Condition::Good, text);
    }
    let fix = match name {
        "cache" => "free some space (`rootstrap cache prune`), or use another place: --cache-dir",
        _ => "free some space, or use another place: TMPDIR",
    };
    Finding { fix: Some(fix.to_owned()), ..Finding::new("disk", name, Condition::Limited, text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Host;

    #[test]
    fn each_vendor_has_a_suite_that_is_asked_for() {
        let suites = longest_supported();
        assert!(suites.len() >= 2, "{suites:?}");
        assert!(suites.iter().all(|name| rootstrap_suites::lookup(name).is_some_and(|suite| !suite.ended)));
    }

    #[test]
    fn what_is_missing_has_a_fix() {
        let place = tempfile::tempdir().unwrap();
        let host = Host { machine: "x86_64".to_owned(), ..Host::default() };
        let machine = Machine { temporary: place.path().to_owned(), ..Machine::new(host, 0) };
        assert_eq!(architecture("amd64", &machine).text, "runs here");
        let foreign = architecture("s390x", &machine);
        assert!(foreign.condition == Condition::Good || foreign.fix.is_some(), "{foreign:?}");
        assert_eq!(cache(&machine).condition, Condition::Limited);
        let blocked = Machine { cache: Some("/proc/none".into()), ..machine };
        assert_eq!(cache(&blocked).condition, Condition::Bad);
        assert_ne!(disk("temporary", place.path()).condition, Condition::Bad);
    }
}
