//! Files by digest that can all be lost: layers, locks, pruning, size bound.
//!
//! Invariant: every file of the cache can disappear at any moment, and then the program only has to do some work again.
//! A file gets its name by one rename after it is complete, so a name never stands for half a file.
//!
//! ```text
//! DIR/v1/CACHEDIR.TAG
//!        lock                shared while a Cache is open; pruning takes it exclusively
//!        looked              its time says when the size was looked at
//!        tmp/                files that are being written, and NAME.lock while NAME is being downloaded
//!        LAYER/…             the layers: each crate registers those whose files it owns
//! ```
//!
//! A [`Layer`] is a constant of the crate that owns its files: its name, its directories and what pruning may remove. This
//! crate knows no layer but `tmp`. The modification time of a file is the time of its last use; pruning needs no other
//! record.
//!
//! A file of a layer is a [`CachedFile`]. Where nothing else vouches for its content, it is an [`Entry`], which carries its own
//! SHA-256 and is found by a [`Key`] of all that decided its content.
//!
//! Behind it there may be a [`Remote`] store, which several machines share and which can be lost too.
//!
//! Files: `directory` opens a cache, `file` and `entry` read and write its files, `key` and `program` name entries,
//! `download_lock` makes one process at a time download a file, `prune` counts and removes, `hash` and `direct_io` are how
//! bytes are read and written.

mod action;
mod backend;
pub mod direct_io;
mod directory;
mod download_lock;
mod entry;
mod error;
mod file;
mod hash;
mod key;
mod layer;
mod layout;
mod object_stores;
mod program;
mod prune;
mod remote;

pub use backend::RemoteError;
pub use directory::Cache;
pub use download_lock::DownloadLock;
pub use entry::{Entry, NewEntry, StoredEntry};
pub use error::Error;
pub use file::{CachedFile, NewFile};
pub use hash::{for_each_chunk, sha256};
pub use key::{Key, KeyBuilder};
pub use layer::{Layer, Retention};
pub use program::ProgramDigest;
pub use prune::{LayerUsage, PruneLimits, Pruned, default_size, keep_within, prune, usage};
pub use remote::{Remote, RemoteAddress};
