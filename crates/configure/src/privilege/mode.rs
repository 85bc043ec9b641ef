//! The modes in which a build can run.

/// A way to get the rights that a build needs, the best first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Real root: private mount, pid, ipc, uts and network namespaces.
    #[default]
    Root,
    /// The same namespaces inside a user namespace. Its ids come from /etc/subuid, or are all those that root of a
    /// container has.
    Unshare,
    /// The same with the caller's own id alone; the owners of files are recorded beside the tree.
    Single,
    /// Root that may not mount, as in a plain container: chroot(2) and no namespaces.
    Chroot,
}

impl Mode {
    /// All modes, the best first.
    pub const ALL: [Self; 4] = [Self::Root, Self::Unshare, Self::Single, Self::Chroot];

    /// Returns the mode's name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Unshare => "unshare",
            Self::Single => "single",
            Self::Chroot => "chroot",
        }
    }

    /// Returns the mode of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}
