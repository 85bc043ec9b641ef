//! The only door into the target: a directory fd and openat2.
