//! `rootstrap cache dir|info|prune`: where downloads are kept, what that takes, and less of it.

use super::bootstrap::{fail, usage};
use crate::surroundings;
use clap::Subcommand;
use indicatif::HumanBytes;
use rootstrap_bootstrap::prune::{self, Keep, Layer};
use rootstrap_bootstrap::{Error, format_date};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What is not used for so many days goes unless something else is asked for.
const DAYS: u32 = 30;

/// The words of `rootstrap cache`.
#[derive(Debug, clap::Args)]
pub(crate) struct Cache {
    #[command(subcommand)]
    action: Action,

    /// Where downloads are kept [default: ~/.cache/rootstrap, for root /var/cache/rootstrap]
    #[arg(long, value_name = "DIR", global = true)]
    cache_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print where the cache is
    Dir,

    /// Print what is in it
    Info {
        /// As JSON, with sizes in bytes
        #[arg(long)]
        json: bool,
    },

    /// Remove what was not used for 30 days, or as much as is asked for
    ///
    /// Waits until no other rootstrap uses the cache. What killed ones left goes in any case, the newest Release file of a
    /// suite only where --max-size leaves room for nothing else: it is what tells an older one from a newer.
    Prune {
        /// Keep so much at most, of what was used last: a number of bytes, or with K, M, G or T (also KiB, …) of 1024s, with kB,
        /// MB, GB or TB of 1000s
        #[arg(long, value_name = "SIZE", value_parser = size)]
        max_size: Option<u64>,

        /// Keep only what was used in so many days
        #[arg(long, value_name = "DAYS")]
        older_than: Option<u32>,
    },
}

/// Runs the command and says how it went.
pub(crate) fn run(args: Cache) -> u8 {
    let Some(directory) = args.cache_dir.or_else(surroundings::cache_directory) else {
        return usage("cannot tell where the cache is: HOME is not set\nhint: name it with --cache-dir");
    };
    let text = match args.action {
        Action::Dir => Ok(format!("{}\n", directory.display())),
        Action::Info { json } => prune::usage(&directory).map_err(Error::from).map(|layers| match json {
            true => json_of(&directory, &layers),
            false => text_of(&directory, &layers),
        }),
        Action::Prune { max_size, older_than } => pruned(&directory, max_size, older_than),
    };
    let printed = text.and_then(|text| std::io::stdout().write_all(text.as_bytes()).map_err(Error::Stdout));
    printed.map_or_else(|error| fail(&error, None), |()| 0)
}

fn pruned(directory: &Path, max_size: Option<u64>, older_than: Option<u32>) -> Result<String, Error> {
    let days = older_than.or(max_size.is_none().then_some(DAYS));
    let keep = Keep { most: max_size, since: days.map(|days| surroundings::now() - i64::from(days) * 24 * 60 * 60) };
    let freed = prune::prune(directory, keep, &mut || {
        let _ = writeln!(std::io::stderr(), "waiting for other runs that use {}", directory.display());
    })?;
    let (bytes, left) = (HumanBytes(freed.bytes), HumanBytes(freed.left));
    Ok(format!("removed {} files, {bytes}; {left} are left\n", freed.files))
}

fn totals(layers: &[Layer]) -> (u64, u64, Option<String>) {
    let oldest = layers.iter().filter_map(|layer| layer.oldest).min();
    (
        layers.iter().map(|layer| layer.files).sum(),
        layers.iter().map(|layer| layer.bytes).sum(),
        oldest.map(format_date),
    )
}

/// A line for each layer that has something in it.
fn text_of(directory: &Path, layers: &[Layer]) -> String {
    let line = |name, files, bytes| format!("{name:<10}{files:>7} files{:>14}\n", HumanBytes(bytes).to_string());
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

fn json_of(directory: &Path, layers: &[Layer]) -> String {
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

/// A size as coreutils' `--block-size` reads one: `K` and `KiB` are 1024 bytes, `kB` and `KB` 1000.
fn size(text: &str) -> Result<u64, &'static str> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let (letter, rest) = unit.split_at(usize::from(unit.is_char_boundary(1)));
    let base: u64 = match rest {
        "" | "iB" => 1024,
        "B" => 1000,
        _ => return Err("it is a number and K, M, G or T"),
    };
    let power = match letter {
        "" | "B" if rest.is_empty() => 0,
        "k" | "K" => 1,
        "m" | "M" => 2,
        "g" | "G" => 3,
        "t" | "T" => 4,
        _ => return Err("it is a number and K, M, G or T"),
    };
    let number: u64 = number.parse().map_err(|_| "it is a number and K, M, G or T")?;
    number.checked_mul(base.pow(power)).ok_or("it is more than there is")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
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
        let layer = |name, files, bytes, oldest| Layer { name, files, bytes, oldest };
        let layers = [layer("downloads", 2, 3 << 20, Some(86_400)), layer("tmp", 0, 0, None)];
        assert_eq!(
            text_of(Path::new("/c"), &layers),
            "/c\ndownloads       2 files      3.00 MiB\ntotal           2 files      3.00 MiB\n\
             oldest use: 1970-01-02T00:00:00Z\n"
        );
        let json: serde_json::Value = serde_json::from_str(&json_of(Path::new("/c"), &layers)).unwrap();
        assert_eq!(json["bytes"], 3 << 20);
        assert_eq!(json["layers"][1]["oldest_use"], serde_json::Value::Null);
    }
}
