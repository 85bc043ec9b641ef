//! What a run printed, without what may differ between two runs or two machines.

/// How a run ended, and what it printed.
#[derive(Debug)]
pub struct Outcome {
    /// The exit status; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error, unchanged.
    pub stderr: String,
    /// Standard error with names in the place of paths, times and sizes.
    pub transcript: String,
}

impl Outcome {
    /// Panics with the whole standard error unless the run ended with this status.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "standard error:\n{}", self.stderr);
        self
    }

    /// Panics unless the transcript contains each of these texts.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.transcript.contains(part), "`{part}` is not in:\n{}", self.transcript);
        }
        self
    }
}

/// Returns `text` with `places` (a text and its name) replaced, and then durations and sizes.
pub fn filter(text: &str, places: &[(String, &str)]) -> String {
    let mut text = text.to_owned();
    for (what, name) in places {
        text = text.replace(what, name);
    }
    text.lines().map(|line| numbers(line) + "\n").collect()
}

/// Turns `unpack 0.01 s (0.52 s in all)` into `unpack TIME (TIME in all)` and `1.20 MiB` into `SIZE`.
fn numbers(line: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    for word in line.split(' ') {
        let bare = word.trim_end_matches([',', ')', ':']);
        let tail = &word[bare.len()..];
        let name = match bare {
            "s" => "TIME",
            "B" | "KiB" | "MiB" | "GiB" => "SIZE",
            _ => "",
        };
        let number = |last: &&mut String| last.trim_start_matches('(').parse::<f64>().is_ok();
        match out.last_mut().filter(number) {
            Some(last) if !name.is_empty() => {
                let start = if last.starts_with('(') { "(" } else { "" };
                *last = format!("{start}{name}{tail}");
            }
            _ => out.push(word.to_owned()),
        }
    }
    out.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_with_units_are_replaced() {
        let line = "/t/x: 3 packages, 1.20 KiB of debs, plan 0.01 s (0.02 s in all) in 5 s";
        let expect = "T/x: 3 packages, SIZE of debs, plan TIME (TIME in all) in TIME\n";
        assert_eq!(filter(line, &[("/t".into(), "T")]), expect);
    }
}
