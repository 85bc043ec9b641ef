//! The second of two stages, on a machine that runs the programs of the target: what [`first_stage`] left is done by the
//! program it wrote into the tree, in the sandbox, and the tree then gets the shape that one stage would have given it.

use crate::event::{Report, Stage};
use crate::first_stage::{FORMAT, PLACE, PLAN, SCRIPT};
use crate::request::Host;
use crate::{Error, Event, Request, Target, foreign, slim};
use rootstrap_configure::{Options, Sandbox, dpkg, privilege};
use rootstrap_image::tidy;
use rootstrap_rootfs::{Root, skeleton};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Finishes the first stage in `directory`. Call [`privilege::enter`](crate::privilege::enter) before. `cancel` is set
/// from outside to stop.
///
/// # Errors
/// There is no first stage, this machine cannot run its programs, or a script fails. What is done stays done: another call
/// goes on from there.
pub fn second_stage(directory: &Path, host: &Host, cancel: Arc<AtomicBool>, report: Report<'_>) -> Result<(), Error> {
    if privilege::held() == privilege::Mode::Single {
        return Err(Error::FirstStage {
            path: directory.to_owned(),
            reason: "a directory of one user cannot hold the owners that its scripts will set".to_owned(),
            hint: "finish it as root, or as a user with a range in /etc/subuid",
        });
    }
    let path = std::fs::canonicalize(directory).map_err(Error::io("find", directory))?;
    let root = Root::open(&path)?;
    let plan = read_plan(&root, directory)?;
    let request = Request {
        architecture: Some(plan.architecture.clone()),
        host: host.clone(),
        ..Request::new("", Target::Directory(path.clone()), 0)
    };
    let emulation = foreign::emulation(&request)?;
    report(Event::Planned { packages: plan.packages });
    report(Event::Stage(Stage::Configure));
    let parent = path.parent().unwrap_or(&path);
    let options = Options {
        staging: std::fs::File::open(parent).map_err(Error::io("open", parent))?.into(),
        root: path.file_name().unwrap_or_default().to_owned(),
        epoch: plan.epoch,
        environment: emulation.environment,
        emulators: emulation.emulators,
        aside: Arc::default(),
        cancel,
    };
    let mut sandbox = Sandbox::start(&options)?;
    run_script(&mut sandbox, report)?;
    // Ends whatever a script left running, before anything else touches the tree.
    drop(sandbox);

    report(Event::Stage(Stage::Finish));
    if plan.slim {
        slim::sweep(&root)?;
    }
    tidy::tidy(&root, &tidy::Tidy { epoch: plan.epoch, image: false })?;
    // In place of all the flushes the scripts wanted; until then everything can be done again.
    rustix::fs::syncfs(root.fd()).map_err(Error::errno("flush", &path))?;
    root.remove_tree(PLACE.as_bytes())?;
    skeleton::fill_dev(&root, plan.epoch)?;
    tidy::clamp_times(&root, plan.epoch)?;
    Ok(())
}

/// What is asked of a plan outside of its program.
struct Plan {
    architecture: String,
    epoch: i64,
    packages: usize,
    slim: bool,
}

fn read_plan(root: &Root, directory: &Path) -> Result<Plan, Error> {
    let refuse = |reason: &str, hint| Error::FirstStage { path: directory.to_owned(), reason: reason.to_owned(), hint };
    let none = "give the directory that `rootstrap SUITE DIRECTORY --foreign` made";
    let (Some(text), Some(place)) = (root.read(PLAN.as_bytes())?, root.metadata(PLACE.as_bytes())?) else {
        return Err(refuse("there is no rootstrap/plan in it, so it is no first stage, or finished already", none));
    };
    if place.attributes.uid != 0 {
        return Err(refuse("its files are not root's, as seen from here", "let the user finish it who made it"));
    }
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines();
    if lines.next() != Some(FORMAT) {
        return Err(refuse(
            "another version of this program made it",
            "chroot into it and run /rootstrap/second-stage",
        ));
    }
    let fields: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(' ')).collect();
    let value = |name: &str| fields.iter().find(|(field, _)| *field == name).map(|(_, value)| *value);
    let epoch = value("epoch").and_then(|value| value.parse().ok());
    let (Some(architecture), Some(epoch)) = (value("architecture"), epoch) else {
        return Err(refuse("its rootstrap/plan is damaged", none));
    };
    let is_package = |field: &str| field.starts_with("first") || field.starts_with("deb-");
    let packages = fields.iter().filter(|(field, _)| is_package(field)).count();
    Ok(Plan { architecture: architecture.to_owned(), epoch, packages, slim: value("slim") == Some("yes") })
}

fn run_script(sandbox: &mut Sandbox, report: Report<'_>) -> Result<(), Error> {
    let program = format!("/{SCRIPT}");
    let mut words = None;
    let mut line = |line: &str| {
        if let Some(package) = dpkg::configured(line) {
            report(Event::Configuring { package: package.to_owned() });
        }
        if let Some(error) = line.strip_prefix("error: cannot ") {
            words = Some(error.to_owned());
        } else {
            report(Event::Output(line.to_owned()));
        }
    };
    let arguments = ["/bin/sh", &program, "--verbose", "--no-tidy"];
    let result = dpkg::run(sandbox, &arguments, "finish the first stage", &mut line);
    match (result, words) {
        // What failed, as the program says it: that it failed is known.
        (Err(rootstrap_configure::Error::Failed { status, mut tail, .. }), Some(words)) => {
            tail.retain(|line| !line.starts_with("error: "));
            let (action, status) = match words.split_once(": ") {
                Some((action, status)) => (action.to_owned(), status.to_owned()),
                None => (words, status),
            };
            Err(rootstrap_configure::Error::Failed { action, status, tail }.into())
        }
        (result, _) => Ok(result?),
    }
}
