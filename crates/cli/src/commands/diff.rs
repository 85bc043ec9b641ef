//! `rootstrap diff`: lists how two roots differ.

use super::outcome::fail;
use super::rights::stop_on_signals;
use crate::compare_args::DiffArgs;
use crate::difference_list::write;
use rootstrap_bootstrap::Error;
use std::io::Write;
use std::sync::Arc;

/// Runs the command and returns the exit status: 0 whatever differs.
pub(crate) fn run(args: &DiffArgs) -> u8 {
    let cancel = Arc::default();
    stop_on_signals(&cancel);
    let roots = match rootstrap_bootstrap::diff(&args.first, &args.second, &cancel) {
        Ok(roots) => roots,
        Err(error) => return fail(&error, None),
    };
    let names = [args.first.display().to_string(), args.second.display().to_string()];
    let text = write([&names[0], &names[1]], &roots, args.list.list_format(), args.list.limit);
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => 0,
        Err(error) => fail(&Error::Stdout(error), None),
    }
}
