//! `--hook` and `--hook-dir`, in the order in which the command line has them.

use clap::{ArgMatches, Args, Command, FromArgMatches};
use rootstrap_bootstrap::{Error, Hook};
use std::path::PathBuf;

/// The hooks of a command line.
#[derive(Debug)]
pub(crate) struct HookArgs(Vec<Given>);

#[derive(Debug)]
enum Given {
    Hook(Hook),
    Directory(PathBuf),
}

impl HookArgs {
    /// Returns all hooks. Those of a directory stand at its place.
    ///
    /// # Errors
    /// A directory cannot be read, or has no hook.
    pub(crate) fn hooks(&self) -> Result<Vec<Hook>, Error> {
        let mut hooks = Vec::new();
        for given in &self.0 {
            match given {
                Given::Hook(hook) => hooks.push(hook.clone()),
                Given::Directory(directory) => hooks.extend(Hook::in_directory(directory)?),
            }
        }
        Ok(hooks)
    }
}

/// The options as clap reads them: each kind for itself.
#[derive(clap::Args)]
struct Options {
    /// Run a command at a stage of the build: setup, extract, essential or customize, as in 'customize=echo x > "$1/etc/x"'. $1 is
    /// the path of the root. With @ before the stage, the root's own shell runs it. May be repeated
    #[arg(long, value_name = "STAGE=COMMAND", value_parser = Hook::parse)]
    hook: Vec<Hook>,

    /// Run the executable files of a directory whose names begin with that of a stage
    #[arg(long, value_name = "DIR")]
    hook_dir: Vec<PathBuf>,
}

impl FromArgMatches for HookArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let Options { hook, hook_dir } = Options::from_arg_matches(matches)?;
        let places = |id: &str| matches.indices_of(id).into_iter().flatten();
        let hooks = places("hook").zip(hook.into_iter().map(Given::Hook));
        let directories = places("hook_dir").zip(hook_dir.into_iter().map(Given::Directory));
        let mut all: Vec<(usize, Given)> = hooks.chain(directories).collect();
        all.sort_by_key(|(place, _)| *place);
        Ok(Self(all.into_iter().map(|(_, given)| given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for HookArgs {
    fn augment_args(command: Command) -> Command {
        Options::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Options::augment_args_for_update(command)
    }
}
