//! Triggers of packages that are unpacked without dpkg (deb-triggers(5), dpkg `doc/triggers.txt`, `lib/dpkg/triglib.c`).
//!
//! dpkg stores interests in `triggers/File` (paths) and in one file per named trigger. When it starts, it reads from
//! `triggers/Unincorp` the activations that happened without it.

use crate::control::Control;
use crate::error::Error;
use rootstrap_rootfs::Root;
use std::collections::{BTreeMap, HashMap, HashSet};

const DIRECTORY: &str = "var/lib/dpkg/triggers";

/// One line of a `triggers` control file.
struct Directive<'a> {
    is_interest: bool,
    is_noawait: bool,
    trigger: &'a str,
}

/// Parses the text of a `triggers` control file. Lines with unknown directives or impossible names are left out.
fn directives(text: &str) -> impl Iterator<Item = Directive<'_>> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (verb, trigger) = (words.next()?, words.next()?);
        let (is_interest, is_noawait) = match verb {
            "interest" | "interest-await" => (true, false),
            "interest-noawait" => (true, true),
            "activate" | "activate-await" => (false, false),
            "activate-noawait" => (false, true),
            _ => return None,
        };
        is_trigger_name(trigger).then_some(Directive { is_interest, is_noawait, trigger })
    })
}

/// Whether `name` is a path or has the form of a package name. A name that is no path becomes the name of a file beside dpkg's
/// own files (`triglib.c:trig_classify_byname`).
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

/// Registers the interests of `packages`, and records the triggers that unpacking them activated.
///
/// Each package comes with the paths that it touched. All activations are written: dpkg drops those whose listeners are not
/// configured yet (`triglib.c:trig_record_activation`).
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
        for directive in directives(text).filter(|directive| !directive.is_interest) {
            // No package awaits these yet: dpkg activates them again, with their awaiter, when it configures the package.
            activations.add(directive.trigger.as_bytes(), "-");
        }
        for path in touched.iter().filter(|path| watched.contains(path.as_slice())) {
            // If the interest is noawait, dpkg ignores the awaiter.
            activations.add(path, &package);
        }
        for (trigger, is_noawait) in interests(text) {
            let suffix = if is_noawait { "/noawait" } else { "" };
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

/// Whether the package is interested in any trigger, so that dpkg may run its postinst for a trigger.
pub fn is_interested(control: &Control) -> bool {
    directives(&text(control)).any(|directive| directive.is_interest)
}

/// The text of the `triggers` control file; empty if there is none.
fn text(control: &Control) -> String {
    let member = control.member("triggers");
    member.map(|member| String::from_utf8_lossy(&member.contents).into_owned()).unwrap_or_default()
}

/// The triggers in which a package is interested, each with whether the interest is noawait. A trigger that is named twice
/// counts once, as its last line says, because dpkg refuses a `File` that has the same line twice.
fn interests(text: &str) -> Vec<(&str, bool)> {
    let mut interests: Vec<(&str, bool)> = Vec::new();
    let mut known = HashMap::new();
    for directive in directives(text).filter(|directive| directive.is_interest) {
        let at = *known.entry(directive.trigger).or_insert(interests.len());
        match interests.get_mut(at) {
            Some(interest) => interest.1 = directive.is_noawait,
            None => interests.push((directive.trigger, directive.is_noawait)),
        }
    }
    interests
}

/// The activated triggers and the packages that await them (`-` stands for none), in the order of their first activation.
#[derive(Default)]
struct Activations {
    triggers: Vec<(Vec<u8>, Vec<String>)>,
    index: HashMap<Vec<u8>, usize>,
}

impl Activations {
    /// Records that `awaiter` awaits `trigger`.
    fn add(&mut self, trigger: &[u8], awaiter: &str) {
        let at = *self.index.entry(trigger.to_vec()).or_insert(self.triggers.len());
        if at == self.triggers.len() {
            self.triggers.push((trigger.to_vec(), Vec::new()));
        }
        // The latest awaiter comes first, as with dpkg-trigger.
        if let Some((_, awaiters)) = self.triggers.get_mut(at)
            && awaiters.first().is_none_or(|latest| latest != awaiter)
        {
            awaiters.retain(|known| known != awaiter);
            awaiters.insert(0, awaiter.to_owned());
        }
    }

    /// The new text of `Unincorp`, whose text is `waiting` until now.
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
        // dpkg puts each line that it reads before the lines that it has read. So the newest line must come first, to give the
        // order of activation.
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
