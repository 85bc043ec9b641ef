//! The settings of containers that images have beside their root filesystems: command, environment, user and the like.

use crate::compare::root::ComparedRoot;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// A setting of containers that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingDifference {
    /// Its name, as in the config of an OCI image; `Labels.NAME` for a label.
    pub name: String,
    /// What the first image has; null if it has nothing there.
    pub first: Value,
    /// What the second image has.
    pub second: Value,
}

/// Returns the settings that say something. Some tools write all that they know, most of them empty.
pub(super) fn settings(config: &Value) -> Map<String, Value> {
    let says_nothing = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(values) => values.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    };
    let mut found = Map::new();
    for (name, value) in config.as_object().into_iter().flatten().filter(|(_, value)| !says_nothing(value)) {
        match value {
            Value::Object(parts) => {
                found.extend(parts.iter().map(|(part, value)| (format!("{name}.{part}"), value.clone())));
            }
            _ => {
                found.insert(name.clone(), value.clone());
            }
        }
    }
    found
}

/// Returns the settings that differ, sorted by name; nothing if one of the two is no image.
pub(crate) fn setting_differences(first: &ComparedRoot, second: &ComparedRoot) -> Vec<SettingDifference> {
    let (Some(first), Some(second)) = (&first.settings, &second.settings) else { return Vec::new() };
    let names: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
    let of = |settings: &Map<String, Value>, name: &str| settings.get(name).cloned().unwrap_or_default();
    let difference =
        |name: &String| SettingDifference { name: name.clone(), first: of(first, name), second: of(second, name) };
    names.into_iter().map(difference).filter(|setting| setting.first != setting.second).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_empty_says_nothing() {
        let of_docker = json!({
            "Cmd": ["bash"], "Env": [], "User": "", "Labels": {}, "Entrypoint": null, "ArgsEscaped": false, "Tty": true,
            "ExposedPorts": { "80/tcp": {} }
        });
        assert_eq!(
            Value::Object(settings(&of_docker)),
            json!({ "Cmd": ["bash"], "Tty": true, "ExposedPorts.80/tcp": {} })
        );
        assert!(settings(&Value::Null).is_empty() && settings(&json!([1])).is_empty());
    }
}
