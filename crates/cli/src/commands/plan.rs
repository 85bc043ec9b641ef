//! `rootstrap plan`, `why` and `why-not`: what would be installed, and why.

use super::deadline::Deadline;
use super::outcome::{fail, open_log, usage};
use super::rights::stop_on_signals;
use crate::plan_args::{PlanArgs, PlanRequest, WhyArgs};
use crate::plan_text::{chain, table, tree};
use crate::progress::Progress;
use crate::treemap;
use crate::visible::visible;
use rootstrap_bootstrap::{Error, Plan, Request};
use std::io::Write;
use std::path::Path;

/// The exit status if a package is not in the plan that is asked about, or is in it although the question was why it is not.
const OTHERWISE: u8 = 1;

/// A request for one architecture, and its plan.
type Planned = (Request, Plan);

/// Prints or draws the plan, and returns the exit status.
pub(crate) fn plan(args: &PlanArgs) -> u8 {
    let draws = args.graph.as_deref().map(|path| (path, treemap::Form::of(path)));
    if let Some((path, None)) = draws {
        return usage(&format!("cannot draw into {}: its name ends neither in .svg nor in .html", path.display()));
    }
    answer(&args.request, &|plans| {
        if let Some((path, Some(form))) = draws {
            return draw(path, form, plans).map(|()| 0);
        }
        let mut text = String::new();
        for (number, (request, plan)) in plans.iter().enumerate() {
            if args.json {
                text.push_str(&rootstrap_bootstrap::plan_to_json(plan, request)?);
                continue;
            }
            if plans.len() > 1 {
                let gap = if number > 0 { "\n" } else { "" };
                text.push_str(&format!("{gap}{}:\n", request.selection.architecture));
            }
            text.push_str(&if args.tree { tree(plan, &request.selection.architecture) } else { table(plan) });
        }
        print(&text).map(|()| 0)
    })
}

/// Prints how a package gets into the plan, and returns the exit status.
pub(crate) fn why(args: &WhyArgs) -> u8 {
    answer(&args.request, &|plans| {
        let mut code = 0;
        for (request, plan) in plans {
            let chain = chain(plan, &args.package, &request.selection.architecture);
            code = if chain.is_empty() { OTHERWISE } else { code };
            let text = match chain.is_empty() {
                true => format!(
                    "{} is not installed ({}); `rootstrap why-not` says more\n",
                    args.package, request.selection.architecture
                ),
                false => chain.join("\n") + "\n",
            };
            print(&text)?;
        }
        Ok(code)
    })
}

/// Prints why a package is not in the plan, and returns the exit status.
pub(crate) fn why_not(args: &WhyArgs) -> u8 {
    answer(&args.request, &|plans| {
        let mut code = 0;
        for (request, plan) in plans {
            if !chain(plan, &args.package, &request.selection.architecture).is_empty() {
                code = OTHERWISE;
                print(&format!(
                    "{} is installed:\n{}\n",
                    args.package,
                    chain(plan, &args.package, &request.selection.architecture).join("\n")
                ))?;
                continue;
            }
            print(&reason_against(args, request, plan)?)?;
        }
        Ok(code)
    })
}

/// Finds out why a package is left out by asking for it.
fn reason_against(args: &WhyArgs, request: &Request, plan: &Plan) -> Result<String, Error> {
    let name = &args.package;
    if request.selection.exclude.contains(name) {
        return Ok(format!("{name} is excluded (--exclude)\n"));
    }
    let mut with = request.clone();
    with.selection.include.push(name.clone());
    match rootstrap_bootstrap::plan(&with, &|_| ()) {
        Ok(with) => {
            let further = with.packages().filter(|(_, it)| plan.packages().all(|(_, known)| known.name != it.name));
            let (count, bytes) = further.fold((0, 0), |(count, bytes), (_, it)| (count + 1, bytes + it.installed_size));
            Ok(format!(
                "{name} is not installed because nothing that is installed needs it\n--include={name} would add {count} packages, {} on the disk\n",
                indicatif::HumanBytes(bytes)
            ))
        }
        Err(error @ Error::Resolve(_)) if !error.is_cancelled() => {
            let hint = error.hint().map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
            Ok(format!("{name} cannot be installed: {error}\n{hint}"))
        }
        Err(error) => Err(error),
    }
}

/// Makes the plans and calls `tell` with them. Returns the exit status.
fn answer(args: &PlanRequest, tell: &dyn Fn(&[Planned]) -> Result<u8, Error>) -> u8 {
    let log = match open_log(&args.run.verbosity) {
        Ok(log) => log,
        Err(code) => return code,
    };
    let machine = match args.machine() {
        Ok(machine) => machine,
        Err(error) => return fail(&error, None),
    };
    stop_on_signals(&machine.cancel);
    let deadline = Deadline::begin(args.run.deadline, &machine.cancel);
    let progress = Progress::new(&args.run.verbosity, log);
    let made = args.requests(&machine).and_then(|requests| {
        let plan = |request: Request| {
            let plan = rootstrap_bootstrap::plan(&request, &|event| progress.event(&event))?;
            Ok((request, plan))
        };
        requests.into_iter().map(plan).collect::<Result<Vec<_>, Error>>()
    });
    progress.end();
    made.and_then(|plans| tell(&plans)).unwrap_or_else(|error| fail(&deadline.or(error), None))
}

fn draw(path: &Path, form: treemap::Form, plans: &[Planned]) -> Result<(), Error> {
    let sizes = plans.iter().flat_map(|(_, plan)| plan.packages());
    let sizes = sizes.map(|(_, package)| (package.name.clone(), package.installed_size.max(package.size))).collect();
    rootstrap_bootstrap::write_text(&treemap::draw(sizes, form), path)
}

fn print(text: &str) -> Result<(), Error> {
    std::io::stdout().write_all(visible(text).as_bytes()).map_err(Error::Stdout)
}
