//! The command line as it is typed.

use crate::commands::cache::Cache;
use crate::commands::documents::{Completions, ManPages};
use crate::compare_args::{DiffArgs, VerifyArgs};
use crate::container::ContainerArgs;
use crate::filesystem_args::FilesystemArgs;
use crate::lock_args::LockArgs;
use crate::outdated_args::OutdatedArgs;
use crate::plan_args::{DoctorArgs, PlanArgs, SuitesArgs, WhyArgs};
use crate::project_args::{BuildArgs, InitArgs, MatrixArgs, MergeArgs};
use crate::request_args::{DownloadArgs, PackageArgs};
use crate::root_args::{EmulationArgs, RootArgs};
use crate::run_args::RunArgs;
use crate::system_args::SystemArgs;
use crate::verbosity::Verbosity;
use clap::{Parser, Subcommand, ValueEnum};
use rootstrap_bootstrap::privilege::Mode;
use rootstrap_bootstrap::{Copy, Download};
use std::ffi::OsString;
use std::path::PathBuf;

/// Make a Debian or Ubuntu root filesystem, as a directory, a tar archive or a container base image.
///
/// Exit status: 0 done, 1 failed, 2 wrong usage, 3 something from the mirror is not what it should be, 4 verify found a
/// difference, 10 lock --check or outdated --exit-code found something.
#[derive(Debug, Parser)]
#[command(name = "rootstrap", version, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, disable_help_subcommand = true)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub command: Option<Command>,

    // This is absent only if there is a command.
    #[command(flatten)]
    pub bootstrap: Option<Args>,

    // These are beside the others because clap cannot tell whether a group with a group in it is present.
    #[command(flatten)]
    pub packages: PackageArgs,

    #[command(flatten)]
    pub downloads: DownloadArgs,

    #[command(flatten)]
    pub settings: SystemArgs,

    #[command(flatten)]
    pub shared: SharedArgs,
}

impl CommandLine {
    /// Returns whether the result goes to standard output.
    pub(crate) fn streams(&self) -> bool {
        let to_stdout = |target: &Option<PathBuf>, container: &ContainerArgs| match target {
            Some(path) => path.as_os_str() == "-",
            None => container.push.is_empty(),
        };
        match (&self.command, &self.bootstrap) {
            (Some(Command::Image(args)), _) => to_stdout(&args.target, &args.shared.container),
            (None, Some(args)) => args.print_plan.is_none() && to_stdout(&args.target, &self.shared.container),
            _ => false,
        }
    }
}

impl CommandLine {
    /// Returns whether anything that was asked for goes to standard output.
    pub(crate) fn prints(&self) -> bool {
        let prints_plan = self.bootstrap.as_ref().is_some_and(|args| args.print_plan.is_some());
        let prints = match &self.command {
            Some(
                Command::Cache(_) | Command::Outdated(_) | Command::Diff(_) | Command::Verify(_) | Command::Matrix(_),
            ) => true,
            Some(Command::Build(_) | Command::Completions(_) | Command::Plan(_) | Command::Doctor(_)) => true,
            Some(Command::Why(_) | Command::WhyNot(_) | Command::Suites(_) | Command::Translate(_)) => true,
            Some(Command::MergeMetadata(args)) => args.output.is_none(),
            Some(Command::Lock(lock)) => lock.prints(),
            _ => prints_plan,
        };
        self.streams() || prints
    }
}

/// The commands besides making a root filesystem. No suite has the name of a command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a container image, or any other format, from an existing root filesystem
    Image(Box<Image>),

    /// Finish what --foreign began, on a machine that runs the target's programs
    ///
    /// After a failure, the same command continues where it stopped.
    SecondStage(SecondStage),

    /// Open a shell, or run a command, in a root filesystem, with the network and the host's resolver
    ///
    /// Of an archive or an image, a copy is entered, and its changes are lost.
    Enter(Enter),

    /// Print what would be installed, in which order, how large it is and where it comes from
    Plan(Box<PlanArgs>),

    /// Say how a package gets into a root filesystem
    Why(Box<WhyArgs>),

    /// Say why a package is not in a root filesystem
    WhyNot(Box<WhyArgs>),

    /// List the suites that rootstrap knows
    Suites(SuitesArgs),

    /// Say what this machine has and lacks for builds, and what makes it better: exit status 1 if builds would fail
    Doctor(Box<DoctorArgs>),

    /// Write rootstrap.toml, the list of a project's images, with comments
    Init(InitArgs),

    /// Make the images of rootstrap.toml
    Build(Box<BuildArgs>),

    /// Print the images of rootstrap.toml as the jobs of a CI system
    Matrix(MatrixArgs),

    /// Join the reports that shards of `rootstrap build` wrote
    MergeMetadata(MergeArgs),

    /// Write down which packages a root filesystem gets, so that it can be built again exactly
    Lock(Box<LockArgs>),

    /// List how two locks, images, archives or directories differ
    Diff(DiffArgs),

    /// Build a root again from its lock, and list how the two differ: exit status 0, or 4 if they do
    Verify(Box<VerifyArgs>),

    /// List what a rebuild of locks would change
    Outdated(Box<OutdatedArgs>),

    /// Show where the cache is and what it holds, or make it smaller
    Cache(Cache),

    /// Take debootstrap's place: its options, its messages, its exit statuses. A link of that name to this program does the same
    #[command(disable_help_flag = true)]
    Debootstrap(PeerArgs),

    /// Take mmdebstrap's place: its options. A link of that name to this program does the same
    #[command(disable_help_flag = true)]
    Mmdebstrap(PeerArgs),

    /// Print rootstrap's command line for one of debootstrap or mmdebstrap: rootstrap translate -- mmdebstrap ...
    Translate(PeerArgs),

    /// Print what completes the arguments in a shell, for example for `eval "$(rootstrap completions bash)"`
    Completions(Completions),

    /// Write the manual pages of all commands
    #[command(hide = true)]
    ManPages(ManPages),
}

/// The arguments of another program.
#[derive(Debug, clap::Args)]
pub(crate) struct PeerArgs {
    /// That program's own arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<OsString>,
}

/// The arguments of `rootstrap image`.
#[derive(Debug, clap::Args)]
pub(crate) struct Image {
    /// A directory, a tar or cpio archive (- for standard input), a container image with one layer, or a program that needs no other file
    pub source: PathBuf,

    /// Where it goes; by default an image for docker load on standard output
    pub target: Option<PathBuf>,

    /// Debian architecture; by default that of the first program in it, or of this machine where SOURCE is an image for several
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<String>,

    #[command(flatten)]
    pub shared: SharedArgs,
}

/// The arguments of `rootstrap enter`.
#[derive(Debug, clap::Args)]
pub(crate) struct Enter {
    /// A directory, a tar archive or a container image
    pub path: PathBuf,

    /// The command and its arguments; by default a shell
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,

    /// How to get the rights: root, unshare, single or chroot; by default the best that works
    #[arg(long, value_name = "MODE", value_parser = crate::mode::parse)]
    pub mode: Option<Mode>,

    #[command(flatten)]
    pub verbosity: Verbosity,
}

/// The arguments of `rootstrap second-stage`.
#[derive(Debug, clap::Args)]
pub(crate) struct SecondStage {
    /// The tree to finish; by default this very system
    #[arg(default_value = "/")]
    pub directory: PathBuf,

    #[command(flatten)]
    pub emulation: EmulationArgs,

    #[command(flatten)]
    pub downloads: DownloadArgs,

    #[command(flatten)]
    pub run: RunArgs,
}

/// The arguments of `rootstrap SUITE TARGET`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Codename, alias or version: trixie, stable, 24.04
    pub suite: String,

    /// A new or empty directory; an archive NAME.tar, .tar.gz, .tar.xz, .tar.zst or .cpio; a container image
    /// NAME.oci.tar, or as a directory NAME.oci; a filesystem NAME.squashfs or .ext4; or - for a tar on standard output
    /// (the default with --image)
    #[arg(required_unless_present_any = ["image", "print_plan", "format", "push"])]
    pub target: Option<PathBuf>,

    /// Mirror to use instead of the usual ones; written into the target's apt sources
    #[arg(value_name = "MIRROR")]
    pub mirror_argument: Option<String>,

    /// Make a container base image: `rootstrap focal --image | docker import - focal`
    #[arg(long)]
    pub image: bool,

    /// Write an SBOM, which says what the result is made of and where that came from: NAME.spdx.json or NAME.cdx.json; may be
    /// repeated
    #[arg(long, value_name = "FILE", conflicts_with = "print_plan")]
    pub sbom: Vec<PathBuf>,

    /// Add to the image's index what it is made of and where that came from, as SPDX and SLSA provenance
    #[arg(long, help_heading = "Container images")]
    pub attest: bool,

    /// Put a file, or the contents of a directory, into the finished root, with its mode or another, and with root as its owner or
    /// another; may be repeated
    #[arg(long, visible_alias = "upload", value_name = "SRC:DEST[:MODE[:USER:GROUP]]", value_parser = crate::copy::parser())]
    pub copy: Vec<Copy>,

    /// Write a file of the finished root beside the result, once the result is complete; may be repeated
    #[arg(long, value_name = "PATH:FILE", value_parser = crate::copy::download_parser(), conflicts_with = "print_plan")]
    pub download: Vec<Download>,

    /// Let TARGET be a directory that has something in it: that stays, unless the root has a file of the same name
    #[arg(long)]
    pub non_empty: bool,

    /// Run nothing of the target; /rootstrap/second-stage finishes it on a machine that runs its programs
    #[arg(long, conflicts_with = "image")]
    pub foreign: bool,

    /// Take the packages from a lock file, which has to be a lock of this very request
    #[arg(long, value_name = "FILE")]
    pub lock: Option<PathBuf>,

    /// The same as --lock rootstrap.lock, if no other lock is named
    #[arg(long, conflicts_with = "frozen")]
    pub locked: bool,

    /// Take the packages from the lock as they are, whatever request it was made for
    #[arg(long)]
    pub frozen: bool,

    /// Print the packages that would be installed and stop; =json for JSON
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "text",
        conflicts_with = "metadata_file")]
    pub print_plan: Option<PlanFormat>,
}

/// The arguments that `rootstrap SUITE TARGET` and `rootstrap image` share.
#[derive(Debug, clap::Args)]
pub(crate) struct SharedArgs {
    #[command(flatten)]
    pub root: RootArgs,

    #[command(flatten)]
    pub container: ContainerArgs,

    #[command(flatten)]
    pub filesystem: FilesystemArgs,

    /// Write what became of the image, as JSON: its digest, id, tags, packages, the time of each stage, or why it failed
    #[arg(long, value_name = "FILE")]
    pub metadata_file: Option<PathBuf>,

    #[command(flatten)]
    pub run: RunArgs,
}

/// How a plan is printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PlanFormat {
    /// One line per package
    Text,
    /// Everything that is known about each package
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use rootstrap_bootstrap::Variant;

    #[test]
    fn the_arguments_are_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn lists_variants_and_missing_targets() {
        let line = ["rootstrap", "trixie", "-", "--variant=-", "--include=a,b", "--include", "c"];
        let args = CommandLine::parse_from(line).packages;
        assert_eq!(args.variant, Variant::Important);
        assert_eq!(args.include, ["a,b", "c"]);
        assert!(CommandLine::try_parse_from(["rootstrap"]).is_err());
        assert!(CommandLine::try_parse_from(["rootstrap", "trixie"]).is_err());
        assert!(CommandLine::try_parse_from(["rootstrap", "trixie", "--image"]).is_ok());
        assert!(CommandLine::try_parse_from(["rootstrap", "trixie", "--print-plan=json"]).is_ok());
    }

    #[test]
    fn commands_are_told_from_suites() {
        let line = |words: &[&str]| CommandLine::try_parse_from([&["rootstrap"], words].concat()).unwrap();
        let directory = |words: &[&str]| match line(words).command {
            Some(Command::SecondStage(arguments)) => arguments.directory,
            Some(Command::Image(arguments)) => arguments.source,
            _ => panic!("{words:?} is taken for a suite"),
        };
        assert_eq!(directory(&["second-stage"]), PathBuf::from("/"));
        assert_eq!(directory(&["second-stage", "out", "-v"]), PathBuf::from("out"));
        assert_eq!(directory(&["image", "x", "x.oci.tar", "--cmd", "/x"]), PathBuf::from("x"));
        for words in [&["trixie", "second-stage"][..], &["--include=x", "trixie", "second-stage"]] {
            assert_eq!(line(words).bootstrap.unwrap().target.unwrap(), PathBuf::from("second-stage"));
        }
        assert!(CommandLine::try_parse_from(["rootstrap", "trixie", "--foreign", "--image"]).is_err());
    }
}
