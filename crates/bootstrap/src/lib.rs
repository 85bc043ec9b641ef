//! The recipe: from a request to a published root filesystem.
