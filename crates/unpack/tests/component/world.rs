//! Two roots, one filled by this crate and one by the host's dpkg, and their comparison.

use rootstrap_rootfs::Root;
use rootstrap_testkit::EPOCH;
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::tree;
use rootstrap_unpack::database::{self, Record};
use rootstrap_unpack::filters::Filter;
use rootstrap_unpack::merge::Merged;
use rootstrap_unpack::{Claims, Conffiles, Error, Rules, Staged, Verdict, merge, stage, triggers};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

pub const LATER: Rules<'static> =
    Rules { conffiles: Conffiles::New, filters: &[], overrides: None, last_directory_wins: false };
pub const FIRST: Rules<'static> =
    Rules { conffiles: Conffiles::InPlace, filters: &[], overrides: None, last_directory_wins: false };

/// A root and the store beside it, as in a real run.
pub struct World {
    pub dir: TempDir,
    pub root: Root,
    pub store: Root,
    claims: Claims,
    slot: usize,
}

impl World {
    /// Creates a root with an empty database.
    pub fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        for name in ["root", "store", "debs"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let root = Root::open(&dir.path().join("root")).unwrap();
        let store = Root::open(&dir.path().join("store")).unwrap();
        // The host's own architecture does not matter, because dpkg is told to take any.
        database::create(&root, &["amd64"]).unwrap();
        World { dir, root, store, claims: Claims::default(), slot: 0 }
    }

    /// Creates a root with the files that `prepare` puts there. All get the same time, so that two such roots are equal.
    pub fn prepared(prepare: &dyn Fn(&Path)) -> World {
        let world = World::new();
        prepare(&world.path());
        rootstrap_rootfs::walk(&world.root, &mut |visit| {
            if !visit.path.is_empty() {
                world.root.at(visit.path)?.set_mtime(EPOCH.cast_signed())?;
            }
            Ok::<_, rootstrap_rootfs::Error>(true)
        })
        .unwrap();
        world
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    pub fn file(&mut self, deb: &[u8]) -> (PathBuf, usize) {
        self.slot += 1;
        let path = self.dir.path().join(format!("debs/{}.deb", self.slot));
        fs::write(&path, deb).unwrap();
        (path, self.slot)
    }

    pub fn stage(&mut self, deb: &[u8]) -> Result<Staged, Error> {
        let (path, slot) = self.file(deb);
        stage(open(path), &self.store, slot, &AtomicBool::new(false))
    }

    pub fn merge(&mut self, staged: &Staged, rules: Rules<'_>) -> Result<Verdict, Error> {
        merge(&self.root, staged, rules, &mut self.claims)
    }

    /// Stages and merges one deb.
    pub fn put(&mut self, deb: &[u8]) -> Result<Verdict, Error> {
        let staged = self.stage(deb)?;
        self.merge(&staged, LATER)
    }

    /// Returns the reason why this deb is left to dpkg.
    pub fn reason(&mut self, deb: &Deb) -> String {
        match self.put(&deb.build()) {
            Ok(Verdict::ForDpkg(reason)) => reason,
            other => panic!("{} was not left to dpkg: {other:?}", deb.name()),
        }
    }

    /// Unpacks one phase with this crate: stages all debs, merges them in order, and records them in dpkg's database.
    pub fn unpack(&mut self, debs: &[Deb], rules: Rules<'_>) {
        let staged: Vec<Staged> = debs.iter().map(|deb| self.stage(&deb.build()).unwrap()).collect();
        self.unpack_staged(&staged, rules);
    }

    pub fn unpack_staged(&mut self, staged: &[Staged], rules: Rules<'_>) {
        let merged: Vec<Merged> = staged
            .iter()
            .map(|staged| match self.merge(staged, rules).unwrap() {
                Verdict::Merged(merged) => merged,
                Verdict::ForDpkg(reason) => panic!("{} is left to dpkg: {reason}", staged.control.package),
            })
            .collect();
        let records: Vec<Record<'_>> = staged
            .iter()
            .zip(&merged)
            .map(|(staged, merged)| Record {
                control: &staged.control,
                entries: staged.entries.as_deref().unwrap(),
                list: &merged.list,
                excluded: &merged.excluded,
            })
            .collect();
        database::record(&self.root, &records, rules.conffiles).unwrap();
        let touched: Vec<_> =
            staged.iter().zip(&merged).map(|(staged, merged)| (&staged.control, merged.touched.as_slice())).collect();
        triggers::record(&self.root, &touched).unwrap();
    }

    /// Runs the host's dpkg on this root. No fixture has scripts, so nothing of the root is ever executed.
    pub fn dpkg(&self, arguments: &[&str], debs: &[PathBuf]) -> Result<(), String> {
        let output = Command::new("dpkg")
            .arg(format!("--root={}", self.path().display()))
            .args(["--log=/dev/null", "--no-triggers"])
            .arg("--force-depends,architecture,bad-path,script-chrootless,unsafe-io,confold")
            .args(arguments)
            .args(debs)
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&text).into_owned()) }
    }

    pub fn dpkg_unpack(&mut self, debs: &[Deb], filters: &[Filter]) -> Result<(), String> {
        if debs.is_empty() {
            return Ok(());
        }
        let files: Vec<PathBuf> = debs.iter().map(|deb| self.file(&deb.build()).0).collect();
        let filters = filters.iter().map(|filter| {
            let option = if filter.include { "--path-include" } else { "--path-exclude" };
            format!("{option}={}", std::str::from_utf8(&filter.pattern).unwrap())
        });
        let arguments: Vec<String> = filters.chain(["--unpack".into()]).collect();
        self.dpkg(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &files)
    }

    /// Lists every path except those in `without`. Times are listed too, except those of directories and of files to which dpkg
    /// gives the current time.
    pub fn dump(&self, without: &[&str]) -> String {
        let dump = tree::dump_with(&self.path(), tree::Options { owner: true, mtime: true });
        let mut out = String::new();
        for line in dump.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let path = words[0];
            if without.iter().chain(&VOLATILE).any(|prefix| path.starts_with(prefix)) {
                continue;
            }
            let written = path.starts_with("/var/lib/dpkg/")
                && (path.contains("/triggers/") || !path.contains("/info/") || path.ends_with(".list"));
            let timeless = words[1] == "dir" || written || path.ends_with(".md5sums") || path.ends_with("/info/format");
            let words: Vec<&str> = words.into_iter().filter(|word| !(timeless && word.starts_with('@'))).collect();
            out += &(words.join(" ") + "\n");
        }
        out
    }

    pub fn text(&self, path: &str) -> String {
        // Text that is not UTF-8 is compared byte by byte.
        let text =
            |bytes| String::from_utf8(bytes).unwrap_or_else(|e| e.as_bytes().iter().map(|b| *b as char).collect());
        fs::read(self.path().join(path)).map_or_else(|error| format!("{path}: {error}"), text)
    }
}

/// Opens a .deb for staging.
pub fn open(path: impl AsRef<Path>) -> rootstrap_unpack::Deb<'static> {
    rootstrap_unpack::Deb { file: File::open(path).unwrap(), label: "fixture" }
}

/// Files of dpkg on which no result depends.
const VOLATILE: [&str; 5] = [
    "/var/lib/dpkg/lock",
    "/var/lib/dpkg/status-old",
    "/var/lib/dpkg/available",
    "/var/lib/dpkg/triggers/Lock",
    "/var/lib/dpkg/arch",
];

/// Whether the test `name` is skipped because files cannot be given to other owners. Prints the skip.
pub fn skipped(name: &str) -> bool {
    skipped_for(name, no_root())
}

/// As [`skipped`], and also if the host has no dpkg to compare with.
pub fn skipped_without_dpkg(name: &str) -> bool {
    let version = Command::new("dpkg").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let dpkg = version.is_ok_and(|status| status.success());
    skipped_for(name, if dpkg { no_root() } else { Some("the host has no dpkg") })
}

fn skipped_for(name: &str, reason: Option<&str>) -> bool {
    if let Some(reason) = reason {
        rootstrap_testkit::skip(format!("{name}: {reason}"));
    }
    reason.is_some()
}

fn no_root() -> Option<&'static str> {
    let own = tempfile::NamedTempFile::new().unwrap();
    std::os::unix::fs::chown(own.path(), Some(1), Some(1)).err().map(|_| "not root")
}

/// A scenario: what is in the root at first, and then steps: packages, which dpkg configures, or changes that others make.
pub struct Case<'a> {
    name: &'a str,
    prepare: &'a dyn Fn(&Path),
    steps: Vec<Step<'a>>,
    reserialised: bool,
    filters: Vec<Filter>,
}

enum Step<'a> {
    Phase(Vec<Deb>),
    Change(&'a dyn Fn(&Path)),
}

impl<'a> Case<'a> {
    pub fn new(name: &'a str, debs: impl IntoIterator<Item = Deb>) -> Case<'a> {
        let steps = vec![Step::Phase(debs.into_iter().collect())];
        Case { name, prepare: &|_| {}, steps, reserialised: false, filters: Vec::new() }
    }

    /// Sets what is in both roots before the first package.
    pub fn prepare(self, prepare: &'a dyn Fn(&Path)) -> Case<'a> {
        Case { prepare, ..self }
    }

    /// Adds a phase.
    pub fn then(mut self, debs: impl IntoIterator<Item = Deb>) -> Case<'a> {
        self.steps.push(Step::Phase(debs.into_iter().collect()));
        self
    }

    /// Adds a change to both roots.
    pub fn then_change(mut self, change: &'a dyn Fn(&Path)) -> Case<'a> {
        self.steps.push(Step::Change(change));
        self
    }

    /// Says that dpkg changes the form of the fields. Then the stanzas are compared only after dpkg has written both.
    pub fn reserialised(self) -> Case<'a> {
        Case { reserialised: true, ..self }
    }

    /// Sets patterns to exclude (`-`) and to include (`+`).
    pub fn filters(mut self, filters: &[&str]) -> Case<'a> {
        self.filters = filters.iter().map(|text| filter(text)).collect();
        self
    }

    fn worlds(&self) -> (World, World) {
        (World::prepared(self.prepare), World::prepared(self.prepare))
    }

    /// Does a step in both roots. Fails unless the roots are equal after the unpacking, after dpkg has opened both databases, and
    /// after dpkg has configured both.
    fn step(&self, number: usize, step: &Step<'_>, ours: &mut World, theirs: &mut World) {
        let debs = match step {
            Step::Phase(debs) if debs.is_empty() => return,
            Step::Phase(debs) => debs,
            Step::Change(change) => return [ours, theirs].into_iter().for_each(|world| change(&world.path())),
        };
        let at = |what: &str| format!("{}, step {number}, {what}", self.name);
        ours.unpack(debs, Rules { filters: &self.filters, ..LATER });
        theirs.dpkg_unpack(debs, &self.filters).unwrap_or_else(|text| panic!("{}: {text}", at("dpkg")));
        // Activations may be in Unincorp or in the status file, so they are compared after dpkg has read them.
        let without = [&format!("/{STATUS}"), "/var/lib/dpkg/triggers/Unincorp"];
        same(&at("files"), &ours.dump(&without), &theirs.dump(&without));
        let triggered = theirs.text(STATUS).contains("\nTriggers-");
        if !self.reserialised && !triggered {
            same(&at("status as written"), &ours.text(STATUS), &theirs.text(STATUS));
        }
        assert!(finish(&at("end"), ours, theirs), "{}: dpkg cannot configure it", at("end"));
    }

    /// Fails unless both roots are equal after every step.
    pub fn equals_dpkg(self) {
        if skipped_without_dpkg(self.name) {
            return;
        }
        let (mut ours, mut theirs) = self.worlds();
        for (number, step) in self.steps.iter().enumerate() {
            self.step(number, step, &mut ours, &mut theirs);
        }
        println!("{}: equal", self.name);
    }

    /// Checks that after all steps `last` is left to dpkg because of `reason`, and that dpkg's verdict and result are the same as
    /// without the attempt of this crate. Returns whether dpkg takes it.
    pub fn leaves(self, last: &Deb, reason: &str) -> Option<bool> {
        let name = self.name;
        if skipped_without_dpkg(name) {
            return None;
        }
        let (mut ours, mut theirs) = self.worlds();
        for (number, step) in self.steps.iter().enumerate() {
            self.step(number, step, &mut ours, &mut theirs);
        }
        let staged = ours.stage(&last.build()).unwrap();
        match ours.merge(&staged, Rules { filters: &self.filters, ..LATER }).unwrap() {
            Verdict::ForDpkg(said) => assert_eq!(said, reason, "{name}"),
            Verdict::Merged(_) => panic!("{name}: not left to dpkg"),
        }
        let unpack = |world: &mut World| world.dpkg_unpack(std::slice::from_ref(last), &self.filters);
        let (here, there) = (unpack(&mut ours), unpack(&mut theirs));
        assert_eq!(here.is_ok(), there.is_ok(), "{name}: {here:?} {there:?}");
        if there.is_ok() {
            same(name, &ours.dump(&[]), &theirs.dump(&[]));
            finish(name, &ours, &theirs);
        }
        println!("{name}: dpkg {}", if there.is_ok() { "takes it, equal" } else { "refuses it" });
        Some(there.is_ok())
    }
}

/// Has dpkg write both databases again and then configure the unpacked packages, and compares the roots each time. Returns whether
/// dpkg succeeded.
fn finish(name: &str, ours: &World, theirs: &World) -> bool {
    let mut could = true;
    for arguments in [["--set-selections"].as_slice(), &["--configure", "--pending"]] {
        let (here, there) = (ours.dpkg(arguments, &[]), theirs.dpkg(arguments, &[]));
        assert_eq!(here.is_ok(), there.is_ok(), "{name}: {here:?} {there:?}");
        could &= there.is_ok();
        let what = format!("{name}, {}", arguments[0]);
        same(&what, &ours.text(STATUS), &theirs.text(STATUS));
        same(&what, &ours.dump(&[]), &theirs.dump(&[]));
    }
    could
}

/// Parses `-PATTERN` or `+PATTERN`.
pub fn filter(text: &str) -> Filter {
    let (sign, pattern) = text.split_at(1);
    Filter { include: sign == "+", pattern: pattern.as_bytes().to_vec() }
}

/// Runs one of dpkg's tools on this root.
pub fn tool(root: &Path, words: &[&str]) {
    let [program, arguments @ ..] = words else { panic!("no program") };
    let root = format!("--root={}", root.display());
    let status = Command::new(program).arg(root).args(arguments).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{words:?}");
}

const STATUS: &str = "var/lib/dpkg/status";

/// Fails unless the texts are equal, and prints the lines that only one of them has.
pub fn same(what: &str, ours: &str, theirs: &str) {
    if ours == theirs {
        return;
    }
    let only = |a: &str, b: &str| -> String {
        a.lines().filter(|line| !b.lines().any(|other| other == *line)).map(|line| format!("  {line}\n")).collect()
    };
    let (here, there) = (only(ours, theirs), only(theirs, ours));
    if here.is_empty() && there.is_empty() {
        panic!("{what}: other order\nours:\n{ours}\ndpkg's:\n{theirs}");
    }
    panic!("{what}: differs\nonly ours:\n{here}only dpkg's:\n{there}");
}

/// Writes a file into a root, with its parents.
pub fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Copies the host's users and groups into a root. Up to version 1.22 dpkg looks up their names outside `--root`, so both must have
/// the same.
pub fn names_of_the_host(root: &Path) {
    for file in ["etc/passwd", "etc/group"] {
        write(root, file, &fs::read_to_string(Path::new("/").join(file)).unwrap());
    }
}
