//! Two images that would write to one place.

use crate::error::Error;
use crate::image::Image;
use std::collections::BTreeMap;

/// The options that name what is written, each with what it is called.
const PLACES: [(&str, &str); 4] = [("target", "target"), ("push", "name"), ("tag", "tag"), ("sbom", "file")];

/// Refuses two images with one target, name in a registry, tag, or file beside the result.
pub(crate) fn check(images: &[Image]) -> Result<(), Error> {
    for (key, what) in PLACES {
        let mut taken: BTreeMap<String, &Image> = BTreeMap::new();
        for image in images {
            let Some(setting) = image.setting(key) else { continue };
            for value in &setting.values {
                let Some(other) = taken.insert(place(key, value), image) else { continue };
                if other.name == image.name {
                    continue;
                }
                let names = format!("`{}` and `{}`", other.name, image.name);
                let error = Error::new(setting.line, format!("the images {names} have one {what}: {value}"));
                let hint = format!("let it have what they differ in, as in {key} = \"…{{name}}…\"");
                return Err(error.with_hint(hint));
            }
        }
    }
    Ok(())
}

/// Returns one form of what means one place.
fn place(key: &str, value: &str) -> String {
    match key {
        "push" | "tag" => {
            let has_tag = value.rsplit('/').next().is_some_and(|last| last.contains(':'));
            if has_tag { value.to_owned() } else { format!("{value}:latest") }
        }
        _ => {
            let path: std::path::PathBuf = std::path::Path::new(value).components().collect();
            path.to_string_lossy().into_owned()
        }
    }
}
