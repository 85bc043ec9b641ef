//! Files with passwords, keys and certificates.

use rootstrap_bootstrap::auth_conf::{self, Login};
use rootstrap_bootstrap::http::Pem;
use rootstrap_bootstrap::{Error, read_input};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The permissions of everybody else than the owner of a file and its group. Files of apt are often for root and one group.
const OTHERS: u32 = 0o007;

fn bad(path: &str, reason: impl Into<String>) -> Error {
    Error::InputFile { path: path.to_owned(), reason: reason.into() }
}

/// Reads a file that nobody else may read.
///
/// # Errors
/// It cannot be read, or others have a permission.
pub(crate) fn secret(path: &str) -> Result<Vec<u8>, Error> {
    let metadata = std::fs::metadata(path).map_err(|error| bad(path, error.to_string()))?;
    let mode = metadata.permissions().mode() & 0o777;
    if !metadata.is_file() {
        // The program reads its arguments again when it starts itself with other rights.
        return Err(bad(path, "it is not a regular file"));
    }
    if mode & OTHERS != 0 {
        return Err(bad(path, format!("it has a secret and is open to everybody (mode {mode:04o}): chmod 600 it")));
    }
    read_input(Path::new(path)).map_err(|error| bad(path, error.to_string()))
}

/// Reads a file of logins.
///
/// # Errors
/// As for [`secret`], or it has another format.
pub(crate) fn logins(path: &str) -> Result<Vec<Login>, Error> {
    let text = String::from_utf8(secret(path)?).map_err(|_| bad(path, "it is not text in UTF-8"))?;
    auth_conf::parse(&text).map_err(|error| bad(path, error.to_string()))
}

/// Reads certificates, which are no secret.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn pem(path: &str) -> Result<Pem, Error> {
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(bad(path, "it is not a regular file"));
    }
    let bytes = read_input(Path::new(path)).map_err(|error| bad(path, error.to_string()))?;
    Ok(Pem { file: path.to_owned(), bytes })
}
