//! What the program is made of, as CycloneDX.

use super::program::target;
use super::release::Release;
use crate::oracle::build::output;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Returns the crates that get into the program, with versions, licenses and who needs whom.
pub fn of(top: &Path, release: &Release) -> Result<Vec<u8>, String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let target = target()?;
    command.args(["metadata", "--format-version=1", "--locked", "--filter-platform", &target]).current_dir(top);
    let metadata: Value = serde_json::from_str(&output(&mut command)?).map_err(|error| error.to_string())?;
    let all = |key: &str| metadata.pointer(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let (packages, nodes) = (all("/packages"), all("/resolve/nodes"));
    let root = packages.iter().find(|package| text(package, "name") == "rootstrap").ok_or("no package rootstrap")?;
    let (mut seen, mut waiting) = (BTreeSet::new(), vec![text(root, "id")]);
    while let Some(id) = waiting.pop() {
        if seen.insert(id.clone()) {
            waiting.extend(needs(&nodes, &id));
        }
    }
    let named = |id: &str| packages.iter().find(|package| text(package, "id") == id);
    let (mut components, mut dependencies) = (Vec::new(), Vec::new());
    for id in &seen {
        let package = named(id).ok_or_else(|| format!("cargo names no package {id}"))?;
        let on: BTreeSet<String> = needs(&nodes, id).iter().filter_map(|id| named(id)).map(reference).collect();
        dependencies.push(json!({ "ref": reference(package), "dependsOn": on }));
        if *id != text(root, "id") {
            components.push(component(package, "library", &text(package, "version")));
        }
    }
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": { "component": component(root, "application", &release.version) },
        "components": components,
        "dependencies": dependencies,
    });
    let text = serde_json::to_string_pretty(&document).map_err(|error| error.to_string())?;
    Ok((text + "\n").into_bytes())
}

/// Returns the packages that a package of cargo's graph contains: neither what builds nor what tests it.
fn needs(nodes: &[Value], id: &str) -> BTreeSet<String> {
    let node = nodes.iter().find(|node| text(node, "id") == id);
    let is_normal = |dependency: &&Value| {
        let kinds = dependency.get("dep_kinds").and_then(Value::as_array);
        kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind.get("kind").is_some_and(Value::is_null)))
    };
    let of = node.and_then(|node| node.get("deps")?.as_array()).into_iter().flatten();
    of.filter(is_normal).map(|dependency| text(dependency, "pkg")).collect()
}

fn component(package: &Value, kind: &str, version: &str) -> Value {
    json!({
        "type": kind,
        "bom-ref": reference(package),
        "name": text(package, "name"),
        "version": version,
        "purl": reference(package),
        "licenses": [{ "expression": text(package, "license").replace('/', " OR ") }],
    })
}

/// Returns the package URL of a crate.
fn reference(package: &Value) -> String {
    format!("pkg:cargo/{}@{}", text(package, "name"), text(package, "version"))
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}
