//! What scripts and dpkg print, as events.

use crate::event::{Event, Report};
use rootstrap_configure::dpkg;

/// Reports a line that a script or dpkg printed.
pub(crate) fn report_line(report: Report<'_>, line: &str) {
    if let Some(package) = dpkg::configured(line) {
        report(Event::Configuring { package: package.to_owned() });
    }
    report(Event::Output(line.to_owned()));
}
