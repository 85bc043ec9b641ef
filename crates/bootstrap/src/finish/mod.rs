//! What is left to do once all packages are configured: files that no package ships, apt's sources and marks, the settings of container
//! images, and the removal of everything that two builds would not share.
//!
//! Rule: nothing here runs a program of the target, except that `account` and `settings` let the target's own programs make users, locales and
//! debconf's answers.

mod account;
mod further_sources;
mod image_settings;
mod marks;
pub(crate) mod settings;
pub(crate) mod sources;
mod steps;

pub(crate) use steps::{FinishInputs, end_scripts, finish, write_files};
