//! What the linters and schemas of the engines say.

use crate::project::{ci, python_program};
use rootstrap_tests::need;
use std::process::Command;

fn check(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(python_program(program)?).args(arguments).current_dir(ci("")).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&said));
    Ok(())
}

#[test]
fn the_workflow_of_github_is_right() {
    need!(check("actionlint", &["github/nightly.yml"]));
    need!(check("zizmor", &["--offline", "github/nightly.yml", "github/rootstrap/action.yml"]));
    need!(check("check-jsonschema", &["--builtin-schema", "vendor.github-workflows", "github/nightly.yml"]));
    need!(check("check-jsonschema", &["--builtin-schema", "vendor.github-actions", "github/rootstrap/action.yml"]));
}

#[test]
fn the_template_of_gitlab_is_right() {
    let schema = ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"];
    need!(check("check-jsonschema", &[&schema[..], &["gitlab/rootstrap.gitlab-ci.yml"]].concat()));
}

#[test]
fn the_job_of_kubernetes_is_right() {
    need!(check("kubernetes-validate", &["--strict", "kubernetes/nightly.yaml"]));
}

#[test]
fn the_recipe_of_renovate_is_right() {
    need!(check("check-jsonschema", &["--builtin-schema", "vendor.renovate", "renovate/renovate.json"]));
}
