//! The commands in README.md and docs/ are ones that the program takes, and docs/reference.md has every option.

use crate::args::CommandLine;
use clap::{Arg, Command, CommandFactory, Parser};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The page with every option. ROOTSTRAP_BLESS=1 writes it.
const REFERENCE: &str = "docs/reference.md";

const HEAD: &str = "\
# Reference

Every command and every option, as `rootstrap --help` has them. This page is made from the definitions of the command line, by
`ROOTSTRAP_BLESS=1 cargo test -p rootstrap reference`.

Variants (`--variant`): `essential` is the packages that are essential, and what they need; `minbase` those and the required ones, and apt; `apt` the
essential ones and apt; `important` (also `-` and `debootstrap`) adds those of priority important, as debootstrap does by default, and `standard` those of
priority standard; `buildd` is the essential ones, apt and build-essential; `custom` is what is included, and nothing else; `extract` unpacks that and runs no
script; `distroless` is what is included and what that needs to run.
";

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns the names and texts of all pages for users but those that are made: the commands of errors.md are wrong on purpose.
fn pages() -> Vec<(String, String)> {
    let list = |directory: &str| std::fs::read_dir(top().join(directory)).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = list("docs").chain(list("docs/tutorials")).collect();
    paths.push(top().join("README.md"));
    let is_made = |path: &PathBuf| path.ends_with("errors.md") || path.ends_with("reference.md");
    paths.retain(|path| path.extension().is_some_and(|end| end == "md") && !is_made(path));
    paths.sort();
    paths.into_iter().map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap())).collect()
}

/// Returns the commands of rootstrap in the blocks of a page, each as its words.
fn commands(page: &str) -> Vec<Vec<String>> {
    let joined = page.replace("\\\n", " ");
    let mut is_code = false;
    let mut found = Vec::new();
    for line in joined.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
            continue;
        }
        if !is_code || !line.contains("rootstrap") {
            continue;
        }
        // What another shell expands is one word for this one.
        let line = line.replace("$(openssl passwd -6)", "HASH").replace(';', " ; ");
        let words: Vec<String> = shlex::Shlex::new(line.trim_start_matches("$ ")).collect();
        for command in words.split(|word| ["|", "||", "&&", ";"].contains(&word.as_str())) {
            let command = command.iter().skip_while(|word| {
                word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
            });
            let command: Vec<String> = command.take_while(|word| !word.starts_with('>')).cloned().collect();
            if command.first().is_some_and(|program| program == "rootstrap") {
                found.push(command);
            }
        }
    }
    found
}

#[test]
fn every_command_of_the_docs_is_taken() {
    let mut count = 0;
    for (path, page) in pages() {
        for command in commands(&page) {
            count += 1;
            if let Err(error) = CommandLine::try_parse_from(&command) {
                panic!("{path}: {}: {error}", command.join(" "));
            }
        }
    }
    assert!(count > 100, "{count} commands were found");
}

/// Returns the options of a command below their headings, in their order.
fn options(command: &Command) -> BTreeMap<String, Vec<&Arg>> {
    let mut groups: BTreeMap<String, Vec<&Arg>> = BTreeMap::new();
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set() && arg.get_id() != "help") {
        groups.entry(arg.get_help_heading().unwrap_or("Options").to_owned()).or_default().push(arg);
    }
    groups
}

fn named(arg: &Arg) -> String {
    let values: Vec<&str> = arg.get_value_names().unwrap_or_default().iter().map(|name| name.as_str()).collect();
    let takes_value = arg.get_action().takes_values();
    let value = if takes_value { values.join(" ") } else { String::new() };
    let Some(long) = arg.get_long() else { return value };
    let short = arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    let long = if value.is_empty() { format!("--{long}") } else { format!("--{long}={value}") };
    format!("{short}{long}")
}

fn describe(page: &mut String, command: &mut Command, name: &str) {
    command.build();
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let usage = command.render_usage().to_string().replace("Usage: ", "");
    let _ = write!(page, "\n## {name}\n\n{}\n\n```\n{}\n```\n", about.trim(), usage.trim());
    for (heading, args) in options(command) {
        if heading != "Options" {
            let _ = write!(page, "\n{heading}:\n");
        }
        page.push('\n');
        for arg in args {
            let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
            let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
            let is_shown = arg.get_action().takes_values() && !defaults.is_empty();
            let default = if is_shown { format!(" (default: `{}`)", defaults.join(",")) } else { String::new() };
            let possible: Vec<String> =
                arg.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
            let is_listed = arg.get_action().takes_values() && !possible.is_empty();
            let possible = if is_listed { format!(": {}", possible.join(", ")) } else { String::new() };
            let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
            let _ = writeln!(page, "* `{}` – {help}{possible}{default}", named(arg));
        }
    }
    let names = command.get_subcommands().filter(|it| !it.is_hide_set()).map(|it| it.get_name().to_owned());
    for below in names.collect::<Vec<_>>() {
        if let Some(command) = command.find_subcommand_mut(&below) {
            describe(page, command, &format!("{name} {below}"));
        }
    }
}

#[test]
fn the_reference_has_every_option() {
    let mut page = HEAD.to_owned();
    let mut program = CommandLine::command().term_width(0);
    describe(&mut page, &mut program, "rootstrap");
    let path = top().join(REFERENCE);
    if std::env::var_os("ROOTSTRAP_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "{REFERENCE} is out of date: ROOTSTRAP_BLESS=1 cargo test -p rootstrap reference");
}
