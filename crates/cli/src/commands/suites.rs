//! `rootstrap suites`: what can be made.

use super::outcome::fail;
use crate::environment;
use crate::plan_args::SuitesArgs;
use rootstrap_bootstrap::suites::{Suite, all};
use rootstrap_bootstrap::{Error, format_date, native_architecture};
use serde_json::{Value, json};
use std::io::Write;

/// Prints the suites, and returns the exit status.
pub(crate) fn run(args: &SuitesArgs) -> u8 {
    let today = format_date(environment::now());
    let architecture = native_architecture(&environment::host().machine).unwrap_or("amd64");
    let rows: Vec<Row> = all().map(|suite| Row::of(suite, &today, architecture)).collect();
    let text = if args.json { json_of(&rows) } else { table(&rows) };
    let printed = std::io::stdout().write_all(text.as_bytes()).map_err(Error::Stdout);
    printed.map_or_else(|error| fail(&error, None), |()| 0)
}

/// What is said of a suite.
struct Row {
    codename: String,
    aliases: Vec<String>,
    version: String,
    vendor: String,
    state: &'static str,
    ends: String,
    architectures: Vec<String>,
    mirror: String,
}

impl Row {
    /// `today` is a date that begins with year, month and day.
    fn of(suite: &Suite, today: &str, architecture: &str) -> Self {
        let ends = suite.ends.clone().unwrap_or_default();
        let is_over = !ends.is_empty() && today.get(..10).is_some_and(|today| today > ends.as_str());
        Self {
            codename: suite.codename.clone(),
            aliases: suite.aliases.clone(),
            version: suite.version.clone().unwrap_or_default(),
            vendor: suite.vendor().map(|vendor| vendor.label.clone()).unwrap_or_default(),
            state: match (suite.ended, is_over) {
                (true, _) => "archived",
                (_, true) => "unsupported",
                _ if ends.is_empty() => "developed",
                _ => "supported",
            },
            ends,
            architectures: suite.architectures.clone(),
            mirror: suite.mirrors(architecture).first().map(|mirror| mirror.uri.clone()).unwrap_or_default(),
        }
    }
}

fn table(rows: &[Row]) -> String {
    let heads = ["SUITE", "ALIASES", "VERSION", "VENDOR", "STATE", "SUPPORTED UNTIL", "ARCHITECTURES", "MIRROR"]
        .map(str::to_owned);
    let cells = rows.iter().map(|row| {
        let Row { codename, version, vendor, ends, mirror, .. } = row;
        let texts =
            [codename, &row.aliases.join(","), version, vendor, row.state, ends, &row.architectures.join(","), mirror];
        texts.map(|text| if text.is_empty() { "-".to_owned() } else { text.to_owned() })
    });
    let cells: Vec<[String; 8]> = std::iter::once(heads).chain(cells).collect();
    let width = |column: usize| cells.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..8).map(width).collect();
    let line = |row: &[String; 8]| {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    cells.iter().map(line).collect()
}

fn json_of(rows: &[Row]) -> String {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            let Row { codename, aliases, version, vendor, state, ends, architectures, mirror } = row;
            let given = |text: &String| (!text.is_empty()).then(|| text.clone());
            json!({
                "codename": codename, "aliases": aliases, "version": given(version), "vendor": vendor, "state": state,
                "supported_until": given(ends), "architectures": architectures, "mirror": mirror,
            })
        })
        .collect();
    serde_json::to_string_pretty(&rows).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use rootstrap_bootstrap::suites::lookup;

    #[test]
    fn suites_end_on_their_last_day() {
        let state = |name: &str, today: &str| Row::of(lookup(name).unwrap(), today, "amd64").state;
        assert_eq!(state("sid", "2026-01-01T00:00:00Z"), "developed");
        let ends = lookup("noble").unwrap().ends.clone().unwrap();
        assert_eq!(state("noble", &format!("{ends}T23:00:00Z")), "supported");
        assert_eq!(state("noble", "2099-01-01T00:00:00Z"), "unsupported");
    }

    #[test]
    fn every_suite_has_a_line() {
        let rows: Vec<Row> = all().map(|suite| Row::of(suite, "2026-01-01", "amd64")).collect();
        assert_eq!(table(&rows).lines().count(), rows.len() + 1);
        assert!(table(&rows).contains("http://archive.ubuntu.com/ubuntu"));
        assert!(rows.iter().all(|row| row.architectures.iter().any(|name| name == "amd64")));
    }
}
