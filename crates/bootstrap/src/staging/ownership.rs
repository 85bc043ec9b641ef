//! The fake ownership of new trees, by mode.

use rootstrap_configure::privilege::Mode;
use rootstrap_rootfs::FakeOwnership;
use std::sync::Arc;

/// Returns the fake ownership of a new tree: always for device nodes, which the kernel may refuse to make, and for owners where the
/// mode has one id only.
pub(crate) fn fake_ownership(mode: Mode) -> Arc<FakeOwnership> {
    Arc::new(FakeOwnership::new(mode == Mode::Single))
}
