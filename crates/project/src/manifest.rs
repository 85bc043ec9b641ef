//! The text of a manifest: `[defaults]`, and a table `[image.NAME]` for each image or group of images. docs/project.md is the reference.

use crate::error::Error;
use crate::image::{Key, Kind, Setting};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The element of a list that stands for what is inherited.
pub(crate) const INHERITED: &str = "...";

/// What a manifest says.
pub(crate) struct Manifest {
    pub defaults: Vec<Setting>,
    pub images: Vec<Entry>,
}

/// A table of a manifest that stands for one image, or for several.
pub(crate) struct Entry {
    pub name: String,
    pub line: usize,
    /// The image whose options it begins with, and where that is said.
    pub extends: Option<(String, usize)>,
    /// How the images of a matrix are named.
    pub names: Option<(String, usize)>,
    pub matrix: Vec<Alternatives>,
    pub settings: Vec<Setting>,
}

/// An option of a matrix.
pub(crate) struct Alternatives {
    pub key: String,
    pub line: usize,
    /// The values of each alternative.
    pub values: Vec<Vec<String>>,
}

/// Keys of an image that are no options.
const EXTENDS: &str = "extends";
const MATRIX: &str = "matrix";
const NAME: &str = "name";

/// Parses a manifest.
pub(crate) fn parse(text: &str, keys: &[Key]) -> Result<Manifest, Error> {
    let reader = Reader { text, keys };
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| reader.line(span.start));
        Error::new(line, error.message().to_owned())
    })?;
    let mut manifest = Manifest { defaults: Vec::new(), images: Vec::new() };
    for (key, line, value) in reader.entries(table.get_ref()) {
        match (key, value.get_ref()) {
            ("defaults", DeValue::Table(table)) => {
                for (key, line, value) in reader.entries(table) {
                    manifest.defaults.push(reader.setting(key, line, value)?);
                }
            }
            ("image", DeValue::Table(table)) => {
                for (name, line, value) in reader.entries(table) {
                    manifest.images.push(reader.image(name, line, value)?);
                }
            }
            ("defaults" | "image", _) => return Err(Error::new(line, format!("`{key}` must be a table"))),
            _ => {
                let error = Error::new(line, format!("unknown key `{key}`"));
                return Err(error.with_hint("a manifest has the tables [defaults] and [image.NAME]"));
            }
        }
    }
    Ok(manifest)
}

struct Reader<'t> {
    text: &'t str,
    keys: &'t [Key],
}

impl Reader<'_> {
    /// Returns the line of a byte, counted from 1.
    fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count()
    }

    /// Returns what a table has, as it stands in the text.
    fn entries<'v>(&self, table: &'v DeTable<'_>) -> Vec<(&'v str, usize, &'v Spanned<DeValue<'v>>)> {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entry = |(key, value): (&'v Spanned<std::borrow::Cow<'_, str>>, &'v Spanned<DeValue<'_>>)| {
            (key.get_ref().as_ref(), self.line(key.span().start), value)
        };
        entries.into_iter().map(entry).collect()
    }

    fn image(&self, name: &str, line: usize, value: &Spanned<DeValue<'_>>) -> Result<Entry, Error> {
        let DeValue::Table(table) = value.get_ref() else {
            return Err(Error::new(line, format!("the image `{name}` must be a table")));
        };
        check_name(name, line)?;
        let name = name.to_owned();
        let mut entry = Entry { name, line, extends: None, names: None, matrix: Vec::new(), settings: Vec::new() };
        for (key, line, value) in self.entries(table) {
            match key {
                EXTENDS => entry.extends = Some((self.word(key, line, value)?, line)),
                NAME => entry.names = Some((self.word(key, line, value)?, line)),
                MATRIX => entry.matrix = self.matrix(line, value)?,
                _ => entry.settings.push(self.setting(key, line, value)?),
            }
        }
        if let Some((_, line)) = entry.names.as_ref().filter(|_| entry.matrix.is_empty()) {
            let error = Error::new(*line, format!("`{NAME}` names the images of a `{MATRIX}`, and there is none"));
            return Err(error.with_hint("an image is named by its table: [image.NAME]"));
        }
        Ok(entry)
    }

    fn matrix(&self, line: usize, value: &Spanned<DeValue<'_>>) -> Result<Vec<Alternatives>, Error> {
        let DeValue::Table(table) = value.get_ref() else {
            return Err(Error::new(line, format!("`{MATRIX}` must be a table of lists")));
        };
        let mut matrix = Vec::new();
        for (key, line, value) in self.entries(table) {
            let kind = self.kind(key, line)?;
            let alternatives = value.get_ref().as_array().filter(|array| !array.is_empty());
            let Some(alternatives) = alternatives else {
                return Err(Error::new(line, format!("`{MATRIX}.{key}` must be a list of alternatives")));
            };
            let mut all = Vec::new();
            for alternative in alternatives {
                let values = values(alternative.get_ref(), kind).ok_or_else(|| wrong(key, line, kind))?;
                if all.contains(&values) {
                    return Err(Error::new(line, format!("`{MATRIX}.{key}` has {} twice", values.join(","))));
                }
                all.push(values);
            }
            matrix.push(Alternatives { key: key.to_owned(), line, values: all });
        }
        Ok(matrix)
    }

    fn word(&self, key: &str, line: usize, value: &Spanned<DeValue<'_>>) -> Result<String, Error> {
        let text = value.get_ref().as_str().map(str::to_owned);
        text.ok_or_else(|| Error::new(line, format!("`{key}` must be a string")))
    }

    fn setting(&self, key: &str, line: usize, value: &Spanned<DeValue<'_>>) -> Result<Setting, Error> {
        let kind = self.kind(key, line)?;
        let values = values(value.get_ref(), kind).ok_or_else(|| wrong(key, line, kind))?;
        Ok(Setting { key: key.to_owned(), values, line })
    }

    fn kind(&self, key: &str, line: usize) -> Result<Kind, Error> {
        if let Some(known) = self.keys.iter().find(|known| known.name == key) {
            return Ok(known.kind);
        }
        let error = Error::new(line, format!("unknown key `{key}`"));
        let names = self.keys.iter().map(|known| known.name.as_str()).chain([EXTENDS, MATRIX, NAME]);
        let nearest = names.map(|name| (strsim::osa_distance(key, name), name)).min();
        Err(match nearest {
            Some((distance, name)) if distance <= 1 + key.len() / 4 => {
                error.with_hint(format!("did you mean `{name}`?"))
            }
            _ => error.with_hint(
                "an image has the options of `rootstrap SUITE TARGET`; how a run is made, as with --jobs, is said to `rootstrap build`",
            ),
        })
    }
}

/// Refuses names that are no file names, or that a shell, a tag or a job of a CI system could not have.
pub(crate) fn check_name(name: &str, line: usize) -> Result<(), Error> {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
    let begins_well = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins_well && name.len() <= 100 && name.bytes().all(is_usual) {
        return Ok(());
    }
    let rule = "a name begins with a letter or digit, and has up to 100 letters, digits and -_.+";
    Err(Error::new(line, format!("`{name}` cannot be the name of an image")).with_hint(rule))
}

/// Returns the values of an option as the command line takes them.
fn values(value: &DeValue<'_>, kind: Kind) -> Option<Vec<String>> {
    let one = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        _ => None,
    };
    match (kind, value) {
        (Kind::Switch, DeValue::Boolean(set)) => Some(vec![set.to_string()]),
        (Kind::Switch, _) => None,
        (Kind::Many | Kind::Pairs, DeValue::Array(list)) => list.iter().map(|value| one(value.get_ref())).collect(),
        (Kind::Pairs, DeValue::Table(table)) => {
            table.iter().map(|(key, value)| Some(format!("{}={}", key.get_ref(), one(value.get_ref())?))).collect()
        }
        _ => one(value).map(|value| vec![value]),
    }
}

fn wrong(key: &str, line: usize, kind: Kind) -> Error {
    let rule = match kind {
        Kind::Switch => "true or false",
        Kind::One => "a string",
        Kind::Many => "a string or a list of strings",
        Kind::Pairs => "a table of strings, or a list of strings KEY=VALUE",
    };
    Error::new(line, format!("`{key}` must be {rule}"))
}
