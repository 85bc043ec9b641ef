//! rootstrap in debootstrap's place: its command line, its messages and its exit statuses.

mod command_line;
mod host;
mod messages;
mod run;

pub(crate) use command_line::CommandLine;
pub(crate) use host::host;
pub(crate) use run::run;
