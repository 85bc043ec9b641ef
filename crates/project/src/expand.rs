//! The images that the entries of a manifest stand for: what they inherit, and the combinations of a matrix.

use crate::error::Error;
use crate::image::{Image, Key, Kind, Setting};
use crate::manifest::{Alternatives, Entry, INHERITED, Manifest, check_name};
use std::collections::BTreeMap;

/// How many images one manifest may stand for.
const MOST: usize = 100_000;

/// Options whose values are commands: braces in them belong to the shell.
const COMMANDS: [&str; 3] = ["hook", "cmd", "entrypoint"];

/// Returns all images, as they stand in the manifest; those of a matrix in the order of its lists.
pub(crate) fn expand(manifest: &Manifest, keys: &[Key], native: &str) -> Result<Vec<Image>, Error> {
    let mut images: Vec<Image> = Vec::new();
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for entry in &manifest.images {
        for image in combinations(manifest, entry, keys, native)? {
            if let Some(line) = lines.insert(image.name.clone(), image.line) {
                let reason = format!("two images have the name `{}`; the other is of line {line}", image.name);
                let hint = "name those of a matrix by all that they differ in: name = \"web-{suite}-{arch}\"";
                return Err(Error::new(image.line, reason).with_hint(hint));
            }
            images.push(image);
        }
        if images.len() > MOST {
            return Err(Error::new(entry.line, format!("these are more than {MOST} images")));
        }
    }
    Ok(images)
}

fn combinations(manifest: &Manifest, entry: &Entry, keys: &[Key], native: &str) -> Result<Vec<Image>, Error> {
    let inherited = inherited(manifest, entry, keys)?;
    let mut all: Vec<Vec<Setting>> = vec![Vec::new()];
    for Alternatives { key, line, values } in &entry.matrix {
        if all.len().saturating_mul(values.len()) > MOST {
            return Err(Error::new(*line, format!("these are more than {MOST} images")));
        }
        let with = |chosen: &Vec<Setting>, values: &Vec<String>| {
            let setting = Setting { key: key.clone(), values: values.clone(), line: *line };
            chosen.iter().cloned().chain([setting]).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(|chosen| values.iter().map(move |values| with(chosen, values))).collect();
    }
    all.iter().map(|chosen| image(entry, chosen, &inherited, keys, native)).collect()
}

/// Returns the image of one combination.
fn image(entry: &Entry, chosen: &[Setting], inherited: &[Setting], keys: &[Key], native: &str) -> Result<Image, Error> {
    let mut settings = inherited.to_vec();
    add(&mut settings, chosen, keys);
    let of = |key: &str| settings.iter().find(|setting| setting.key == key).map(|setting| setting.values.join("-"));
    let mut words: Vec<(String, String)> = vec![
        ("suite".to_owned(), of("suite").unwrap_or_default()),
        ("arch".to_owned(), of("arch").unwrap_or_else(|| native.to_owned())),
        ("variant".to_owned(), of("variant").unwrap_or_else(|| "minbase".to_owned())),
    ];
    for setting in chosen {
        if !words.iter().any(|(word, _)| *word == setting.key) {
            words.push((setting.key.clone(), shown(setting)));
        }
    }
    let name = match &entry.names {
        Some((pattern, _)) => fill(pattern, &words),
        None => {
            let parts = chosen.iter().map(shown).filter(|part| !part.is_empty());
            std::iter::once(entry.name.clone()).chain(parts).collect::<Vec<_>>().join("-")
        }
    };
    let line = entry.names.as_ref().map_or(entry.line, |(_, line)| *line);
    check_name(&name, line)?;
    words.push(("name".to_owned(), name.clone()));
    for setting in settings.iter_mut().filter(|setting| !COMMANDS.contains(&setting.key.as_str())) {
        setting.values.iter_mut().for_each(|value| *value = fill(value, &words));
    }
    if settings.iter().find(|setting| setting.key == "suite").is_none_or(|suite| suite.values.concat().is_empty()) {
        return Err(Error::new(entry.line, format!("the image `{name}` has no suite"))
            .with_hint("name one there, or in [defaults]: suite = \"CODENAME\""));
    }
    Ok(Image { name, line: entry.line, settings })
}

/// Returns the values of one alternative of a matrix as a part of a name.
fn shown(setting: &Setting) -> String {
    let own: Vec<&str> = setting.values.iter().map(String::as_str).filter(|value| *value != INHERITED).collect();
    own.join("-")
}

/// Puts values in the place of their names in braces. Other braces stay.
fn fill(text: &str, words: &[(String, String)]) -> String {
    words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(&format!("{{{word}}}"), value))
}

/// Returns the options of an entry with those of the images that it extends, and with the defaults.
fn inherited(manifest: &Manifest, entry: &Entry, keys: &[Key]) -> Result<Vec<Setting>, Error> {
    let mut chain: Vec<&Entry> = vec![entry];
    while let Some((name, line)) = chain.last().and_then(|entry| entry.extends.as_ref()) {
        let Some(base) = manifest.images.iter().find(|known| known.name == *name) else {
            return Err(Error::new(*line, format!("there is no image `{name}` to extend")));
        };
        if chain.iter().any(|known| known.name == base.name) {
            let names: Vec<&str> = chain.iter().map(|entry| entry.name.as_str()).chain([name.as_str()]).collect();
            return Err(Error::new(*line, format!("an image extends itself: {}", names.join(" -> "))));
        }
        chain.push(base);
    }
    let mut settings = manifest.defaults.clone();
    for entry in chain.into_iter().rev() {
        add(&mut settings, &entry.settings, keys);
    }
    Ok(settings)
}

/// Puts options in the place of those with the same name. In a list, [`INHERITED`] stands for the values that were there; pairs with other
/// keys stay.
fn add(settings: &mut Vec<Setting>, new: &[Setting], keys: &[Key]) {
    for setting in new {
        let old = settings.iter().position(|known| known.key == setting.key).map(|at| settings.remove(at).values);
        let old = old.unwrap_or_default();
        let kind = keys.iter().find(|key| key.name == setting.key).map(|key| key.kind);
        let values = match kind {
            Some(Kind::Many) => {
                let value = |value: &String| match value.as_str() {
                    INHERITED => old.clone(),
                    _ => vec![value.clone()],
                };
                setting.values.iter().flat_map(value).collect()
            }
            Some(Kind::Pairs) => {
                let key = |pair: &String| pair.split('=').next().unwrap_or_default().to_owned();
                let own: Vec<String> = setting.values.iter().map(key).collect();
                let kept = old.into_iter().filter(|pair| !own.contains(&key(pair)));
                kept.chain(setting.values.iter().cloned()).collect()
            }
            _ => setting.values.clone(),
        };
        settings.push(Setting { values, ..setting.clone() });
    }
}
