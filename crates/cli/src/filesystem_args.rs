//! The arguments about ext4 filesystems, which are the same for every command that makes one.

use crate::commands::cache::size;
use rootstrap_bootstrap::Filesystem;

/// What the filesystem is like.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct FilesystemArgs {
    /// The size of an .ext4 in bytes, optionally with K, M, G or T; by default what the root needs, with free space
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Filesystems")]
    fs_size: Option<u64>,

    /// The label of an .ext4, of at most 16 bytes
    #[arg(long, value_name = "LABEL", help_heading = "Filesystems")]
    fs_label: Option<String>,

    /// The UUID of an .ext4; by default one that follows from what is in it
    #[arg(long, value_name = "UUID", value_parser = uuid, help_heading = "Filesystems")]
    fs_uuid: Option<[u8; 16]>,
}

impl FilesystemArgs {
    /// Returns what is asked for.
    pub(crate) fn filesystem(&self) -> Filesystem {
        Filesystem { size: self.fs_size, label: self.fs_label.clone(), uuid: self.fs_uuid }
    }
}

/// Reads 32 hexadecimal digits, with or without dashes.
fn uuid(text: &str) -> Result<[u8; 16], String> {
    let digits: String = text.chars().filter(|&c| c != '-').collect();
    let number = (digits.len() == 32).then(|| u128::from_str_radix(&digits, 16).ok()).flatten();
    let number = number.filter(|_| !digits.starts_with('+'));
    number.map(u128::to_be_bytes).ok_or_else(|| "it must be as 01234567-89ab-cdef-0123-456789abcdef".to_owned())
}
