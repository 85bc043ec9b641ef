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
        // The name of an explicit trigger becomes a file name.
        let sound = trigger.starts_with('/') || (!trigger.contains('/') && !trigger.starts_with('.'));
        sound.then_some(Directive { interest, noawait, trigger })
    })
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
    let mut files = root.read(file.as_bytes())?.unwrap_or_default();
    let mut named: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut activated = BTreeMap::new();
    let known = interests(&files);
    for (control, touched) in packages {
        for path in touched.iter() {
            if let Some(&noawait) = known.get(path.as_slice()) {
                activate(&mut activated, &String::from_utf8_lossy(path), control, noawait);
            }
        }
    }
    for (control, _) in packages {
        let Some(member) = control.member("triggers") else { continue };
        let text = String::from_utf8_lossy(&member.contents);
        for directive in directives(&text) {
            if !directive.interest {
                activate(&mut activated, directive.trigger, control, directive.noawait);
                continue;
            }
            let suffix = if directive.noawait { "/noawait" } else { "" };
            let package = control.database_name();
            if directive.trigger.starts_with('/') {
                files.extend_from_slice(format!("{} {package}{suffix}\n", directive.trigger).as_bytes());
            } else {
                let lines = named.entry(directive.trigger.to_owned()).or_default();
                lines.extend_from_slice(format!("{package}{suffix}\n").as_bytes());
            }
        }
    }
    root.write(file.as_bytes(), &files, 0o644)?;
    for (name, lines) in &named {
        let path = format!("{DIRECTORY}/{name}");
        let mut text = root.read(path.as_bytes())?.unwrap_or_default();
        text.extend_from_slice(lines);
        root.write(path.as_bytes(), &text, 0o644)?;
    }
    write_unincorporated(root, &activated)
}

/// `triggers/File` as path to whether every interest in it is noawait.
fn interests(text: &[u8]) -> HashMap<&[u8], bool> {
    let mut interests = HashMap::new();
    for line in text.split(|&b| b == b'\n') {
        if let Some(at) = line.iter().rposition(|&b| b == b' ') {
            let noawait = line.ends_with(b"/noawait");
            interests.entry(&line[..at]).and_modify(|all| *all &= noawait).or_insert(noawait);
        }
    }
    interests
}

fn activate(activated: &mut BTreeMap<String, Vec<String>>, trigger: &str, control: &Control, noawait: bool) {
    let awaiter = if noawait { "-".to_owned() } else { control.database_name() };
    let awaiters = activated.entry(trigger.to_owned()).or_default();
    if !awaiters.contains(&awaiter) {
        awaiters.push(awaiter);
    }
}

fn write_unincorporated(root: &Root, activated: &BTreeMap<String, Vec<String>>) -> Result<(), Error> {
    let path = format!("{DIRECTORY}/Unincorp");
    let mut text = root.read(path.as_bytes())?.unwrap_or_default();
    let known: HashSet<String> =
        String::from_utf8_lossy(&text).lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    for (trigger, awaiters) in activated.iter().filter(|(trigger, _)| !known.contains(trigger.as_str())) {
        text.extend_from_slice(format!("{trigger} {}\n", awaiters.join(" ")).as_bytes());
    }
    root.write(path.as_bytes(), &text, 0o644)?;
    Ok(())
}
