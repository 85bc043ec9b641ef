//! Ceilings for the contents of a .deb, so that a hostile one ends in an error and does not fill the machine.

/// Bytes of the whole control.tar when decoded. The largest in Debian is below 4 MiB.
pub const CONTROL: u64 = 64 << 20;
/// Files in control.tar. The most in Debian are below 20.
pub const MEMBERS: usize = 1000;
/// Bytes of data.tar when decoded. The largest in Debian (debug symbols) is below 16 GiB.
pub const DATA: u64 = 64 << 30;
/// Entries of one data.tar.
pub const ENTRIES: usize = 2_000_000;
/// Length of one path or link target: the kernel's own ceiling (`PATH_MAX`).
pub const PATH: u64 = 4096;
/// Memory of the xz decoder: four times what the strongest preset (`xz -9`) needs.
pub const XZ_MEMORY: u64 = 256 << 20;
