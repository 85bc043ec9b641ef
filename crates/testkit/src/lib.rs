//! Tiny debs, signed archives and a loopback mirror with faults, for tests.
