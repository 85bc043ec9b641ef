//! What the scripts of Java packages would do: trust for the JVM, and its commands.
//!
//! Both follow from what the packages ship: links that lead to a keystore which is not there, and lists of commands
//! (`/usr/lib/jvm/.NAME.jinfo`, which `update-java-alternatives` reads). So any version of Java will do.

use crate::Error;
use crate::distroless::{Certificate, link};
use rootstrap_image::keystore;
use rootstrap_rootfs::{Kind, Root};

/// Where JVMs are.
const JVMS: &str = "usr/lib/jvm";
/// Where a JVM, before and since version 9, has the link to the certificates it trusts.
const KEYSTORES: [&str; 2] = ["jre/lib/security/cacerts", "lib/security/cacerts"];
/// The kinds of commands in a list; other lines are about browsers.
const KINDS: [&str; 4] = ["hl", "jre", "jdk", "jdkhl"];

/// Writes the keystore that the JVMs of the tree look for, if there is one.
pub(crate) fn trust(root: &Root, certificates: &[Certificate], epoch: i64) -> Result<(), Error> {
    for jvm in root.list(JVMS.as_bytes())? {
        for inside in KEYSTORES {
            let path = [JVMS.as_bytes(), b"/", &jvm, b"/", inside.as_bytes()].concat();
            let is_link = root.metadata(&path)?.is_some_and(|found| found.kind == Kind::Symlink);
            if !is_link || root.leads_somewhere(&path)? {
                continue;
            }
            let target = root.at(&path)?.link_target()?;
            let Some(slash) = target.iter().rposition(|&b| b == b'/').filter(|_| target.starts_with(b"/")) else {
                continue;
            };
            let entries: Vec<(String, Vec<u8>)> = certificates
                .iter()
                .filter_map(|certificate| Some((alias(&certificate.name), certificate.der()?)))
                .collect();
            root.create_directories(target.get(..slash).unwrap_or_default(), 0o755)?;
            root.write(&target, &keystore::encode(&entries, epoch), 0o644)?;
        }
    }
    Ok(())
}

/// The alias of a certificate: update-ca-certificates makes the name of a link of it, ca-certificates-java adds whose it is.
fn alias(name: &str) -> String {
    let name = name.replace([' ', ','], "_").replace(['(', ')'], "=");
    format!("debian:{name}.pem")
}

/// A list of commands.
struct List {
    priority: i64,
    /// Names and what they stand for.
    commands: Vec<(String, String)>,
}

/// Links the commands of the JVM with the highest priority into /usr/bin, and those that only others have.
pub(crate) fn commands(root: &Root, epoch: i64) -> Result<(), Error> {
    let mut lists = Vec::new();
    for name in root.list(JVMS.as_bytes())? {
        if name.starts_with(b".") && name.ends_with(b".jinfo") {
            let text = root.read(&[JVMS.as_bytes(), b"/", &name].concat())?.unwrap_or_default();
            lists.push(parse(&String::from_utf8_lossy(&text)));
        }
    }
    // Stable: of lists alike the first by name.
    lists.sort_by_key(|list| std::cmp::Reverse(list.priority));
    for (name, target) in lists.iter().flat_map(|list| &list.commands) {
        if root.leads_somewhere(target.as_bytes())? {
            link(root, &format!("usr/bin/{name}"), target.as_bytes(), epoch)?;
        }
    }
    Ok(())
}

fn parse(text: &str) -> List {
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
    List { priority: priority.unwrap_or_default(), commands: commands.collect() }
}

fn is_command(name: &str) -> bool {
    !name.starts_with('.') && !name.contains('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_name_commands() {
        let list = parse(
            "name=x\npriority=2111\n\nhl java /j/bin/java\njdkhl jar /j/bin/jar\nplugin p.so /j/p.so\nhl ../x /j/x\nhl .. /j/x\nhl y j/y\n",
        );
        assert_eq!(list.priority, 2111);
        let pair = |name: &str, target: &str| (name.to_owned(), target.to_owned());
        assert_eq!(list.commands, [pair("java", "/j/bin/java"), pair("jar", "/j/bin/jar")]);
        assert_eq!(parse("").priority, 0);
    }

    #[test]
    fn aliases_are_those_of_links() {
        assert_eq!(alias("Some CA (2011), Inc"), "debian:Some_CA_=2011=__Inc.pem");
    }
}
