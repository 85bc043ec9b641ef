//! What the events of an image say that its report has too.

use crate::report::{ImageReport, StageSeconds, VaryingPath};
use rootstrap_bootstrap::{Event, StageTimes};
use std::sync::{Mutex, PoisonError};

/// Collects what events say. Any thread may show it one.
#[derive(Debug, Default)]
pub struct Observer(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    times: StageTimes,
    varying: Vec<VaryingPath>,
}

impl Observer {
    /// Looks at an event.
    pub fn event(&self, event: &Event) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Of { architecture, event } => seen.look(Some(architecture), event),
            event => seen.look(None, event),
        }
    }

    /// Notes in the report how long each stage took and which paths can differ from build to build.
    pub fn fill(&self, report: &mut ImageReport) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.times.end();
        let seconds = |(stage, time): &(rootstrap_bootstrap::Stage, std::time::Duration)| StageSeconds {
            stage: stage.name().to_owned(),
            seconds: time.as_secs_f64(),
        };
        report.times = seen.times.times().iter().map(seconds).collect();
        report.varying = std::mem::take(&mut seen.varying);
    }
}

impl Seen {
    fn look(&mut self, platform: Option<&str>, event: &Event) {
        match event {
            Event::Stage(stage) => drop(self.times.begin(platform, *stage)),
            Event::Varying { path, reason } => {
                let path = VaryingPath { path: (*path).to_owned(), reason: (*reason).to_owned() };
                if !self.varying.contains(&path) {
                    self.varying.push(path);
                }
            }
            _ => {}
        }
    }
}
