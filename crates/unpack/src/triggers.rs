//! Triggers of packages unpacked without dpkg (deb-triggers(5), dpkg `doc/triggers.txt`, `lib/dpkg/triglib.c`).
//!
//! dpkg keeps interests in `triggers/File` (paths) and one file per named trigger, and takes activations that
//! happened outside of it from `triggers/Unincorp` when it next starts.

use crate::Error;
use crate::control::Control;
use rootstrap_rootfs::Root;
use std::collections::{BTreeMap, HashMap, HashSet};

const DIRECTORY: &str = "var/lib/dpkg/triggers";

/// One line of a `triggers` control file.
struct Directive<'a> {
    interest: bool,
    noawait: bool,
    trigger: &'a str,
}

fn directives(text: &str) -> impl Iterator<Item = Directive<'_>> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (verb, trigger) = (words.next()?, words.next()?);
        let (interest, noawait) = match verb {
            "interest" | "interest-await" => (true, false),
            "interest-noawait" => (true, true),
            "activate" | "activate-await" => (false, false),
            "activate-noawait" => (false, true),
            _ => return None,
        };
        is_trigger_name(trigger).then_some(Directive { interest, noawait, trigger })
    })
}

/// A path, or what could be a package's name: it becomes the name of a file beside those dpkg keeps for itself
/// (`triglib.c:trig_classify_byname`).
fn is_trigger_name(name: &str) -> bool {
    match name.strip_prefix('/') {
        Some(path) => path.bytes().all(|b| b.is_ascii_graphic()) && path.split('/').all(|part| !part.is_empty()),
        None => {
            name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.'))
                && !matches!(name, "File" | "Lock" | "Unincorp")
        }
    }
}

/// Registers the interests of `packages` and notes what unpacking them activated.
///
/// Each package comes with the paths it touched. Activations for packages that are not configured yet are dropped
/// by dpkg (`triglib.c:trig_record_activation`), so all are written.
///
/// # Errors
/// The database cannot be read or written.
pub fn record(root: &Root, packages: &[(&Control, &[Vec<u8>])]) -> Result<(), Error> {
    let file = format!("{DIRECTORY}/File");
    let files = root.read(file.as_bytes())?.unwrap_or_default();
    let watched: HashSet<&[u8]> =
        files.split(|&b| b == b'\n').filter_map(|line| line.split(|&b| b == b' ').next()).collect();
    let mut new_files = Vec::new();
    let mut named: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    let mut activations = Activations::default();
    let texts: Vec<_> = packages.iter().map(|(control, _)| text(control)).collect();
    for ((control, touched), text) in packages.iter().zip(&texts) {
        let package = control.database_name();
        for directive in directives(text).filter(|directive| !directive.interest) {
            // Nobody waits yet: dpkg activates these again, with their awaiter, when it configures the package.
            activations.add(directive.trigger.as_bytes(), "-");
        }
        for path in touched.iter().filter(|path| watched.contains(path.as_slice())) {
            // Where the interest is noawait, dpkg ignores the awaiter.
            activations.add(path, &package);
        }
        for (trigger, noawait) in interests(text) {
            let suffix = if noawait { "/noawait" } else { "" };
            if trigger.starts_with('/') {
                new_files.extend_from_slice(format!("{trigger} {package}{suffix}\n").as_bytes());
            } else {
                named.entry(trigger).or_default().extend_from_slice(format!("{package}{suffix}\n").as_bytes());
            }
        }
    }
    if !new_files.is_empty() {
        root.write(file.as_bytes(), &[files, new_files].concat(), 0o644)?;
    }
    for (name, lines) in named {
        let path = format!("{DIRECTORY}/{name}");
        let known = root.read(path.as_bytes())?.unwrap_or_default();
        root.write(path.as_bytes(), &[known, lines].concat(), 0o644)?;
    }
    let path = format!("{DIRECTORY}/Unincorp");
    let waiting = root.read(path.as_bytes())?.unwrap_or_default();
    root.write(path.as_bytes(), &activations.after(&waiting), 0o644)?;
    Ok(())
}

/// Whether the postinst of a package may be run for a trigger.
pub fn is_interested(control: &Control) -> bool {
    directives(&text(control)).any(|directive| directive.interest)
}

fn text(control: &Control) -> String {
    let member = control.member("triggers");
    member.map(|member| String::from_utf8_lossy(&member.contents).into_owned()).unwrap_or_default()
}

/// The triggers a package is interested in and whether nobody is to await it. One named twice counts once, with
/// what was said last; dpkg refuses a `File` that has a line twice.
fn interests(text: &str) -> Vec<(&str, bool)> {
    let mut interests: Vec<(&str, bool)> = Vec::new();
    let mut known = HashMap::new();
    for directive in directives(text).filter(|directive| directive.interest) {
        let at = *known.entry(directive.trigger).or_insert(interests.len());
        match interests.get_mut(at) {
            Some(interest) => interest.1 = directive.noawait,
            None => interests.push((directive.trigger, directive.noawait)),
        }
    }
    interests
}

/// Triggers and who awaits them (`-`: nobody), in the order of their first activation.
#[derive(Default)]
struct Activations {
    triggers: Vec<(Vec<u8>, Vec<String>)>,
    index: HashMap<Vec<u8>, usize>,
}

impl Activations {
    fn add(&mut self, trigger: &[u8], awaiter: &str) {
        let at = *self.index.entry(trigger.to_vec()).or_insert(self.triggers.len());
        if at == self.triggers.len() {
            self.triggers.push((trigger.to_vec(), Vec::new()));
        }
        // The latest comes first, as dpkg-trigger puts it.
        if let Some((_, awaiters)) = self.triggers.get_mut(at)
            && awaiters.first().is_none_or(|latest| latest != awaiter)
        {
            awaiters.retain(|known| known != awaiter);
            awaiters.insert(0, awaiter.to_owned());
        }
    }

    /// The text of `Unincorp` that said `waiting` until now.
    fn after(mut self, waiting: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        for line in waiting.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
            let mut words = line.split(|&b| b == b' ');
            let trigger = words.next().unwrap_or_default();
            let new = self.index.get(trigger).and_then(|&at| self.triggers.get_mut(at));
            let new = new.map(|(_, awaiters)| std::mem::take(awaiters)).unwrap_or_default();
            let old = words.filter(|word| new.iter().all(|new| new.as_bytes() != *word));
            push_line(&mut text, trigger, new.iter().map(String::as_bytes).chain(old));
        }
        // dpkg puts each line it reads before those it has read: the newest first comes out in order of activation.
        for (trigger, awaiters) in self.triggers.iter().rev().filter(|(_, awaiters)| !awaiters.is_empty()) {
            push_line(&mut text, trigger, awaiters.iter().map(String::as_bytes));
        }
        text
    }
}

fn push_line<'a>(text: &mut Vec<u8>, trigger: &[u8], awaiters: impl Iterator<Item = &'a [u8]>) {
    text.extend_from_slice(trigger);
    for awaiter in awaiters {
        text.push(b' ');
        text.extend_from_slice(awaiter);
    }
    text.push(b'\n');
}
