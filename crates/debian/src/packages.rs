//! `Packages` indexes: one pass, borrowed fields, nothing copied.
//!
//! An index has 60 000 stanzas, and a bootstrap needs a hundred of them. So only the fields that selecting, fetching and
//! listing need are read, and none is interpreted here. [`Table`] stores these fields of a whole index.

pub use crate::package::{Package, is_relative_path, parse, source};
pub use crate::table::{Head, Table};
