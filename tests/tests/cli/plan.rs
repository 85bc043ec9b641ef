//! `--print-plan` prints what would be installed to standard output, and needs no rights.

use crate::{debian, trixie, unlisted};
use rootstrap_testkit::deb::Deb;
use rootstrap_tests::world::World;
use rootstrap_tests::{machine, need};

fn text(world: &World, arguments: &[&str]) -> String {
    let outcome = world.run(&[&["--print-plan", "--arch=amd64"], arguments].concat()).expect(0);
    String::from_utf8(outcome.stdout).unwrap()
}

/// Returns the lines of a plan without the sizes, which depend on the compressors.
fn without_sizes(plan: &str) -> Vec<String> {
    let cut = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert!(words.last().unwrap().parse::<u64>().is_ok(), "{line}");
        words[..words.len() - 1].join(" ")
    };
    plan.lines().map(cut).collect()
}

#[test]
fn a_plan_as_text() {
    let world = trixie();
    let plan = text(&world, &["--include=postfix"]);
    assert_eq!(
        without_sizes(&plan),
        [
            "required base-files 1.0 amd64",
            "required dpkg 1.0 amd64",
            "required libc6 2.41-12 amd64",
            "base apt 3.0.3 amd64",
            "base postfix 3.10 amd64",
        ]
    );
    assert_eq!(text(&world, &["--include=postfix"]), plan);
    assert!(world.server.requests().iter().all(|request| !request.path.contains("/pool/")));
    assert!(world.names("out").is_empty());
}

#[test]
fn a_plan_as_json() {
    let world = trixie();
    let outcome = world.run(&["--print-plan=json", "--arch=amd64"]).expect(0);
    let plan: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
    let phases = plan["phases"].as_array().unwrap();
    assert_eq!(phases[0]["name"], "required");
    let first = &phases[0]["packages"][0];
    assert_eq!(first["name"], "base-files");
    assert_eq!(first["version"], "1.0");
    assert_eq!(first["architecture"], "amd64");
    assert_eq!(first["path"], "pool/main/b/base-files/base-files_1.0_amd64.deb");
    let names: Vec<&str> = phases
        .iter()
        .flat_map(|phase| phase["packages"].as_array().unwrap())
        .filter_map(|p| p["name"].as_str())
        .collect();
    assert_eq!(names, ["base-files", "dpkg", "libc6", "apt"]);
    let again = world.run(&["--print-plan=json", "--arch=amd64"]).expect(0);
    assert_eq!(again.stdout, outcome.stdout);
}

#[test]
fn needs_no_rights() {
    let user = need!(machine::user());
    let world = trixie();
    let mut command = world.command_as(&user, &["--print-plan", "--arch=amd64"]);
    let outcome = world.finish(&mut command).expect(0);
    assert_eq!(String::from_utf8(outcome.stdout).unwrap(), text(&world, &[]));
}

#[test]
fn variants_differ_as_they_should() {
    let world = trixie();
    let names = |variant: &str| -> String {
        let plan = text(&world, &[&format!("--variant={variant}")]);
        plan.lines().filter_map(|line| line.split_whitespace().nth(1)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names("essential"), "base-files dpkg libc6");
    assert_eq!(names("apt"), "base-files dpkg libc6 apt");
    assert_eq!(names("-"), "base-files dpkg libc6 apt");
    assert_eq!(names("custom"), "");
}

/// Of several pockets, the newest version counts.
#[test]
fn pockets_are_used_together() {
    let files = debian(|pocket| {
        let version = if pocket == "updates" { "2.0" } else { "3.0" };
        vec![Deb::new("base-files", version).field("Essential", "yes").field("Priority", "required")]
    });
    let world = World::serving_below("trixie", "/debian", files);
    for (pockets, expect) in [("release", "1.0"), ("release,updates", "2.0"), ("release,updates,security", "3.0")] {
        let plan = text(&world, &[&format!("--pockets={pockets}")]);
        assert!(plan.contains(&format!("base-files  {expect}")), "{pockets}: {plan}");
    }
}

#[test]
fn a_closed_standard_output_is_an_error() {
    let world = unlisted();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = world.command(&["--print-plan", "--arch=amd64", "--no-cache"]);
    let outcome = world.finish(command.stdout(writer)).expect(1);
    assert!(outcome.transcript.contains("error: cannot write to standard output\n"), "{}", outcome.transcript);
}
