//! What the linters and schemas of the engines say.

use crate::project::{IMAGES, Project, ci, python_program, succeeds};
use rootstrap_testkit::archive::Archive;
use rootstrap_testkit::deb::Deb;
use rootstrap_tests::world::{KEY, World};
use rootstrap_tests::{machine, need};
use std::fs;
use std::path::Path;
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

/// What programs read of ours is as docs/ promises it.
#[test]
fn plans_and_reports_are_as_their_schemas_say() {
    need!(python_program("check-jsonschema"));
    need!(machine::builder());
    let key = &KEY;
    let deb = Deb::new("base-files", "1.0").field("Priority", "required").file("/etc/motd", 0o644, "hello\n");
    let world = World::new(&Archive::new("fixture").key(key).debs([deb]));
    let (plan, report) = (world.path("plan.json"), world.path("report.json"));
    let of_plan =
        world.run(&["--print-plan=json", "--arch=amd64", "--variant=custom", "--include=base-files"]).expect(0);
    fs::write(&plan, of_plan.stdout).unwrap();
    let validate = |schema: &str, document: &Path| {
        let schema = format!("../docs/{schema}");
        check("check-jsonschema", &["--schemafile", &schema, document.to_str().unwrap()]).unwrap();
    };
    validate("plan.schema.json", &plan);
    let image = [
        &world.target("x.oci.tar"),
        "--arch=amd64",
        "--variant=extract",
        "--include=base-files",
        "--metadata-file=report.json",
    ];
    world.run(&image).expect(0);
    validate("report.schema.json", &report);
    world.run(&[&image[..], &["--include=none"]].concat()).expect(1);
    validate("report.schema.json", &report);
}

/// Renovate's own library finds the packages of a lock with the query of the recipe.
#[test]
fn the_recipe_of_renovate_finds_packages() {
    let python = need!(python_program("python"));
    let has_library = || {
        let found = Command::new("node").args(["-e", "require('jsonata')"]).output();
        let is_there = found.is_ok_and(|found| found.status.success());
        if is_there { Ok(()) } else { Err("jsonata is not installed".to_owned()) }
    };
    need!(has_library());
    let project = need!(Project::new());
    succeeds(&project.command("rootstrap").args(["lock", "--all", "--quiet"]).output().unwrap());
    let program = "import json, sys, tomllib; json.dump([json.load(open(sys.argv[1]))['customManagers'][0]['matchStrings'][0], \
                   tomllib.load(open(sys.argv[2], 'rb'))], sys.stdout)";
    let lock = project.directory.join("locks").join(format!("team-p{IMAGES}.lock"));
    let both = Command::new(python).args(["-c", program]).arg(ci("renovate/renovate.json")).arg(lock).output().unwrap();
    fs::write(project.world.path("both.json"), &both.stdout).unwrap();
    let program = "const [query, lock] = JSON.parse(require('fs').readFileSync(process.argv[1])); \
                   require('jsonata')(query).evaluate(lock).then(found => console.log(JSON.stringify(found)))";
    let found = Command::new("node").args(["-e", program]).arg(project.world.path("both.json")).output().unwrap();
    let said = succeeds(&found);
    let url = format!("{}?suite=trixie&components=main&binaryArch=amd64", project.world.server.url());
    let package = |name: &str| {
        format!(
            "{{\"depName\":\"{name}\",\"packageName\":\"{name}\",\"currentValue\":\"1.0\",\"registryUrl\":\"{url}\"}}"
        )
    };
    assert_eq!(said.trim(), format!("[{},{}]", package("base-files"), package(&format!("p{IMAGES}"))));
}
