//! The cli ring: the real binary runs against archives that the tests make, and everything that it prints is compared.
//!
//! Transcripts have names in the place of paths, durations and sizes: `DIR` is the scratch directory, `MIRROR` the server.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod access;
mod answers;
mod cache;
mod diff;
mod errors;
mod includes;
mod lock;
mod mirrors;
mod outdated;
mod packages;
mod peers;
mod plan;
mod project;
mod snapshot;
mod sources;
mod targets;
mod trust;
mod words;

use rootstrap_testkit::Files;
use rootstrap_testkit::archive::Archive;
use rootstrap_testkit::deb::Deb;
use rootstrap_tests::world::{KEY, World};

/// Returns an archive for amd64 with a few packages and no program, which suffices for plans and for `--variant=extract`.
fn archive(suite: &str) -> Archive {
    let required = |name: &str| Deb::new(name, "1.0").field("Essential", "yes").field("Priority", "required");
    Archive::new(suite).key(&KEY).debs([
        required("base-files").file("/etc/motd", 0o644, "hello\n"),
        required("dpkg").field("Pre-Depends", "libc6 (>= 2)").file("/usr/bin/dpkg", 0o755, "dpkg\n"),
        Deb::new("libc6", "2.41-12").field("Priority", "optional").file("/usr/lib/libc.so.6", 0o644, "libc\n"),
        Deb::new("apt", "3.0.3").field("Priority", "important").field("Depends", "libc6").dir("/etc/apt", 0o755),
        Deb::new("postfix", "3.10").field("Priority", "optional").field("Provides", "mail-transport-agent"),
        Deb::new("exim4", "4.98").field("Priority", "optional").field("Provides", "mail-transport-agent"),
        Deb::new("broken", "1").field("Depends", "half").field("Priority", "optional"),
        Deb::new("half", "2").field("Depends", "missing (>= 3) | libc6 (>= 9)").field("Priority", "optional"),
        Deb::new("rival", "1").field("Conflicts", "apt").field("Priority", "optional"),
    ])
}

/// Returns a world with the listed suite trixie. The mirror has all its pockets.
fn trixie() -> World {
    World::serving_below("trixie", "/debian", debian(|_| Vec::new()))
}

/// Debian's layout: `/debian` with two pockets and `/debian-security` with the third, each with packages of its own.
fn debian(more: impl Fn(&str) -> Vec<Deb>) -> Files {
    let below = |path: &str, files: Files| {
        files.into_iter().map(|(name, bytes)| (format!("{path}/{name}"), bytes)).collect::<Vec<_>>()
    };
    let mut updates = Archive::new("trixie-updates").key(&KEY).debs(more("updates"));
    updates.codename = "trixie-updates".into();
    let security = Archive::new("trixie-security").key(&KEY).debs(more("security"));
    let mut files = Files::new();
    files.extend(below("debian", archive("trixie").build()));
    files.extend(below("debian", updates.build()));
    files.extend(below("debian-security", security.build()));
    files
}

/// Arguments for a run that starts no program of the root.
const EXTRACT: [&str; 3] = ["--variant=extract", "--arch=amd64", "--include=base-files,dpkg,libc6"];

/// Returns a world with a suite that rootstrap does not list.
fn unlisted() -> World {
    World::new(&archive("fixture"))
}
