//! Building in two stages: the first runs nothing of the target, the second finishes the tree where its programs run.
//!
//! Rule: `second-stage.sh` takes the same steps as `install` in the same order. What both need is in one place: the first stage fills it
//! into the script.

pub(crate) mod first;
mod second;

pub use second::second_stage;
