//! What is in a root, whatever form it has, and how two roots differ.
//!
//! Rule: nothing here unpacks anything. Archives and layers are read from beginning to end, and of every file only the digest is kept.

mod difference;
mod image;
mod inventory;
mod pulled;
mod root;
mod settings;
mod store;
mod subject;

pub use difference::{Aspect, PathDifference};
pub(crate) use difference::{Times, differences};
pub(crate) use image::{annotation, extract_image, image_size};
pub(crate) use pulled::pull;
pub use pulled::registry_name;
pub(crate) use root::ComparedRoot;
pub use settings::SettingDifference;
pub(crate) use settings::setting_differences;
pub(crate) use subject::{Form, Subject, open};
