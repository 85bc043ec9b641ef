//! The answers that a supervised call can get.

use rustix::io::Errno;

/// What happens to a call.
pub(super) enum Reply {
    /// It returns this number.
    Value(i64),
    /// It fails with this error.
    Fails(Errno),
    /// The kernel executes it as if there were no supervisor.
    Kernel,
    /// It was answered already.
    Answered,
}

impl From<Result<(), Errno>> for Reply {
    fn from(result: Result<(), Errno>) -> Self {
        result.map_or_else(Self::Fails, |()| Self::Value(0))
    }
}
