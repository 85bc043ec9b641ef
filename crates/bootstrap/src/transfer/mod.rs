//! Files on their way between the host and a root, in both directions.
//!
//! Rule: paths of the root are resolved inside the root, whatever links it has.

pub(crate) mod copies;
pub(crate) mod finished;
pub(crate) mod hook_files;
pub(crate) mod out;
pub(crate) mod tar_in;
