//! A team's own packages, which the requests of `--apt` name: a flat archive and local files, made here and in no vendor's archive.

use rootstrap_testkit::archive::Archive;
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::keys::Key;
use std::path::{Path, PathBuf};

/// The word of a request for the flat archive, in the place of a suite.
pub const FLAT: &str = "flat";

/// A directory with the flat archive, its key and the local files.
pub struct Team {
    directory: PathBuf,
}

impl Team {
    /// Makes the directory below `work`.
    pub fn make(work: &Path) -> Result<Self, String> {
        let directory = std::path::absolute(work.join("team")).map_err(|error| error.to_string())?;
        let key = Key::generate("Team <team@example.org>");
        let archive = Archive::new(FLAT).key(&key).field("Origin", "Team").field("Suite", "own").debs(served());
        let local = local().into_iter().map(|deb| (format!("{}.deb", deb.name()), deb.build()));
        let files = archive.flat("flat/").into_iter().chain(local).chain([("team.pgp".to_owned(), key.public())]);
        for (name, bytes) in files {
            let path = directory.join(name);
            let made =
                path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, bytes));
            made.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
        Ok(Self { directory })
    }

    /// Returns the source of the flat archive.
    pub fn source(&self, architecture: &str) -> String {
        let directory = self.directory.display();
        format!("deb [arch={architecture} signed-by={directory}/team.pgp] file:{directory} flat/")
    }

    /// Returns a package of a request with the path that it has on this machine, if it is a local file.
    pub fn resolved(&self, package: &str) -> String {
        package
            .strip_prefix("./")
            .map_or_else(|| package.to_owned(), |name| self.directory.join(name).display().to_string())
    }
}

fn deb(name: &str, version: &str, fields: &[(&str, &str)]) -> Deb {
    let plain = Deb::new(name, version).arch("all").field("Priority", "optional");
    fields.iter().fold(plain, |deb, (name, value)| deb.field(name, value))
}

/// Returns the packages of the flat archive.
fn served() -> Vec<Deb> {
    vec![
        deb("team-tool", "1", &[("Depends", "team-lib (>= 1), curl"), ("Recommends", "jq")]),
        deb("team-lib", "1", &[]),
        deb("team-lib", "2", &[]),
        deb("team-new", "1", &[("Depends", "team-lib (>= 2)"), ("Recommends", "team-lib (<< 2) | tree")]),
        deb("team-no", "1", &[("Depends", "team-lib (>= 3)")]),
        deb("team-nano", "1", &[("Conflicts", "nano"), ("Provides", "editor"), ("Replaces", "nano")]),
        deb("team-breaks", "1", &[("Breaks", "libc6 (>= 1)")]),
        deb("team-agent", "1", &[("Provides", "mail-transport-agent"), ("Conflicts", "mail-transport-agent")]),
        // These take the place of packages of the release.
        deb("tree", "99", &[("Depends", "team-lib")]),
        deb("htop", "0.1", &[]),
        deb("tzdata", "9999", &[("Depends", "debconf (>= 0.5) | debconf-2.0"), ("Priority", "required")]),
    ]
}

/// Returns the packages that are files.
fn local() -> Vec<Deb> {
    vec![
        deb("own-tool", "1", &[("Depends", "jq"), ("Recommends", "tree")]),
        deb("own-needs", "1", &[("Depends", "own-tool (>= 1)")]),
        deb("own-team", "1", &[("Depends", "team-lib (>= 2)")]),
        deb("own-no", "1", &[("Depends", "no-such-package")]),
        deb("own-breaks", "1", &[("Conflicts", "curl")]),
        // These have the names of packages of the release: older, newer, and required.
        deb("htop", "0.1", &[]),
        deb("jq", "99", &[("Depends", "tree")]),
        deb("tzdata", "9999", &[("Depends", "debconf (>= 0.5) | debconf-2.0"), ("Priority", "required")]),
    ]
}
