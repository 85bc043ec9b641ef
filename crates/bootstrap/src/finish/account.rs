//! Ordinary users, made by the target's own useradd: the one that a vendor's container images have, and those that are asked for.

use crate::error::Error;
use crate::install::BuildContext;
use crate::install::output::report_line;
use crate::request::NewUser;
use rootstrap_configure::Sandbox;
use rootstrap_rootfs::Root;

/// Adds the user of the suite's container images, if the suite has one and the target has useradd. The day in /etc/shadow is that of the
/// epoch, because every useradd of these suites reads `SOURCE_DATE_EPOCH`.
pub(crate) fn create(context: &BuildContext<'_>, sandbox: &mut Sandbox) -> Result<(), Error> {
    let Some(account) = context.suite.account() else { return Ok(()) };
    if !context.root.leads_somewhere(b"usr/sbin/useradd")? || has_name(context.root, "passwd", &account.name)? {
        return Ok(());
    }
    let mut groups = Vec::new();
    for group in &account.groups {
        if has_name(context.root, "group", group)? {
            groups.push(group.as_str());
        }
    }
    let (uid, groups) = (account.uid.to_string(), groups.join(","));
    let mut words = vec!["--uid", &uid, "--comment", &account.comment, "--shell", &account.shell];
    if !groups.is_empty() {
        words.extend(["--groups", &groups]);
    }
    useradd(context, sandbox, &account.name, &words)
}

/// Adds a user that the user of this program asks for.
///
/// # Errors
/// The root has no useradd or already has the user, or useradd fails.
pub(crate) fn add(context: &BuildContext<'_>, sandbox: &mut Sandbox, user: &NewUser) -> Result<(), Error> {
    let refuse = |reason: String, hint| Err(Error::Combination { option: "--add-user".to_owned(), reason, hint });
    if !context.root.leads_somewhere(b"usr/sbin/useradd")? {
        return refuse("the root has no useradd".to_owned(), "add --include=passwd");
    }
    if has_name(context.root, "passwd", &user.name)? {
        return refuse(format!("the root has a user {} already", user.name), "name another one");
    }
    let uid = user.uid.map(|uid| uid.to_string());
    let bash = if context.root.leads_somewhere(b"bin/bash")? { "/bin/bash" } else { "/bin/sh" };
    let mut words = vec!["--shell", user.shell.as_deref().unwrap_or(bash)];
    words.extend(uid.iter().flat_map(|uid| ["--uid", uid]));
    useradd(context, sandbox, &user.name, &words)
}

/// Runs useradd, with a group and a home directory for the user.
fn useradd(context: &BuildContext<'_>, sandbox: &mut Sandbox, name: &str, options: &[&str]) -> Result<(), Error> {
    let words = [&["useradd", "--create-home", "--user-group"], options, &[name]].concat();
    let exit = sandbox.run(&words, &[], &mut |line| report_line(context.report, line))?;
    Ok(exit.check(|| format!("add the user {name}"))?)
}

/// Returns whether a line of a file in /etc begins with this name.
fn has_name(root: &Root, file: &str, name: &str) -> Result<bool, Error> {
    let text = root.read(format!("etc/{file}").as_bytes())?.unwrap_or_default();
    Ok(text.split(|&b| b == b'\n').any(|line| line.split(|&b| b == b':').next() == Some(name.as_bytes())))
}
