//! The ordinary user that a vendor's container images have, made by the target's own useradd.

use crate::error::Error;
use crate::install::BuildContext;
use crate::install::output::report_line;
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
    let mut words = vec!["useradd", "--create-home", "--user-group", "--uid", &uid, "--comment", &account.comment];
    words.extend(["--shell", &account.shell]);
    if !groups.is_empty() {
        words.extend(["--groups", &groups]);
    }
    words.push(&account.name);
    let exit = sandbox.run(&words, &[], &mut |line| report_line(context.report, line))?;
    Ok(exit.check(|| format!("add the user {}", account.name))?)
}

/// Returns whether a line of a file in /etc begins with this name.
fn has_name(root: &Root, file: &str, name: &str) -> Result<bool, Error> {
    let text = root.read(format!("etc/{file}").as_bytes())?.unwrap_or_default();
    Ok(text.split(|&b| b == b'\n').any(|line| line.split(|&b| b == b':').next() == Some(name.as_bytes())))
}
