//! What a run says of its images, for programs and for people.

use rootstrap_bootstrap::{Error, Summary, Update};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::error::Error as _;

/// The version of the format.
const VERSION: u32 = 1;

/// What became of the images of a run, or of several that shared the work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// The version of the format.
    pub version: u32,
    /// The images, sorted by name.
    pub images: Vec<ImageReport>,
}

/// What became of an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImageReport {
    /// The name of the image in the manifest.
    pub name: String,
    /// What became of it.
    pub state: State,
    /// The codename of the suite.
    pub suite: String,
    /// The architectures.
    pub architectures: Vec<String>,
    /// The digest of what decides it: 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<String>,
    /// The digest of the container image, or of the index of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The id of the container image, as Docker and podman show it; of several, that of the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The names that the image has in its archive.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The names that it has in registries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pushed: Vec<String>,
    /// The file or directory that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// How many packages are installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages: Option<usize>,
    /// The packages that differ from those of the image that had its name in the registry before, if that one says what it is made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<PackageChange>>,
    /// How long this image took, in seconds.
    pub seconds: f64,
    /// How long each stage took, in the order in which they began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<StageSeconds>,
    /// The paths that can differ from one build to another of the same packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub varying: Vec<VaryingPath>,
    /// Why it failed: the message, its causes and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The exit status that a run of this image alone would have.
    pub exit_code: u8,
}

/// How long a stage took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageSeconds {
    /// The name of the stage.
    pub stage: String,
    /// Its time in seconds.
    pub seconds: f64,
}

/// A path whose content the packages do not decide alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VaryingPath {
    /// An absolute path in the root. A slash at its end means all that is below a directory, and a star all names that begin so.
    pub path: String,
    /// The reason, in a few words.
    pub reason: String,
}

/// A package that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PackageChange {
    /// Its name, with its architecture if that is a further one of the root.
    pub name: String,
    /// `added`, `removed`, `upgraded`, `downgraded` or `rebuilt`.
    pub change: String,
    /// The version that it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// The version that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}

impl From<&Update> for PackageChange {
    fn from(update: &Update) -> Self {
        let Update { name, change, old, new, pocket: _, security: _ } = update;
        Self { name: name.clone(), change: change.name().to_owned(), old: old.clone(), new: new.clone() }
    }
}

/// What became of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It was made.
    Built,
    /// It is there already, made of the same.
    Unchanged,
    /// Its debs were fetched, and nothing was made.
    Downloaded,
    /// It could not be made.
    Failed,
    /// Another one failed before, so it was not made.
    #[default]
    Skipped,
}

impl State {
    /// Returns the state in one word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Built => "built",
            Self::Unchanged => "unchanged",
            Self::Downloaded => "downloaded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl ImageReport {
    /// Says that the image was made.
    pub fn succeed(&mut self, summary: &Summary) {
        self.state = if summary.reused { State::Unchanged } else { State::Built };
        self.suite.clone_from(&summary.suite);
        self.architectures.clone_from(&summary.architectures);
        // `rootstrap image` makes its result from a tree, not from packages.
        self.packages = Some(summary.packages).filter(|count| *count > 0);
        self.target = summary.target.path().map(|path| path.display().to_string());
        self.digest.clone_from(&summary.digest);
        self.id.clone_from(&summary.image);
        self.tags.clone_from(&summary.tags);
        self.pushed.clone_from(&summary.pushed);
    }

    /// Says that the image could not be made.
    pub fn fail(&mut self, error: &Error) {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(&format!("; because: {error}"));
            cause = error.source();
        }
        if let Some(hint) = error.hint() {
            text.push_str(&format!("; hint: {hint}"));
        }
        self.state = State::Failed;
        self.error = Some(text);
        self.exit_code = error.exit_code();
    }
}

impl Report {
    /// Returns the report of these images.
    #[must_use]
    pub fn new(mut images: Vec<ImageReport>) -> Self {
        images.sort_by(|one, two| one.name.cmp(&two.name));
        Self { version: VERSION, images }
    }

    /// Returns the report as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Texts, numbers and lists can always be written.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Returns a table of the images, one in a line.
    #[must_use]
    pub fn table(&self) -> String {
        let mut rows = vec![["IMAGE", "STATE", "PACKAGES", "SECONDS", "DIGEST"].map(str::to_owned)];
        rows.extend(self.images.iter().map(|image| {
            [
                image.name.clone(),
                image.state.name().to_owned(),
                image.packages.map_or_else(|| "-".to_owned(), |count| count.to_string()),
                format!("{:.1}", image.seconds),
                image.digest.clone().unwrap_or_else(|| "-".to_owned()),
            ]
        }));
        let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..5).map(width).collect();
        let line = |row: &[String; 5]| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
        };
        rows.iter().map(line).collect()
    }

    /// Returns the exit status of the whole: that of a failure which no further attempt heals, if there is one.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.images.iter().map(|image| image.exit_code).max().unwrap_or(0)
    }
}

/// Why reports cannot be joined.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each field is")]
pub enum MergeError {
    #[error("cannot use {name}: it is no report of rootstrap build: {reason}")]
    Malformed { name: String, reason: String },
    #[error("cannot use {name}: it has format {found}, and this version of rootstrap knows formats up to {VERSION}")]
    Newer { name: String, found: u32 },
    #[error("cannot join {first} and {second}: they say that {image} has two digests")]
    Contradiction { first: String, second: String, image: String },
}

/// Joins the reports of shards, each a name and a text. Of an image that several have, that of a success counts: a shard that failed may
/// have been started again.
///
/// # Errors
/// A text is no report, or two say that an image was made with different content.
pub fn merge(reports: &[(String, String)]) -> Result<Report, MergeError> {
    let mut images: BTreeMap<String, (&String, ImageReport)> = BTreeMap::new();
    for (name, text) in reports {
        let malformed =
            |error: serde_json::Error| MergeError::Malformed { name: name.clone(), reason: error.to_string() };
        let report: Report = serde_json::from_str(text).map_err(malformed)?;
        if report.version > VERSION {
            return Err(MergeError::Newer { name: name.clone(), found: report.version });
        }
        for image in report.images {
            let known = images.get(&image.name);
            if let Some((first, known)) = known
                && let (Some(one), Some(two)) = (&known.digest, &image.digest)
                && one != two
            {
                let (first, second) = ((*first).clone(), name.clone());
                return Err(MergeError::Contradiction { first, second, image: image.name });
            }
            if known.is_none_or(|(_, known)| image.state < known.state) {
                images.insert(image.name.clone(), (name, image));
            }
        }
    }
    Ok(Report::new(images.into_values().map(|(_, image)| image).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(name: &str, state: State, digest: Option<&str>) -> (String, String) {
        let digest = digest.map(str::to_owned);
        let code = u8::from(state == State::Failed);
        let image = ImageReport { name: name.to_owned(), state, digest, exit_code: code, ..ImageReport::default() };
        (format!("{name}-{}", state.name()), Report::new(vec![image]).to_json())
    }

    #[test]
    fn shards_are_joined_and_a_second_attempt_counts() {
        let reports = [
            report("b", State::Failed, None),
            report("a", State::Unchanged, Some("sha256:1")),
            report("b", State::Built, Some("sha256:2")),
            report("b", State::Failed, None),
        ];
        let merged = merge(&reports).unwrap();
        let states: Vec<_> = merged.images.iter().map(|image| (image.name.as_str(), image.state)).collect();
        assert_eq!(states, [("a", State::Unchanged), ("b", State::Built)]);
        assert_eq!(merged.exit_code(), 0);
        assert_eq!(merge(&reports[..1]).unwrap().exit_code(), 1);
        let table = "IMAGE  STATE      PACKAGES  SECONDS  DIGEST\n\
                     a      unchanged  -         0.0      sha256:1\n\
                     b      built      -         0.0      sha256:2\n";
        assert_eq!(merged.table(), table);
    }

    #[test]
    fn what_cannot_be_joined_is_named() {
        let of = |reports: &[(String, String)]| merge(reports).unwrap_err().to_string();
        let two = [report("a", State::Built, Some("sha256:1")), report("a", State::Unchanged, Some("sha256:2"))];
        assert_eq!(of(&two), "cannot join a-built and a-unchanged: they say that a has two digests");
        let text = |text: &str| [("x".to_owned(), text.to_owned())];
        assert!(of(&text("<html>")).starts_with("cannot use x: it is no report of rootstrap build"));
        assert!(of(&text(r#"{"version":2,"images":[]}"#)).contains("format 2"));
    }
}
