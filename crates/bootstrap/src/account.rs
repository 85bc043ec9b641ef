//! The ordinary user that a vendor's container images have, made by the target's own useradd.

use crate::Error;
use crate::phases::Site;
use rootstrap_configure::Sandbox;
use rootstrap_rootfs::Root;
use serde::Deserialize;

/// An account as useradd(8) makes it, with a group and a home directory of its own; the fields of passwd(5).
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Account {
    name: String,
    uid: u32,
    comment: String,
    shell: String,
    /// Further groups, of which those count that exist.
    groups: Vec<String>,
}

/// Adds the user if this is an image of a suite whose images have one, and useradd is there. The day in /etc/shadow is
/// that of the epoch: every useradd of these suites asks `SOURCE_DATE_EPOCH` for it.
pub(crate) fn create(site: &Site<'_>, sandbox: &mut Sandbox, line: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let Some(account) = site.suite.account().filter(|_| site.request.image) else { return Ok(()) };
    if !site.root.leads_somewhere(b"usr/sbin/useradd")? || knows(site.root, "passwd", &account.name)? {
        return Ok(());
    }
    let mut groups = Vec::new();
    for group in &account.groups {
        if knows(site.root, "group", group)? {
            groups.push(group.as_str());
        }
    }
    let (uid, groups) = (account.uid.to_string(), groups.join(","));
    let mut words = vec!["useradd", "--create-home", "--user-group", "--uid", &uid, "--comment", &account.comment];
    words.extend(["--shell", &account.shell]);
    if !groups.is_empty() {
        words.extend(["--groups", &groups]);
    }
    words.push(&account.name);
    let exit = sandbox.run(&words, &[], line)?;
    Ok(exit.check(|| format!("add the user {}", account.name))?)
}

/// Whether a file of /etc, with a name at the start of each line, has this one.
fn knows(root: &Root, file: &str, name: &str) -> Result<bool, Error> {
    let text = root.read(format!("etc/{file}").as_bytes())?.unwrap_or_default();
    Ok(text.split(|&b| b == b'\n').any(|line| line.split(|&b| b == b':').next() == Some(name.as_bytes())))
}
