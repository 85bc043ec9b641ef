//! The rights that a build needs: to own files as other users, and to make namespaces.
//!
//! After it has read its arguments, the program starts itself again as root of *some* user namespace. The first process
//! (the parent) only waits: it passes signals on to the second one (the child), and it removes what a killed child
//! leaves behind. The parent tries each [`Mode`], the best first, until one works.
//!
//! Nothing here is process-wide state: [`enter_if_asked`](crate::enter_if_asked) returns an [`Invocation`] that holds
//! what the parent handed over, and [`enter`] turns that into [`Held`].

mod enter;
mod held;
mod ids;
mod janitor;
mod limits;
mod mode;
mod obstacle;
mod orphans;
mod refusal;
mod stage;

pub use enter::{Ended, Rights, enter, interrupt};
pub use held::{Handover, Held, Invocation};
pub(crate) use ids::identity;
pub use janitor::Janitor;
pub(crate) use janitor::remove_if_asked;
pub use limits::raise_descriptor_limit;
pub use mode::Mode;
pub(crate) use orphans::{children_of, end_orphans, open_proc};
pub(crate) use stage::{INSIDE, STAGE, inside, stage};
