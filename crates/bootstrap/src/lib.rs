//! The recipe of one root: from a request to a published root filesystem.
//!
//! Invariant: everything that a run depends on is in the [`Request`]. Nothing here reads arguments, environment or clock, nothing prints,
//! and there is no process-wide state. What happens is reported as [`Event`]s. After an error nothing is published.
//!
//! # How to use it
//!
//! 1. Call [`enter_if_asked`] first in `main`, while there is one thread: the program is started again for the sandbox and for its rights.
//! 2. Obtain the rights with [`privilege::enter`], and put what it returns into a [`Machine`]. [`plan`], [`lock`](lock()) and the other questions need none.
//! 3. Say what is wanted: a [`Selection`] of packages, the [`Sources`] that they come from, a [`Customization`] on top, and the [`Output`].
//!    Together they are a [`Request`].
//! 4. Call [`bootstrap`] with a function that gets the [`Event`]s, on any thread. Set [`Machine::cancel`] to stop it.
//! 5. An [`Error`] has its causes as sources, a [`hint`](Error::hint) and an [`exit_code`](Error::exit_code).
//!
//! `examples/plan.rs` and `examples/directory.rs` are whole programs of this kind.
//!
//! # How it is made
//!
//! To read: `recipe` (the whole on one page), `lock` (the packages alone, written down), `request` (what can be asked), then the folders in the order of their imports: `publish`,
//! `finish`, `two_stage`, `install`, `staging`, `archive`.

mod archive;
mod archives;
mod compare;
mod convert;
mod diff;
mod doctor;
mod download;
mod enter;
mod error;
mod event;
mod export;
mod finish;
mod inputs;
mod install;
mod lock;
mod outdated;
mod own_suite;
mod platforms;
mod prepare;
mod publish;
mod recipe;
mod request;
mod staging;
mod transfer;
mod two_stage;
mod verify;

/// The layers of the cache, for counting and pruning.
pub const CACHE_LAYERS: [rootstrap_cache::Layer; 8] = [
    rootstrap_fetch::DOWNLOADS,
    rootstrap_fetch::RELEASES,
    rootstrap_fetch::INDEXES,
    install::debs::PAYLOADS,
    install::first_phase_snapshot::SNAPSHOTS,
    install::root_snapshot::ROOTS,
    publish::archive_cache::ARCHIVES,
    publish::known_pieces::PIECES,
];

pub use archive::{proxies, read_input, read_lock, read_whole};
pub use compare::{Aspect, PathDifference, SettingDifference, registry_name};
pub use convert::image;
pub use diff::{RootDifference, diff};
pub use doctor::{Condition, Finding, examine};
pub use download::{UnpackedDebs, download, download_to, pack_debs, unpack_debs};
pub use enter::{EnteredRoot, enter};
pub use error::Error;
pub use event::{Event, Stage, StageTimes};
pub use export::{ExportFormat, export};
pub use inputs::{changes_since_pushed, find_image, inputs, name_inputs};
pub use lock::{Upgrade, check_text_place, lock, lock_differences, locked_request, locks, write_lock, write_text};
pub use outdated::{LockToRenew, Outdated, Update, outdated, updates};
pub use publish::Summary;
pub use publish::target::NewParents;
pub use recipe::{bootstrap, plan, plan_to_json};
pub use request::{
    Budget, Container, Copy, Customization, Download, Filesystem, Format, FormatName, FurtherSource, Hook, Host,
    LockChoice, Machine, NewUser, Output, Purpose, Push, Request, Selection, Settings, Snapshot, Sources, StagingPlace,
    TarIn, Target, native_architecture,
};
pub use rootstrap_cache as cache;
pub use rootstrap_configure::{enter_if_asked, privilege};
pub use rootstrap_debian::release::{format_date, parse_moment};
pub use rootstrap_debian::sources as apt_sources;
pub use rootstrap_debian::{auth_conf, preferences};
pub use rootstrap_fetch::Event as FetchEvent;
pub use rootstrap_http as http;
pub use rootstrap_image::compress::{Algorithm, Compression};
pub use rootstrap_image::tar::spoil;
pub use rootstrap_lock as lock_file;
pub use rootstrap_resolve::{Error as ResolveError, Plan, Variant};
pub use rootstrap_suites as suites;
pub use transfer::finished::{remove_from_tree, write_in_tree};
pub use two_stage::second_stage;
pub use verify::{VerifyOptions, verify};
