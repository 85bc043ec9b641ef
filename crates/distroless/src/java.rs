//! The files that the scripts of Java packages make: the keystore with the certificates that a JVM trusts, and links to its
//! commands.
//!
//! Both follow from files that the packages ship: links to a keystore that does not exist yet, and lists of commands
//! (`/usr/lib/jvm/.NAME.jinfo`, which `update-java-alternatives` reads). Therefore this works for every version of Java.

use crate::certificates::Certificate;
use crate::error::{Result, go_on};
use crate::keystore;
use crate::link::link;
use rootstrap_rootfs::{Kind, Root, path};
use std::sync::atomic::AtomicBool;

/// The directory of JVMs.
const JVMS: &str = "usr/lib/jvm";
/// The paths, below a JVM, of the link to the keystore: before version 9 and since.
const KEYSTORES: [&str; 2] = ["jre/lib/security/cacerts", "lib/security/cacerts"];
/// The kinds of commands in a list. Lines of other kinds are about browsers.
const KINDS: [&str; 4] = ["hl", "jre", "jdk", "jdkhl"];

/// Writes the missing keystores to which the JVMs of the tree have links.
pub(crate) fn write_keystores(
    root: &Root,
    certificates: &[Certificate],
    epoch: i64,
    cancel: &AtomicBool,
) -> Result<()> {
    for jvm in root.list(JVMS.as_bytes())? {
        go_on(cancel)?;
        for inside in KEYSTORES {
            let link = [JVMS.as_bytes(), b"/", &jvm, b"/", inside.as_bytes()].concat();
            let is_link = root.metadata(&link)?.is_some_and(|found| found.kind == Kind::Symlink);
            if !is_link || root.leads_somewhere(&link)? {
                continue;
            }
            let target = root.at(&link)?.link_target()?;
            if !target.starts_with(b"/") {
                continue;
            }
            let entries: Vec<(String, Vec<u8>)> = certificates
                .iter()
                .filter_map(|certificate| Some((alias(&certificate.name), certificate.der()?)))
                .collect();
            root.create_directories(path::parent(&target), 0o755)?;
            root.write(&target, &keystore::encode(&entries, epoch), 0o644)?;
        }
    }
    Ok(())
}

/// Returns the alias of a certificate. update-ca-certificates replaces these characters in the name of its link, and
/// ca-certificates-java adds the prefix of the vendor.
fn alias(name: &str) -> String {
    let name = name.replace([' ', ','], "_").replace(['(', ')'], "=");
    format!("debian:{name}.pem")
}

/// The commands of one JVM.
struct CommandList {
    priority: i64,
    /// Pairs of the name of a command and the path of its program.
    commands: Vec<(String, String)>,
}

/// Links the commands of all JVMs into /usr/bin. If several JVMs have a command, the one with the highest priority provides it.
pub(crate) fn link_commands(root: &Root, epoch: i64, cancel: &AtomicBool) -> Result<()> {
    let mut lists = Vec::new();
    for name in root.list(JVMS.as_bytes())? {
        go_on(cancel)?;
        if name.starts_with(b".") && name.ends_with(b".jinfo") {
            let text = root.read(&[JVMS.as_bytes(), b"/", &name].concat())?.unwrap_or_default();
            lists.push(parse(&String::from_utf8_lossy(&text)));
        }
    }
    // The sort is stable: lists with equal priority stay in the order of their names.
    lists.sort_by_key(|list| std::cmp::Reverse(list.priority));
    for (name, target) in lists.iter().flat_map(|list| &list.commands) {
        go_on(cancel)?;
        if root.leads_somewhere(target.as_bytes())? {
            link(root, &format!("usr/bin/{name}"), target.as_bytes(), epoch)?;
        }
    }
    Ok(())
}

fn parse(text: &str) -> CommandList {
    let priority = text.lines().find_map(|line| line.strip_prefix("priority=")?.trim().parse().ok());
    let commands = text.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words[..] {
            [kind, name, target] if KINDS.contains(&kind) && is_command(name) && target.starts_with('/') => {
                Some((name.to_owned(), target.to_owned()))
            }
            _ => None,
        }
    });
    CommandList { priority: priority.unwrap_or_default(), commands: commands.collect() }
}

fn is_command(name: &str) -> bool {
    !name.starts_with('.') && !name.contains('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lists_are_parsed() {
        let list = parse(
            "name=x\npriority=2111\n\nhl java /j/bin/java\njdkhl jar /j/bin/jar\nplugin p.so /j/p.so\nhl ../x /j/x\nhl .. /j/x\nhl y j/y\n",
        );
        assert_eq!(list.priority, 2111);
        let pair = |name: &str, target: &str| (name.to_owned(), target.to_owned());
        assert_eq!(list.commands, [pair("java", "/j/bin/java"), pair("jar", "/j/bin/jar")]);
        assert_eq!(parse("").priority, 0);
    }

    #[test]
    fn aliases_are_named_after_links() {
        assert_eq!(alias("Some CA (2011), Inc"), "debian:Some_CA_=2011=__Inc.pem");
    }
}
