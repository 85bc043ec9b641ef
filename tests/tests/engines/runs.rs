//! GitHub's workflow and GitLab's template, run on this machine.

use crate::project::{IMAGES, Project, has, python_program, succeeds};
use rootstrap_tests::need;
use std::fs;

/// The update job renews the locks and proposes them on a branch, four jobs make the images, and the last one joins their reports.
#[test]
fn gitlab_runs_its_template() {
    need!(has("gitlab-ci-local"));
    let project = need!(Project::new());
    fs::write(project.directory.join(".gitlab-ci.yml"), "include:\n  - local: ci/gitlab/rootstrap.gitlab-ci.yml\n")
        .unwrap();
    project.git(&["add", ".gitlab-ci.yml"]);
    let night = || {
        let mut command = project.command("gitlab-ci-local");
        command.args(["--force-shell-executor", "--no-color", "--variable", "CI_PIPELINE_SOURCE=schedule"]);
        for (name, value) in [
            ("ROOTSTRAP_REMOTE_CACHE", project.store.url()),
            ("ROOTSTRAP_CACHE_DIR", project.cache()),
            ("PUSH_URL", project.world.path("origin.git").display().to_string()),
        ] {
            command.arg("--variable").arg(format!("{name}={value}"));
        }
        succeeds(&command.output().unwrap())
    };
    println!("{}", night());
    assert_eq!(project.states("report.json"), ["built"; IMAGES]);
    project.move_archive();
    println!("{}", night());
    assert_eq!(project.states("report.json"), Project::second_night());
    let proposed = project.git(&[
        "--git-dir",
        project.world.path("origin.git").to_str().unwrap(),
        "log",
        "-1",
        "--format=%B",
        "nightly-images",
    ]);
    assert!(proposed.contains("| p1 | upgraded | 1.0 | 1.1 |"), "{proposed}");
}

/// The update job renews the locks and lists the images, and one job makes each.
#[test]
fn github_runs_its_workflow() {
    let act = need!(python_program("act"));
    let project = need!(Project::new());
    let workflows = project.directory.join(".github/workflows");
    fs::create_dir_all(&workflows).unwrap();
    fs::copy(project.directory.join("ci/github/nightly.yml"), workflows.join("nightly.yml")).unwrap();
    project.git(&["add", "."]);
    let night = || {
        let mut command = project.command(&act);
        command.args(["workflow_dispatch", "--platform", "ubuntu-latest=-self-hosted"]);
        command.args(["--env", &format!("ROOTSTRAP_REMOTE_CACHE={}", project.store.url())]);
        command.args(["--env", &format!("ROOTSTRAP_CACHE_DIR={}", project.cache())]);
        let said = succeeds(&command.output().unwrap());
        println!("{said}");
        // The summary of each job has the table of its image.
        let count = |state: &str| said.lines().filter(|line| line.starts_with("team-") && line.contains(state)).count();
        (count(" built "), count(" unchanged "))
    };
    assert_eq!(night(), (IMAGES, 0));
    project.move_archive();
    assert_eq!(night(), (1, IMAGES - 1));
}
