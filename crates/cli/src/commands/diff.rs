//! `rootstrap diff`: lists how two roots differ.

use super::outcome::fail;
use super::rights::stop_on_signals;
use crate::compare_args::DiffArgs;
use crate::difference_list::write;
use crate::environment;
use crate::log::Log;
use crate::progress::Progress;
use rootstrap_bootstrap::{Error, Machine, Push, RootDifference, registry_name};
use std::io::Write;
use std::path::Path;

/// Runs the command and returns the exit status: 0 whatever differs.
pub(crate) fn run(args: &DiffArgs) -> u8 {
    let names = [args.first.display().to_string(), args.second.display().to_string()];
    let printed = compare(args).and_then(|roots| {
        let text = write([&names[0], &names[1]], &roots, args.list.list_format(), args.list.limit);
        std::io::stdout().write_all(text.as_bytes()).map_err(Error::Stdout)
    });
    printed.map_or_else(|error| fail(&error, None), |()| 0)
}

fn compare(args: &DiffArgs) -> Result<Vec<RootDifference>, Error> {
    let mut machine = Machine::new(environment::host(), environment::now());
    args.network.apply(&mut machine)?;
    machine.temporary = environment::temporary_directory();
    stop_on_signals(&machine.cancel);
    let registry = |path: &Path| -> Result<Push, Error> {
        let names = registry_name(path).map(str::to_owned).into_iter().collect();
        let mut registry = Push { names, insecure: args.insecure_registry, ..Push::default() };
        registry.find_credentials(&environment::path_variable)?;
        Ok(registry)
    };
    let (first, second) = (registry(&args.first)?, registry(&args.second)?);
    let log = Log::open(None).map_err(Error::Stdout)?;
    let progress = Progress::quiet(log);
    let report = |event| progress.event(&event);
    let result = rootstrap_bootstrap::diff((&args.first, &first), (&args.second, &second), &machine, &report);
    progress.end();
    result
}
