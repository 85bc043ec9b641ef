//! What the commands of the sandbox print: split into lines, made harmless for a terminal, and remembered within bounds.

use std::collections::VecDeque;
use std::io::{self, PipeReader, Read};

/// How many lines of output an error message shows.
const REMEMBERED: usize = 20;

/// Of a remembered line, so many bytes are kept.
const LONGEST_REMEMBERED: usize = 1 << 10;

/// A line of so many bytes is passed on even if it has no end yet.
const LONGEST_LINE: usize = 1 << 16;

/// The last lines of some output. A script can print without end, so the size is bounded whatever it prints.
#[derive(Debug, Default)]
pub(crate) struct LastLines(VecDeque<String>);

impl LastLines {
    pub(crate) fn push(&mut self, line: &str) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        let is_end = |end: &usize| line.is_char_boundary(*end);
        let end = (0..=LONGEST_REMEMBERED.min(line.len())).rev().find(is_end).unwrap_or(0);
        let (kept, rest) = line.split_at(end);
        self.0.push_back(if rest.is_empty() { kept.to_owned() } else { format!("{kept}…") });
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl From<LastLines> for Vec<String> {
    fn from(lines: LastLines) -> Self {
        lines.0.into()
    }
}

/// Bytes that arrive in pieces, as lines.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    /// What came since the last end of a line.
    unfinished: Vec<u8>,
}

impl Splitter {
    /// Reads once, at most `most` bytes, and passes on each line that is complete. Returns how many bytes came; 0 at the end
    /// of the stream.
    pub(crate) fn read(
        &mut self,
        output: &mut PipeReader,
        most: usize,
        take: &mut dyn FnMut(&str),
    ) -> io::Result<usize> {
        let mut buffer = [0; 1 << 16];
        let room = most.min(buffer.len());
        let count = loop {
            match output.read(buffer.get_mut(..room).unwrap_or_default()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.split(buffer.get(..count).unwrap_or_default(), take);
        Ok(count)
    }

    fn split(&mut self, bytes: &[u8], take: &mut dyn FnMut(&str)) {
        for &byte in bytes {
            // A progress bar overwrites its line with CR; each state of it counts as a line.
            if matches!(byte, b'\n' | b'\r') {
                self.finish(take);
            } else {
                self.unfinished.push(byte);
                if self.unfinished.len() == LONGEST_LINE {
                    self.finish(take);
                }
            }
        }
    }

    /// Passes on what came since the last end of a line, if anything did.
    pub(crate) fn finish(&mut self, take: &mut dyn FnMut(&str)) {
        if !self.unfinished.is_empty() {
            take(&printable(&self.unfinished));
            self.unfinished.clear();
        }
    }
}

/// Returns the package that dpkg turns to, if this line of its output says so.
pub(crate) fn turned_to(line: &str) -> Option<&str> {
    let starts = ["Setting up ", "Processing triggers for ", "Preparing to unpack ", "Unpacking "];
    let rest = starts.iter().find_map(|start| line.strip_prefix(start))?;
    rest.split([' ', ':']).next().map(|name| name.rsplit('/').next().unwrap_or(name))
}

/// Replaces control characters, so that what a script prints cannot control the terminal that shows it.
fn printable(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    line.chars().map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_printed_little_is_remembered() {
        let (mut splitter, mut last) = (Splitter::default(), LastLines::default());
        let mut longest = 0;
        for _ in 0..64 {
            splitter.split(&vec![b'x'; 1 << 16], &mut |line| {
                longest = longest.max(line.len());
                last.push(line);
            });
            splitter.split(&b"y\n".repeat(1 << 12), &mut |line| last.push(line));
        }
        splitter.split("ä".repeat(LONGEST_REMEMBERED).as_bytes(), &mut |_| {});
        splitter.finish(&mut |line| last.push(line));
        assert!(longest <= LONGEST_LINE && splitter.unfinished.capacity() <= 2 * LONGEST_LINE);
        let lines = Vec::from(last);
        assert_eq!(lines.len(), REMEMBERED);
        assert_eq!(lines[..REMEMBERED - 1], vec!["y"; REMEMBERED - 1]);
        assert!(lines[REMEMBERED - 1].ends_with("ä…") && lines[REMEMBERED - 1].len() <= LONGEST_REMEMBERED + 3);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let mut lines = Vec::new();
        Splitter::default().split(b"50%\r\x1b[2J\tred\n\n", &mut |line| lines.push(line.to_owned()));
        assert_eq!(lines, ["50%", "\u{fffd}[2J\tred"]);
    }
}
