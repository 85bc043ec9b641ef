//! Medians, ratios, limits, and the document.

use super::*;
use crate::bench::scenario::{ALONE, ANEW, DIRECTORY, FLOOR, ROOT};

fn case(name: &str) -> Case {
    let args = ["--scenario".to_owned(), name.to_owned()];
    crate::bench::options::parse(&args).unwrap().cases().remove(0)
}

fn series(name: &str, walls: &[f64], memory: f64) -> Series {
    let sample = |&wall: &f64| Sample { wall, user: wall, system: 0.5, memory: Some(memory) };
    Series { name: name.into(), command: name.into(), samples: walls.iter().map(sample).collect() }
}

#[test]
fn medians_and_spread() {
    for (values, expected) in [(&[][..], 0.0), (&[3.0], 3.0), (&[2.0, 1.0], 1.5), (&[9.0, 1.0, 2.0], 2.0)] {
        assert!((median(values.to_vec()) - expected).abs() < 1e-9, "{values:?}");
    }
    let spread = Spread::of(&series("x", &[3.0, 1.0, 2.0], 1.0).samples, |sample| sample.wall);
    assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.0, 3.0));
}

#[test]
fn ratios_are_taken_pair_by_pair_and_held_to_their_limit() {
    let all = [
        series("rootstrap", &[1.0, 2.0, 3.0], 110.0),
        // 0.24, 0.2, 0.3: the median is exactly the limit.
        series("mmdebstrap", &[1.0 / 0.24, 10.0, 10.0], 1.0),
        series("debootstrap", &[2.0, 4.0, 6.0], 1.0),
        series("cdebootstrap", &[2.0, 2.0, 2.0], 1.0),
        series("floor: configure", &[1.0, 1.0, 1.0], 1.0),
        series("floor", &[1.0, 1.0, 2.0], 1.0),
    ];
    let wanted = [
        "rootstrap / mmdebstrap: **0.24** (pair by pair: 0.24, 0.20, 0.30); at most 0.24 is wanted: met",
        "rootstrap / debootstrap: **0.50** (pair by pair: 0.50, 0.50, 0.50)",
        "rootstrap / cdebootstrap: **1.00** (pair by pair: 0.50, 1.00, 1.50)",
        "rootstrap / floor: **1.50** (pair by pair: 1.00, 2.00, 1.50); at most 1.12 is wanted: **not met**",
        "peak memory of rootstrap: **110 MiB**; at most 114 MiB is wanted: met",
        "rootstrap / rdebootstrap: at most 0.85 is wanted: not measured",
    ];
    assert_eq!(ratios(&case("cold"), &all), wanted);
    let large = [series("rootstrap", &[1.0], 201.0)];
    assert!(ratios(&case("image"), &large)[0].ends_with("at most 114 MiB is wanted: **not met**"));
}

#[test]
fn every_limit_names_a_possible_row() {
    let rows = ["mmdebstrap", "debootstrap", "cdebootstrap", "rdebootstrap", FLOOR];
    let ours = [DIRECTORY, ROOT, ALONE, ANEW];
    for scenario in &SCENARIOS {
        for (name, limit) in scenario.limits {
            assert!(rows.contains(name) || ours.contains(name), "{}: {name}", scenario.name);
            assert!(*limit > 0.0 && *limit < 3.0);
            assert!(*name != FLOOR || scenario.floor, "{}", scenario.name);
        }
    }
}

#[test]
fn a_section_says_which_tool_is_missing_and_shows_no_paths() {
    let options = Options { runs: 1, ..Options::default() };
    let table = Table {
        series: vec![series("rootstrap", &[1.0], 10.0), series("mmdebstrap", &[2.0], 10.0)],
        unable: vec![("debootstrap".into(), "it is not installed".into())],
    };
    let args = ["--mirror=http://somewhere/debian".to_owned()];
    let text = section(&options, &case("cold"), &table, Path::new("/nowhere/rootstrap"), &args);
    assert!(text.starts_with("## cold: trixie minbase\n\nInto an empty directory"), "{text}");
    assert!(text.contains("| rootstrap | 1.00 s | 1.00–1.00 s | 1.50 s | 1.50–1.50 s | 10 MiB |"), "{text}");
    assert!(text.contains("* debootstrap is not in the table: it is not installed\n"), "{text}");
    assert!(text.contains("$ cargo xtask bench --mirror=MIRROR\n"), "{text}");
    assert!(!text.contains("somewhere") && !text.contains("/nowhere"), "{text}");
}

#[test]
fn a_section_replaces_the_old_one_and_the_order_is_that_of_the_scenarios() {
    let old = "# Old\n\nWords.\n\n## of no scenario\n\nx\n\n## warm: a b\n\nwarm\n\n## cold: a b\n\nold\n\n## cold: c d\n\nother\n";
    let new = replace(old, "## cold: a b\n\nnew\n");
    assert_eq!(new, format!("{HEAD}\n## cold: a b\n\nnew\n\n## cold: c d\n\nother\n\n## warm: a b\n\nwarm\n"),);
    assert_eq!(replace(&new, "## cold: a b\n\nnew\n"), new);
    // What is written by hand stays, at the end.
    let before = new.replacen("## cold", &format!("{STAGES}\n\nwords\n\n## cold"), 1);
    let with = replace(&before, "## cold: a b\n\nnew\n");
    assert_eq!(with, format!("{new}\n{STAGES}\n\nwords\n"));
}
