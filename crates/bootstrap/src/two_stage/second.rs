//! The second of two stages, on a machine that runs the target's programs. The program that the first stage wrote into the tree does the
//! rest of the work in the sandbox. Then the tree is tidied as a single stage would have tidied it.

use crate::archive;
use crate::error::Error;
use crate::event::{Event, Report, Stage};
use crate::install::emulation::Emulation;
use crate::install::native::{Built, NativeInputs};
use crate::install::output::report_line;
use crate::install::{emulation, native, slim};
use crate::request::{Machine, Sources, check};
use crate::staging::downloads::Downloads;
use crate::staging::hidden::HiddenDirectory;
use crate::transfer::finished::remove_from;
use crate::two_stage::first::{DEBOOTSTRAP, FORMAT, PLACE, PLAN, SCRIPT};
use rootstrap_configure::privilege::Mode;
use rootstrap_configure::{Options, Sandbox, dpkg};
use rootstrap_normalize::Tidy;
use rootstrap_resolve::Variant;
use rootstrap_rootfs::{FakeOwnership, Root, skeleton, walk};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Finishes the first stage in `directory`. The caller has to obtain the rights first, with [`privilege::enter`](crate::privilege::enter).
///
/// # Errors
/// The directory holds no first stage, this machine cannot run its programs, or a script fails. Finished steps stay finished: another
/// call continues after them.
pub fn second_stage(directory: &Path, machine: &Machine, report: Report<'_>) -> Result<(), Error> {
    if machine.mode == Mode::Single {
        return Err(Error::FirstStage {
            path: directory.to_owned(),
            reason: "a directory of one user cannot hold the owners that its scripts will set".to_owned(),
            hint: "finish it as root, or as a user with a range in /etc/subuid",
        });
    }
    let path = std::fs::canonicalize(directory).map_err(Error::io("find", directory))?;
    let root = Root::open(&path)?;
    let plan = read_plan(&root, directory)?;
    check::architecture(&plan.architecture)?;
    let emulation = emulation::find(&[&plan.architecture], machine)?;
    emulation.warning(machine.mode).into_iter().for_each(|text| report(Event::Warning(text)));
    report(Event::Planned { packages: plan.packages });
    let native = native_programs(&plan, &emulation, machine, report)?;
    report(Event::Stage(Stage::Configure));
    let fake_ownership = Arc::new(FakeOwnership::default());
    let parent = path.parent().unwrap_or(&path);
    let options = Options {
        mode: machine.mode,
        staging: std::fs::File::open(parent).map_err(Error::io("open", parent))?.into(),
        root: path.file_name().unwrap_or_default().to_owned(),
        epoch: plan.epoch,
        environment: emulation.environment,
        emulators: emulation.emulators,
        native: native.as_ref().map(|(_, path, _)| path.clone()),
        fake_ownership: Arc::clone(&fake_ownership),
        has_network: false,
        timeout: None,
        cancel: machine.cancel.clone(),
    };
    let started = Sandbox::start(&options).map_err(Error::from);
    let finished = started.and_then(|mut sandbox| run_script(&mut sandbox, report).map(|()| sandbox));
    if finished.is_err() && native.is_some() {
        report(Event::Warning(format!("{}; --emulate=all runs none", native::MAY_BE_TO_BLAME)));
    }
    let sandbox = finished?;
    // This ends whatever a script left running, before anything else changes the tree.
    drop(sandbox);
    drop(native);
    remove_recorded_nodes(root.below(b"")?.with_fake_ownership(fake_ownership), report)?;

    report(Event::Stage(Stage::Finish));
    if plan.slim {
        slim::sweep(&root, &machine.cancel)?;
    }
    for (path, reason) in rootstrap_normalize::tidy(&root, &Tidy { epoch: plan.epoch, image: false }, &machine.cancel)?
    {
        report(Event::Varying { path, reason });
    }
    // One flush takes the place of all those that the scripts asked for. Until then every step can be repeated.
    rustix::fs::syncfs(root.fd()).map_err(Error::errno("flush", &path))?;
    root.remove_tree(PLACE.as_bytes())?;
    // What else is there belongs to whoever wants to keep it.
    remove_from(&root, &format!("{DEBOOTSTRAP}/debootstrap"))?;
    skeleton::fill_dev(&root, plan.epoch)?;
    rootstrap_normalize::clamp_times(&root, plan.epoch, &machine.cancel)?;
    Ok(())
}

/// Fetches native programs that take the place of emulated ones. The first part of the result removes them again.
fn native_programs(
    plan: &Plan,
    emulation: &Emulation,
    machine: &Machine,
    report: Report<'_>,
) -> Result<Option<(HiddenDirectory, PathBuf, Downloads)>, Error> {
    let sources = Sources { mirrors: plan.mirrors.clone(), ..Sources::new(&plan.suite) };
    // The suite may be one that only the first stage knew how to find.
    let (true, Ok(suite)) = (native::is_possible(emulation, machine), archive::find_suite(&sources)) else {
        return Ok(None);
    };
    report(Event::Stage(Stage::Indexes));
    let downloads = Downloads::create(machine)?;
    let (sources, planned, cache) = (&sources, &plan.built, &downloads.path(machine));
    let (suite, variant) = (suite.as_ref(), plan.variant);
    let inputs = NativeInputs { suite, sources, variant, planned, emulation, machine, cache, report };
    Ok(native::beside(&inputs).map(|(hidden, path)| (hidden, path, downloads)))
}

/// Removes the empty files that stand for device nodes where the kernel makes none. A single stage leaves such nodes out of a directory
/// too.
fn remove_recorded_nodes(root: Root, report: Report<'_>) -> Result<(), Error> {
    let mut nodes = Vec::new();
    walk(&root, &mut |visit| {
        if visit.faked.node.is_some() {
            nodes.push(visit.path.to_vec());
        }
        Ok::<_, Error>(true)
    })?;
    for node in &nodes {
        root.remove(node)?;
    }
    if !nodes.is_empty() {
        let names: Vec<_> = nodes.iter().map(|path| String::from_utf8_lossy(path)).collect();
        let names = names.join(", ");
        report(Event::Warning(format!("only root can make the device nodes that scripts wanted to have: {names}")));
    }
    Ok(())
}

/// The fields of a first stage's plan that this program reads itself.
struct Plan {
    architecture: String,
    epoch: i64,
    packages: usize,
    slim: bool,
    suite: String,
    variant: Variant,
    /// The mirrors that the user named.
    mirrors: Vec<String>,
    /// The packages for the architecture.
    built: Built,
}

fn read_plan(root: &Root, directory: &Path) -> Result<Plan, Error> {
    let refuse = |reason: &str, hint| Error::FirstStage { path: directory.to_owned(), reason: reason.to_owned(), hint };
    let none = "give the directory that `rootstrap SUITE DIRECTORY --foreign` made";
    let (Some(text), Some(place)) = (root.read(PLAN.as_bytes())?, root.metadata(PLACE.as_bytes())?) else {
        return Err(refuse("there is no rootstrap/plan in it, so it is no first stage, or finished already", none));
    };
    if place.attributes.uid != 0 {
        return Err(refuse("its files are not root's, as seen from here", "let the user who made it finish it"));
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
    let all = |name: &'static str| fields.iter().filter(move |(field, _)| *field == name).map(|(_, value)| *value);
    let built = |line: &str| match line.split(' ').collect::<Vec<_>>().as_slice() {
        [name, source, version] => Some(((*name).to_owned(), ((*source).to_owned(), (*version).to_owned()))),
        _ => None,
    };
    Ok(Plan {
        architecture: architecture.to_owned(),
        epoch,
        packages,
        slim: value("slim") == Some("yes"),
        suite: value("suite").unwrap_or_default().to_owned(),
        variant: value("variant").and_then(|name| name.parse().ok()).unwrap_or_default(),
        mirrors: all("mirror").map(str::to_owned).collect(),
        built: all("built").filter_map(built).collect(),
    })
}

fn run_script(sandbox: &mut Sandbox, report: Report<'_>) -> Result<(), Error> {
    let program = format!("/{SCRIPT}");
    let mut words = None;
    let mut line = |line: &str| match line.strip_prefix("error: cannot ") {
        Some(error) => words = Some(error.to_owned()),
        None => report_line(report, line),
    };
    let arguments = ["/bin/sh", &program, "--verbose", "--no-tidy"];
    let result = dpkg::run(sandbox, &arguments, "finish the first stage", &mut line);
    match (result, words) {
        // The error that the script itself printed says which step failed, so it replaces the error about the script.
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
