//! Indexes and a request become an ordered, printable Plan.
