//! The arguments by which mirrors know the user.

use crate::environment;
use crate::secrets;
use rootstrap_bootstrap::{Error, Machine};

/// Logins and a certificate, for mirrors alone.
#[derive(Debug, clap::Args)]
pub(crate) struct AccessArgs {
    /// A file with users and passwords for mirrors: auth.conf of apt, or netrc. Without it they come from ~/.netrc and from apt's
    /// files of this machine
    #[arg(long, value_name = "FILE")]
    auth_file: Vec<String>,

    /// A file with the certificate, in PEM form, by which mirrors know the user
    #[arg(long, value_name = "FILE")]
    client_cert: Option<String>,

    /// A file with the key of that certificate, if it is not in the same file
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<String>,
}

impl AccessArgs {
    /// Sets logins and certificate.
    ///
    /// # Errors
    /// A file that is named cannot be read or parsed, or others can read it.
    pub(crate) fn apply(&self, machine: &mut Machine) -> Result<(), Error> {
        if let Some(certificate) = &self.client_cert {
            let mut pem = secrets::pem(certificate)?;
            // The key is in one of the two.
            let key = secrets::secret(self.client_key.as_ref().unwrap_or(certificate))?;
            pem.bytes = match &self.client_key {
                None => key,
                Some(_) => [pem.bytes, b"\n".to_vec(), key].concat(),
            };
            machine.identity = Some(pem);
        }
        for file in &self.auth_file {
            machine.logins.extend(secrets::logins(file)?);
        }
        if self.auth_file.is_empty() {
            for file in environment::login_files() {
                match secrets::logins(&file) {
                    Ok(logins) => machine.logins.extend(logins),
                    // Most runs need none of them.
                    Err(error) => machine.left_out.push(error.to_string()),
                }
            }
        }
        Ok(())
    }
}
