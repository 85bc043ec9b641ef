//! What is said of a container image, and where it is pushed.

use crate::error::Error;
use rootstrap_image::compress::Compression;
use rootstrap_registry::{Credentials, Reference, credentials};
use std::collections::BTreeMap;
use std::ffi::OsString;

/// The settings of a container image. What is not set here is found in the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// The names of the image, as `docker tag` takes them.
    pub tags: Vec<String>,
    /// The program and its first arguments.
    pub entrypoint: Option<Vec<String>>,
    /// The arguments after the entrypoint, or the program itself.
    pub cmd: Option<Vec<String>>,
    /// Environment variables, by name.
    pub env: BTreeMap<String, String>,
    /// The user that runs the program.
    pub user: Option<String>,
    /// The working directory of the program.
    pub workdir: Option<String>,
    /// Labels, which images made from this one inherit.
    pub labels: BTreeMap<String, String>,
    /// Annotations of this image's manifest.
    pub annotations: BTreeMap<String, String>,
}

impl Container {
    /// Returns the command line's name of the first setting that is set.
    pub(crate) fn first_option(&self) -> Option<&'static str> {
        let Self { tags, entrypoint, cmd, env, user, workdir, labels, annotations } = self;
        [
            ("--tag", !tags.is_empty()),
            ("--cmd", cmd.is_some()),
            ("--entrypoint", entrypoint.is_some()),
            ("--env", !env.is_empty()),
            ("--label", !labels.is_empty()),
            ("--annotation", !annotations.is_empty()),
            ("--user", user.is_some()),
            ("--workdir", workdir.is_some()),
        ]
        .into_iter()
        .find_map(|(name, is_set)| is_set.then_some(name))
    }
}

/// Where an image is pushed.
#[derive(Clone, Debug, Default)]
pub struct Push {
    /// The names in registries, as `docker push` takes them.
    pub names: Vec<String>,
    /// Further tags of each name. They are set before its own.
    pub tags: Vec<String>,
    /// The compression of the layer of an image that is only pushed.
    pub compression: Option<Compression>,
    /// Whether registries need not prove who they are.
    pub insecure: bool,
    /// The credentials for each of `names`; see [`Self::find_credentials`].
    pub credentials: Vec<Credentials>,
}

impl Push {
    /// Finds the credentials for each registry and returns them as one secret line, for [`Self::take_credentials`] in another
    /// process. The user who asked for the push has to call this, because credential helpers expect to be run by that user.
    /// `variable` looks up a variable of the environment.
    ///
    /// # Errors
    /// A name is not the name of an image, or a file or helper of credentials does not work.
    pub fn find_credentials(&mut self, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<String, Error> {
        let files = credentials::files(variable);
        // A helper may ask the user, so each registry is looked up once.
        let mut known: BTreeMap<String, Credentials> = BTreeMap::new();
        self.credentials.clear();
        for reference in self.references()? {
            let registry = reference.registry().to_owned();
            let found = match known.get(&registry) {
                Some(found) => found.clone(),
                None => credentials::find(&reference, &files)?,
            };
            self.credentials.push(found.clone());
            known.insert(registry, found);
        }
        // Credentials are an enum of strings, which always has a JSON form.
        Ok(serde_json::to_string(&self.credentials).unwrap_or_default())
    }

    /// Takes the credentials that [`Self::find_credentials`] found in another process.
    ///
    /// # Errors
    /// `secret` is not what that function returned.
    pub fn take_credentials(&mut self, secret: &str) -> Result<(), Error> {
        self.credentials = serde_json::from_str(secret).map_err(|_| rootstrap_registry::Error::DamagedCredentials)?;
        Ok(())
    }

    /// Returns the parsed names.
    pub(crate) fn references(&self) -> Result<Vec<Reference>, Error> {
        Ok(self.names.iter().map(|name| name.parse()).collect::<Result<_, _>>()?)
    }
}
