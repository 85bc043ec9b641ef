//! `rootstrap cache dir|info|prune`: shows where the cache is and what it holds, and makes it smaller.

use super::outcome::{fail, usage};
use crate::environment;
use clap::Subcommand;
use indicatif::HumanBytes;
use rootstrap_bootstrap::cache::{self, LayerUsage, PruneLimits};
use rootstrap_bootstrap::{CACHE_LAYERS, Error, Event, Machine, format_date};
use std::io::Write;
use std::path::{Path, PathBuf};

/// By default, files that were not used for this many days are removed.
const DAYS: u32 = 30;

/// The arguments of `rootstrap cache`.
#[derive(Debug, clap::Args)]
pub(crate) struct Cache {
    #[command(subcommand)]
    action: Action,

    /// Where downloads are kept [env: ROOTSTRAP_CACHE_DIR] [default: ~/.cache/rootstrap, for root /var/cache/rootstrap]
    #[arg(long, value_name = "DIR", global = true)]
    cache_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print where the cache is
    Dir,

    /// Print what is in the cache
    Info {
        /// As JSON, with sizes in bytes
        #[arg(long)]
        json: bool,
    },

    /// Remove what was not used for 30 days, or what the options say
    ///
    /// Waits until no other rootstrap uses the cache. Files that killed runs left are always removed. The newest Release file of a suite is
    /// removed only if --max-size leaves room for nothing else, because it protects against going back to an older one.
    Prune {
        /// Keep at most SIZE, and what was used last: a number of bytes, or with K, M, G, T (KiB, …) multiples of 1024, with kB, MB,
        /// GB, TB multiples of 1000
        #[arg(long, value_name = "SIZE", value_parser = size)]
        max_size: Option<u64>,

        /// Keep only what was used in the last DAYS days
        #[arg(long, value_name = "DAYS")]
        older_than: Option<u32>,
    },
}

/// Runs the command and returns the exit status.
pub(crate) fn run(args: Cache) -> u8 {
    let Some(directory) = args.cache_dir.or_else(environment::cache_directory) else {
        return usage("cannot tell where the cache is: HOME is not set\nhint: name it with --cache-dir");
    };
    let text = match args.action {
        Action::Dir => Ok(format!("{}\n", directory.display())),
        Action::Info { json } => {
            cache::usage(&directory, &CACHE_LAYERS).map_err(Error::from).map(|layers| match json {
                true => json_of(&directory, &layers),
                false => text_of(&directory, &layers),
            })
        }
        Action::Prune { max_size, older_than } => pruned(&directory, max_size, older_than),
    };
    let printed = text.and_then(|text| std::io::stdout().write_all(text.as_bytes()).map_err(Error::Stdout));
    printed.map_or_else(|error| fail(&error, None), |()| 0)
}

fn pruned(directory: &Path, max_size: Option<u64>, older_than: Option<u32>) -> Result<String, Error> {
    let days = older_than.or(max_size.is_none().then_some(DAYS));
    let used_since = days.map(|days| environment::now() - i64::from(days) * 24 * 60 * 60);
    let limits = PruneLimits { max_bytes: max_size, used_since };
    let freed = cache::prune(directory, &CACHE_LAYERS, limits, &mut || {
        let _ = writeln!(std::io::stderr(), "waiting for other runs that use {}", directory.display());
    })?;
    let (bytes, left) = (HumanBytes(freed.bytes), HumanBytes(freed.left));
    Ok(format!("removed {} files, {bytes}; {left} are left\n", freed.files))
}

/// Makes the cache in `directory` smaller after a run, if it has more than `max_bytes`. Says what was removed, if anything was. A failure
/// does not fail the run.
fn keep_within(directory: &Path, max_bytes: Option<u64>) -> Option<String> {
    let now = max_bytes.is_none().then(environment::now);
    let max_bytes = max_bytes.unwrap_or_else(|| cache::default_size(directory));
    let pruned = cache::keep_within(directory, &CACHE_LAYERS, max_bytes, now).ok()?;
    let text = || format!("cache: removed {} files, {}, used longest ago", pruned.files, HumanBytes(pruned.bytes));
    (pruned.files > 0).then(text)
}

/// Waits until everything is in the store that several machines share, says why it was left alone, if it was, and keeps the cache within
/// its size.
pub(crate) fn close_cache(machine: &Machine, max_bytes: Option<u64>, report: &dyn Fn(Event)) {
    let problem = machine.remote.as_ref().and_then(cache::Remote::problem);
    problem.into_iter().for_each(|text| report(Event::Warning(text)));
    let removed = machine.cache.as_deref().and_then(|cache| keep_within(cache, max_bytes));
    removed.into_iter().for_each(|text| report(Event::Note(text)));
}

fn totals(layers: &[LayerUsage]) -> (u64, u64, Option<String>) {
    let oldest = layers.iter().filter_map(|layer| layer.oldest).min();
    (
        layers.iter().map(|layer| layer.files).sum(),
        layers.iter().map(|layer| layer.bytes).sum(),
        oldest.map(format_date),
    )
}

/// Returns a line for each layer that is not empty.
fn text_of(directory: &Path, layers: &[LayerUsage]) -> String {
    let line = |name, files, bytes| format!("{name:<12}{files:>7} files{:>14}\n", HumanBytes(bytes).to_string());
    let (files, bytes, oldest) = totals(layers);
    let mut text = format!("{}\n", directory.display());
    for layer in layers.iter().filter(|layer| layer.files > 0) {
        text.push_str(&line(layer.name, layer.files, layer.bytes));
    }
    text.push_str(&line("total", files, bytes));
    if let Some(oldest) = oldest {
        text.push_str(&format!("oldest use: {oldest}\n"));
    }
    text
}

fn json_of(directory: &Path, layers: &[LayerUsage]) -> String {
    let (files, bytes, oldest) = totals(layers);
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| {
            let oldest = layer.oldest.map(format_date);
            serde_json::json!({ "name": layer.name, "files": layer.files, "bytes": layer.bytes, "oldest_use": oldest })
        })
        .collect();
    let directory = directory.to_string_lossy();
    let all = serde_json::json!({
        "directory": directory, "layers": layers, "files": files, "bytes": bytes, "oldest_use": oldest
    });
    format!("{all:#}\n")
}

/// Parses a size as `--block-size` of coreutils does: `K` and `KiB` are 1024 bytes, `kB` and `KB` are 1000.
pub(crate) fn size(text: &str) -> Result<u64, &'static str> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let (letter, rest) = unit.split_at(usize::from(unit.is_char_boundary(1)));
    let base: u64 = match rest {
        "" | "iB" => 1024,
        "B" => 1000,
        _ => return Err("it must be a number, optionally with K, M, G or T"),
    };
    let power = match letter {
        "" | "B" if rest.is_empty() => 0,
        "k" | "K" => 1,
        "m" | "M" => 2,
        "g" | "G" => 3,
        "t" | "T" => 4,
        _ => return Err("it must be a number, optionally with K, M, G or T"),
    };
    let number: u64 = number.parse().map_err(|_| "it must be a number, optionally with K, M, G or T")?;
    number.checked_mul(base.pow(power)).ok_or("it is too large")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("17B", 17),
            ("2K", 2048),
            ("2k", 2048),
            ("2KiB", 2048),
            ("2kB", 2000),
            ("3M", 3 << 20),
            ("5GB", 5_000_000_000),
            ("5GiB", 5 << 30),
            ("1T", 1 << 40),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in
            ["", "G", "-1", "1.5G", "1 G", "1X", "1iB", "1KIB", "1BB", "1Gé", "1é", "99999999T", "99999999999999999999"]
        {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn empty_layers_are_not_shown_but_are_in_json() {
        let layer = |name, files, bytes, oldest| LayerUsage { name, files, bytes, oldest };
        let layers = [layer("downloads", 2, 3 << 20, Some(86_400)), layer("tmp", 0, 0, None)];
        assert_eq!(
            text_of(Path::new("/c"), &layers),
            "/c\ndownloads         2 files      3.00 MiB\ntotal             2 files      3.00 MiB\n\
             oldest use: 1970-01-02T00:00:00Z\n"
        );
        let json: serde_json::Value = serde_json::from_str(&json_of(Path::new("/c"), &layers)).unwrap();
        assert_eq!(json["bytes"], 3 << 20);
        assert_eq!(json["layers"][1]["oldest_use"], serde_json::Value::Null);
    }
}
