//! The lines at the bottom of a terminal that say how far the run is: one for each root that is being built.

use crate::task::Task;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use rootstrap_bootstrap::Event;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The columns of a terminal that does not say how many it has.
const COLUMNS: u16 = 80;

/// What is shown, if anything is.
pub(crate) struct Display {
    bars: MultiProgress,
    /// The platforms and their lines. A run for one platform has one without a name.
    lines: Vec<(Option<String>, Arc<Mutex<Task>>, ProgressBar)>,
}

impl Display {
    pub(crate) fn new(shown: bool) -> Self {
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bars: MultiProgress::with_draw_target(target), lines: Vec::new() }
    }

    /// Takes note of an event of one platform.
    pub(crate) fn event(&mut self, platform: Option<&str>, event: &Event) {
        let at = self.lines.iter().position(|(name, ..)| name.as_deref() == platform);
        // What has no stage yet is no root: a note about the whole run needs no line.
        let begins = matches!(event, Event::Stage(_));
        let at = at.or_else(|| begins.then(|| self.add(platform.map(str::to_owned))));
        if let Some((_, task, _)) = at.and_then(|at| self.lines.get(at)) {
            task.lock().unwrap_or_else(PoisonError::into_inner).apply(event);
        }
    }

    fn add(&mut self, name: Option<String>) -> usize {
        let task = Arc::new(Mutex::new(Task::new(name.clone())));
        let bar = self.bars.add(ProgressBar::new_spinner());
        let shown = Arc::clone(&task);
        let line = move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
            let task = shown.lock().unwrap_or_else(PoisonError::into_inner);
            // Two columns are for the spinner, and the last one stays free, so that no terminal begins another line.
            let _ = out.write_str(&task.line(columns().saturating_sub(3), Instant::now()));
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {line}") {
            bar.set_style(style.tick_chars("|/-\\ ").with_key("line", line));
        }
        if !self.bars.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        self.lines.push((name, task, bar));
        self.lines.len() - 1
    }

    /// Calls `print` while nothing is shown.
    pub(crate) fn suspend(&self, print: impl FnOnce()) {
        self.bars.suspend(print);
    }

    /// Removes the lines.
    pub(crate) fn end(&mut self) {
        for (_, _, bar) in self.lines.drain(..) {
            bar.finish_and_clear();
        }
    }
}

/// Returns the columns of the terminal now, as it may be resized.
fn columns() -> usize {
    let stderr = std::io::stderr();
    let found =
        if stderr.is_terminal() { rustix::termios::tcgetwinsize(&stderr).map(|size| size.ws_col) } else { Ok(0) };
    found.ok().filter(|columns| *columns > 0).unwrap_or(COLUMNS).into()
}
