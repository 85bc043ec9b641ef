//! `rootstrap doctor`: what this machine has and lacks for builds.

use super::outcome::fail;
use super::rights::pass_signals_to;
use crate::plan_args::DoctorArgs;
use crate::visible::visible_line;
use rootstrap_bootstrap::privilege::{self, Ended, Invocation, Mode, Rights};
use rootstrap_bootstrap::{Condition, Error, Finding};
use serde_json::json;
use std::io::Write;

/// Prints what was found, and returns the exit status: 1 if builds would fail.
pub(crate) fn run(args: &DoctorArgs, invocation: &Invocation) -> u8 {
    // This process was started to find out whether a mode works.
    if invocation.handover.is_some() {
        return 0;
    }
    let mut machine = match args.downloads.machine(&args.network) {
        Ok(machine) => machine,
        Err(error) => return fail(&error, None),
    };
    // The modes come first, because threads may start only afterwards.
    let mut findings: Vec<Finding> = Mode::ALL.into_iter().map(|mode| of_mode(mode, invocation)).collect();
    match findings.iter().position(|finding| finding.condition == Condition::Good) {
        Some(best) => machine.mode = Mode::ALL.get(best).copied().unwrap_or_default(),
        None => findings.iter_mut().for_each(|finding| finding.condition = Condition::Bad),
    }
    findings.extend(rootstrap_bootstrap::examine(&machine, &args.suites));
    let text = if args.json { json!({"findings": findings}).to_string() + "\n" } else { table(&findings) };
    let is_bad = findings.iter().any(|finding| finding.condition == Condition::Bad);
    let printed = std::io::stdout().write_all(text.as_bytes()).map_err(Error::Stdout);
    printed.map_or_else(|error| fail(&error, None), |()| u8::from(is_bad))
}

/// Starts this program in a mode.
fn of_mode(mode: Mode, invocation: &Invocation) -> Finding {
    let finding = |condition, text: &str| Finding::new("mode", mode.name(), condition, text);
    match privilege::enter(invocation, Some(mode), "", &pass_signals_to) {
        Ok(Rights::Here(_) | Rights::Elsewhere(Ended::Exited(0))) => finding(Condition::Good, "works"),
        Ok(Rights::Elsewhere(_)) => finding(Condition::Limited, "a process in it does not end as it should"),
        Err(error) => {
            let error = Error::from(error);
            let text = error.to_string();
            // The sentence about one mode says all of it.
            let reason = text.rsplit("cannot get the rights a build needs: ").next().unwrap_or(&text).to_owned();
            Finding { fix: error.hint(), ..finding(Condition::Limited, &reason) }
        }
    }
}

fn table(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { topic, name, condition, text: found, fix } in findings {
        let word = match condition {
            Condition::Good => "good",
            Condition::Limited => "limited",
            Condition::Bad => "bad",
        };
        text.push_str(&format!("{word:<8} {topic} {}: {}\n", visible_line(name), visible_line(found)));
        if let Some(fix) = fix {
            text.push_str(&format!("{:<8} fix: {}\n", "", visible_line(fix)));
        }
    }
    text
}
