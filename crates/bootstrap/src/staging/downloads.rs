//! Where downloads go if there is no cache.

use super::hidden::HiddenDirectory;
use crate::error::Error;
use crate::request::Machine;
use std::path::PathBuf;

/// Where downloads go: the machine's cache, or a hidden directory that lasts as long as the run.
pub(crate) struct Downloads(Option<HiddenDirectory>);

impl Downloads {
    /// Creates the hidden directory where there is no cache. If this run is killed, the next one removes the directory.
    pub fn create(machine: &Machine) -> Result<Self, Error> {
        if machine.cache.is_some() {
            return Ok(Self(None));
        }
        let directory = HiddenDirectory::create(&machine.temporary, "cache".as_ref(), &machine.janitor)?;
        Ok(Self(Some(directory)))
    }

    pub fn path(&self, machine: &Machine) -> PathBuf {
        let hidden = || self.0.as_ref().map(HiddenDirectory::path);
        machine.cache.clone().or_else(hidden).unwrap_or_else(|| machine.temporary.clone())
    }
}
