//! What to change on top of the packages.

use crate::request::hook::Hook;
use crate::request::settings::Settings;
use std::path::PathBuf;
use std::time::Duration;

/// Changes to the content that the packages give.
#[derive(Clone, Debug, Default)]
pub struct Customization {
    /// Whether documentation, manuals and translations are left out, now and by the target's own dpkg later.
    pub slim: bool,
    /// The host's files to put into the finished root, in this order.
    pub copies: Vec<Copy>,
    /// The host's archives to unpack into the finished root, in this order, before those files.
    pub archives: Vec<TarIn>,
    /// Settings of the finished system.
    pub settings: Settings,
    /// The user's own commands, in this order at each moment.
    pub hooks: Vec<Hook>,
    /// Whether they may use the network.
    pub hook_network: bool,
    /// How long a hook or the scripts of one package may take.
    pub script_timeout: Option<Duration>,
}

/// A tar archive of the host, compressed or not, and the directory of the target that its entries go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TarIn {
    /// A regular file.
    pub from: PathBuf,
    /// An absolute path in the target, without `..`. Existing directories stay as they are.
    pub to: PathBuf,
}

/// A file or directory of the host, and its place in the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// A file or directory of the host, or a link to one.
    pub from: PathBuf,
    /// An absolute path in the target, without `..`. The contents of a directory go into the directory of this name. A file gets
    /// this name, or keeps its own if this ends in a slash or names a directory.
    pub to: PathBuf,
    /// The permission bits of files; those of the host's files if `None`. A directory is open to whoever may read its files.
    pub mode: Option<u32>,
    /// The owner and the group, as names of the root or numbers; root if `None`.
    pub owner: Option<(String, String)>,
}
