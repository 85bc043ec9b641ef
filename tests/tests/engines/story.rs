//! The night that docs/rebuilds.md tells, line by line.

use crate::project::{Project, ci, succeeds};
use rootstrap_tests::need;
use std::fs;

const SECTION: &str = "## A night: from an empty repository to a pull request";

/// Returns the commands of the section, block by block.
fn blocks() -> Vec<String> {
    let text = fs::read_to_string(ci("../docs/rebuilds.md")).unwrap();
    let (_, section) = text.split_once(SECTION).unwrap();
    let blocks = section.split("```sh\n").skip(1).map(|rest| rest.split_once("```").unwrap().0.to_owned());
    blocks.collect()
}

#[test]
fn every_command_of_the_story_works() {
    let project = need!(Project::new());
    let port = project.registry.port;
    let defaults = format!(
        "[defaults]\nvariant = \"extract\"\narch = \"amd64\"\npockets = \"release\"\nmirror = \"{}\"\nkeyring = \"{}\"",
        project.world.server.url(),
        project.world.path("key.pgp").display()
    );
    let blocks = blocks();
    assert_eq!(blocks.len(), 4);
    for (number, block) in blocks.iter().enumerate() {
        let block =
            block.replace("[defaults]", &defaults).replace("registry.example.com/", &format!("127.0.0.1:{port}/"));
        let enter = if number == 0 { "" } else { "cd images\n" };
        let mut command = project.command("sh");
        command.env("GIT_AUTHOR_NAME", "t").env("GIT_AUTHOR_EMAIL", "t@localhost");
        command.env("GIT_COMMITTER_NAME", "t").env("GIT_COMMITTER_EMAIL", "t@localhost");
        let said = succeeds(&command.args(["-euxc", &format!("{enter}{block}")]).output().unwrap());
        let rows = |state: &str| said.lines().filter(|line| line.contains(&format!(" {state} "))).count();
        match number {
            0 => assert_eq!(rows("built"), 3, "{said}"),
            1 => {
                assert_eq!(rows("unchanged"), 3, "{said}");
                project.move_archive();
            }
            // nginx and curl are new.
            2 => assert_eq!((rows("built"), rows("unchanged")), (2, 1), "{said}"),
            _ => {
                assert_eq!(rows("built"), 0, "{said}");
                assert_eq!(project.states("images/report.json"), ["unchanged"; 3]);
            }
        }
    }
    let changes = fs::read_to_string(project.directory.join("images/changes.md")).unwrap();
    assert!(changes.contains("| nginx | upgraded | 1.0 | 1.1 |"), "{changes}");
}
