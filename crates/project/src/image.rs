//! An image of a manifest: its name and its options.

/// An option that an image may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its long name on the command line, without dashes.
    pub name: String,
    /// What it takes.
    pub kind: Kind,
}

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: it is there or not.
    Switch,
    /// One value; the last one counts.
    One,
    /// Any number of values.
    Many,
    /// Any number of values `KEY=VALUE`.
    Pairs,
}

/// An image with all that it inherits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its name, which no other image has.
    pub name: String,
    /// The line of the manifest where it begins, counted from 1.
    pub line: usize,
    /// Its options, in the order in which they are written.
    pub settings: Vec<Setting>,
}

/// An option of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The long name of the option, without dashes.
    pub key: String,
    /// Its values; `true` or `false` for a switch.
    pub values: Vec<String>,
    /// The line of the manifest where it stands, counted from 1.
    pub line: usize,
}

impl Image {
    /// Returns the values of an option; none if the image does not have it.
    #[must_use]
    pub fn values(&self, key: &str) -> &[String] {
        self.setting(key).map(|setting| setting.values.as_slice()).unwrap_or_default()
    }

    /// Returns the only or last value of an option.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.values(key).last().map(String::as_str)
    }

    /// Returns an option, if the image has it.
    #[must_use]
    pub fn setting(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }
}
