//! `cargo xtask hostile` and `cargo xtask fuzz`: try the attacks and faults, and write the numbers into `docs/reliability.md`.

use crate::cargo::cargo;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const PAGE: &str = "docs/reliability.md";

/// The page's section about fuzzing.
const FUZZING: &str = "Fuzzing";

/// After how many seconds the numbers are written at the latest.
const SLICE: u64 = 120;

/// How many runs are killed with `--all`. Without it, the test decides.
const ALL_KILLS: &str = "500";

/// The packages and test binaries that have hostile cases.
const RINGS: [&[&str]; 2] = [
    &["-p", "rootstrap-tests", "--test", "hostile", "--test", "kills", "--test", "privileged"],
    &[
        "-p",
        "rootstrap-debian",
        "-p",
        "rootstrap-http",
        "-p",
        "rootstrap-cache",
        "-p",
        "rootstrap-fetch",
        "-p",
        "rootstrap-unpack",
        "-p",
        "rootstrap-configure",
        "-p",
        "rootstrap-distroless",
        "-p",
        "rootstrap-registry",
    ],
];

/// Runs the tests with hostile cases and counts the cases by class. `--all` also takes the long way where a test has one. `--write` writes
/// the numbers into the page.
pub fn hostile(top: &Path, arguments: &[String]) -> Result<(), String> {
    let has = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
    if let Some(unknown) = arguments.iter().find(|argument| !["--all", "--write"].contains(&argument.as_str())) {
        return Err(format!("cannot use {unknown}: the options are --all and --write"));
    }
    let log = top.join("target/hostile.log");
    fs::create_dir_all(top.join("target")).and_then(|()| fs::write(&log, "")).map_err(cannot("write", &log))?;
    for ring in RINGS {
        let mut cargo = cargo(top);
        cargo.arg("test").args(ring).env("ROOTSTRAP_HOSTILE_LOG", &log);
        if has("--all") {
            // `rootstrap_testkit::hostile_extent` reads the second one.
            cargo.env("ROOTSTRAP_KILLS", ALL_KILLS).env("ROOTSTRAP_HOSTILE_ALL", "1");
        }
        let status = cargo.status().map_err(|error| format!("cannot run cargo: {error}"))?;
        if !status.success() {
            return Err("an attack or a fault was not survived; the failed test says which".to_owned());
        }
    }
    let table = cases(&fs::read_to_string(&log).map_err(cannot("read", &log))?);
    print!("{table}");
    if has("--write") { write(top, "Attacks and faults", &table) } else { Ok(()) }
}

/// Returns the table of the cases by class, from lines of the form `hostile: CLASS: NAME`. A case that ran twice counts once.
fn cases(log: &str) -> String {
    let mut lines: Vec<&str> = log.lines().collect();
    lines.sort_unstable();
    lines.dedup();
    let mut classes = BTreeMap::<&str, usize>::new();
    for line in &lines {
        if let Some((class, _)) = line.strip_prefix("hostile: ").and_then(|rest| rest.split_once(": ")) {
            *classes.entry(class).or_default() += 1;
        }
    }
    let kills = classes.remove("kill").unwrap_or_default();
    let rows: String = classes.iter().map(|(class, count)| format!("| {class} | {count} | 0 |\n")).collect();
    let all: usize = classes.values().sum();
    format!(
        "| class | tried | escaped or lost something |\n|---|--:|--:|\n{rows}| **all of these** | {all} | 0 |\n| runs killed at \
         another moment each | {kills} | 0 |\n"
    )
}

/// Fuzzes each parser for a number of seconds of processor time, or those that are named. `--write` adds the executions to those of the
/// page.
pub fn fuzz(top: &Path, arguments: &[String]) -> Result<(), String> {
    let is_write = arguments.iter().any(|argument| argument == "--write");
    let mut words = arguments.iter().filter(|argument| *argument != "--write");
    let seconds = words
        .next()
        .and_then(|word| word.parse::<u64>().ok())
        .ok_or("usage: cargo xtask fuzz SECONDS [PARSER…] [--write]")?;
    let mut names: Vec<String> = words.cloned().collect();
    if names.is_empty() {
        let corpora = top.join("fuzz/corpus");
        let entries = fs::read_dir(&corpora).map_err(cannot("list", &corpora))?;
        names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
    }
    build_fuzzers(top)?;
    for name in &names {
        let (start, mut used) = (processor_seconds()?, 0);
        // libFuzzer knows a limit for the time that passes, and on a busy machine it gets less of the processor.
        while used < seconds {
            let executions = fuzz_for(top, name, (seconds - used).clamp(5, SLICE))?;
            let all = processor_seconds()?.saturating_sub(start);
            println!("{name}: {executions} executions in {} s of processor time", all - used);
            if is_write {
                let page = fs::read_to_string(top.join(PAGE)).map_err(cannot("read", &top.join(PAGE)))?;
                write(top, FUZZING, &with_run(&page, name, all - used, executions))?;
            }
            used = all;
        }
    }
    Ok(())
}

/// Returns the table of the page's section with a run added to the row of `name`.
fn with_run(page: &str, name: &str, seconds: u64, executions: u64) -> String {
    let section = page.split_once(&format!("\n## {FUZZING}\n")).map_or("", |(_, rest)| rest);
    let section = section.split("\n## ").next().unwrap_or_default();
    let cells = |line: &str| -> Option<(String, [u64; 2])> {
        let words: Vec<&str> = line.strip_prefix("| ")?.split(" | ").collect();
        Some((words.first()?.to_string(), [words.get(1)?.parse().ok()?, words.get(2)?.parse().ok()?]))
    };
    let mut rows: BTreeMap<String, [u64; 2]> = section.lines().filter_map(cells).collect();
    let [all_seconds, all_executions] = rows.entry(name.to_owned()).or_default();
    *all_seconds += seconds;
    *all_executions += executions;
    let rows = rows.iter().map(|(name, [seconds, executions])| format!("| {name} | {seconds} | {executions} | 0 |\n"));
    format!(
        "| parser | seconds of processor time | executions | failures |\n|---|--:|--:|--:|\n{}",
        rows.collect::<String>()
    )
}

/// Builds all fuzzers, so that no parser's time has the compiler's in it.
fn build_fuzzers(top: &Path) -> Result<(), String> {
    let status =
        Command::new("cargo").args(["+nightly", "fuzz", "build", "--sanitizer", "none"]).current_dir(top).status();
    match status.map_err(|error| format!("cannot run cargo: {error}"))?.success() {
        true => Ok(()),
        false => {
            Err("cannot build the fuzzers; hint: cargo install cargo-fuzz, and rustup toolchain install nightly"
                .to_owned())
        }
    }
}

/// Returns how much processor time the ended children of this process took (proc_pid_stat(5), `cutime` and `cstime`, in ticks of which
/// Linux shows programs 100 per second).
fn processor_seconds() -> Result<u64, String> {
    let path = Path::new("/proc/self/stat");
    let text = fs::read_to_string(path).map_err(cannot("read", path))?;
    let fields = text.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks: Vec<u64> = fields.split(' ').skip(13).take(2).filter_map(|field| field.parse().ok()).collect();
    match ticks[..] {
        [user, system] => Ok((user + system) / 100),
        _ => Err(format!("cannot read the processor time from {}", path.display())),
    }
}

/// Fuzzes one parser until `seconds` have passed. Returns the number of executions.
fn fuzz_for(top: &Path, name: &str, seconds: u64) -> Result<u64, String> {
    let found = top.join("target/fuzz-corpus").join(name);
    fs::create_dir_all(&found).map_err(cannot("create", &found))?;
    // Inputs that reach new code go into the first directory; the second one is only read.
    let mut command = Command::new("cargo");
    command.args(["+nightly", "fuzz", "run", "--sanitizer", "none", name]).arg(&found);
    command.arg(top.join("fuzz/corpus").join(name)).arg("--").arg(format!("-max_total_time={seconds}"));
    command.args(["-print_final_stats=1", "-timeout=60", "-rss_limit_mb=4096", "-max_len=65536"]);
    let output =
        command.current_dir(top).stdin(Stdio::null()).output().map_err(|error| format!("cannot run cargo: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let start = text.len().saturating_sub(4000);
        return Err(format!("{name} fails: {}", text.get(start..).unwrap_or(&text)));
    }
    let number =
        text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:")?.trim().parse().ok());
    number.ok_or_else(|| format!("cannot read how often {name} was executed"))
}

/// Replaces a section of the page.
fn write(top: &Path, heading: &str, body: &str) -> Result<(), String> {
    let page = top.join(PAGE);
    let text = fs::read_to_string(&page).map_err(cannot("read", &page))?;
    let text = replaced(&text, heading, body).ok_or_else(|| format!("{PAGE} has no section {heading}"))?;
    fs::write(&page, text).map_err(cannot("write", &page))
}

/// Returns `page` with another table in a section. The text before the table stays.
fn replaced(page: &str, heading: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(&format!("\n## {heading}\n"))?;
    let (section, after) = match rest.find("\n## ") {
        Some(end) => rest.split_at(end),
        None => (rest, ""),
    };
    let introduction = section.split("\n|").next().unwrap_or_default().trim_end();
    Some(format!("{before}\n## {heading}\n{introduction}\n\n{table}{after}"))
}

fn cannot(verb: &str, path: &Path) -> impl Fn(std::io::Error) -> String {
    move |error| format!("cannot {verb} {}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_counts_once() {
        let table = cases("hostile: deb: a\nhostile: host: b\nhostile: deb: c: d\nhostile: deb: a\nhostile: kill: e\n");
        let rows: Vec<&str> = table.lines().skip(2).collect();
        let kills = "| runs killed at another moment each | 1 | 0 |";
        assert_eq!(rows, ["| deb | 2 | 0 |", "| host | 1 | 0 |", "| **all of these** | 3 | 0 |", kills]);
    }

    #[test]
    fn a_table_replaces_the_old_one_of_its_section() {
        let page = "# P\n\n## A\n\nWords.\n\n| old |\n|--|\n| 1 |\n\n## B\n\nEnd.\n";
        let new = replaced(page, "A", "| new |\n").unwrap();
        assert_eq!(new, "# P\n\n## A\n\nWords.\n\n| new |\n\n## B\n\nEnd.\n");
        assert_eq!(
            replaced(&new, "B", "| b |\n").unwrap(),
            "# P\n\n## A\n\nWords.\n\n| new |\n\n## B\n\nEnd.\n\n| b |\n"
        );
        assert_eq!(replaced(page, "C", ""), None);
    }

    #[test]
    fn the_runs_of_a_parser_are_added_up() {
        let page = "# P\n\n## Fuzzing\n\nWords.\n\n| parser | x |\n|---|--:|\n| a | 1 | 10 | 0 |\n| c | 1 | 5 | 0 |\n\n## B\n\n| d | 1 | 1 |\n";
        let rows = |name| with_run(page, name, 2, 3).lines().skip(2).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(rows("b"), ["| a | 1 | 10 | 0 |", "| b | 2 | 3 | 0 |", "| c | 1 | 5 | 0 |"]);
        assert_eq!(rows("a"), ["| a | 3 | 13 | 0 |", "| c | 1 | 5 | 0 |"]);
    }
}
