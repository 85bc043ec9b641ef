//! Let the packages' own scripts and dpkg finish, inside a sandbox.
//!
//! Invariant: only this crate starts processes in the root, and the user's own commands beside it ([`hook`]). Those in the root run after `pivot_root`, with private mount, pid, ipc,
//! uts and network namespaces, so that they reach no file, no process and no network of the host. When the [`Sandbox`]
//! is dropped, all its processes and mounts are gone. Where nothing can be mounted ([`privilege::Mode::Chroot`]), the
//! seccomp filter and the supervisor stand in for the namespaces: a script has no sockets but connected pairs, and its
//! signals reach its own processes alone. What it then shares with the machine is System V and POSIX IPC and the console.

pub mod binfmt;
mod call_numbers;
mod calls;
pub mod dpkg;
mod emulator;
mod entry;
mod error;
pub mod fakes;
pub mod hook;
mod init;
mod mounts;
pub mod native;
mod output;
pub mod preinst;
pub mod privilege;
mod sandbox;
mod seccomp;
pub mod shell;
mod supervisor;
mod wire;

pub use emulator::Emulator;
pub use entry::enter_if_asked;
pub use error::Error;
pub use sandbox::{ENVIRONMENT, Exit, Options, Sandbox};
