//! Measures the wall clock, processor time and memory of one run.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// The time and memory that one run took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Wall clock in seconds.
    pub wall: f64,
    /// Processor time in programs, in seconds.
    pub user: f64,
    /// Processor time in the kernel, in seconds.
    pub system: f64,
    /// The resident memory of the largest process in MiB, if it was measured.
    pub memory: Option<f64>,
}

impl Sample {
    /// Returns the sample of two runs, one after the other.
    pub fn and(&self, other: &Self) -> Self {
        Self {
            wall: self.wall + other.wall,
            user: self.user + other.user,
            system: self.system + other.system,
            memory: self.memory.into_iter().chain(other.memory).reduce(f64::max),
        }
    }
}

/// Measures a command, whose output goes to a file. The page cache is not dropped: all tools fetch and write the same
/// packages.
pub fn time(command: &Command, to: Option<&Path>, log: &Path) -> Result<Sample, String> {
    let figures = log.with_extension("figures");
    let create = |path: &Path| File::create(path).map_err(|error| format!("cannot write {}: {error}", path.display()));
    let mut timed = Command::new("/usr/bin/time");
    timed.args(["--format=%U %S %M", "--output"]).arg(&figures);
    timed.arg(command.get_program()).args(command.get_args());
    timed.env_clear().current_dir("/").stdin(Stdio::null()).stderr(create(log)?);
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            timed.env(name, value);
        }
    }
    timed.stdout(to.map_or(Ok(Stdio::null()), |path| create(path).map(Stdio::from))?);
    // Otherwise this run would wait until the files of the last one are written to the disk.
    rustix::fs::sync();
    let started = Instant::now();
    let status = timed.status().map_err(|error| format!("cannot run /usr/bin/time: {error}"))?;
    let wall = started.elapsed().as_secs_f64();
    if !status.success() {
        let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n    ");
        return Err(format!("{status}\n    {last}"));
    }
    let text = std::fs::read_to_string(&figures).map_err(|error| format!("no figures: {error}"))?;
    parse_figures(&text, wall)
}

fn parse_figures(text: &str, wall: f64) -> Result<Sample, String> {
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers.as_slice() {
        &[user, system, memory] => Ok(Sample { wall, user, system, memory: Some(memory / 1024.0) }),
        _ => Err(format!("/usr/bin/time says {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_time() {
        let sample = parse_figures("1.50 0.25 2048\n", 2.0).unwrap();
        assert_eq!((sample.wall, sample.user, sample.system, sample.memory), (2.0, 1.5, 0.25, Some(2.0)));
        assert!(parse_figures("Command exited with non-zero status 1\n", 2.0).is_err());
    }

    #[test]
    fn sums_have_the_largest_memory() {
        let one = Sample { wall: 1.0, user: 2.0, system: 3.0, memory: Some(5.0) };
        let all = one.and(&Sample { memory: None, ..one }).and(&Sample { memory: Some(7.0), ..one });
        assert_eq!((all.wall, all.user, all.system, all.memory), (3.0, 6.0, 9.0, Some(7.0)));
    }
}
