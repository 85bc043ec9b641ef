//! The same result in any order of work.
