//! Verified bytes from mirror or cache.
