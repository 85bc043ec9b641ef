//! Lists of packages that changed or would change, as text, JSON and Markdown.

use rootstrap_bootstrap::Update;
use rootstrap_bootstrap::lock_file::Change;
use serde_json::{Value, json};

/// The packages of one root that changed.
#[derive(Clone, Debug)]
pub(crate) struct ChangeList {
    /// What has changed: a lock, an image.
    pub what: String,
    /// The suite.
    pub suite: String,
    /// The architecture of the root.
    pub architecture: String,
    /// The packages.
    pub updates: Vec<Update>,
}

/// Returns one line for each package, without a line end.
pub(crate) fn lines(updates: &[Update]) -> impl Iterator<Item = String> {
    updates.iter().map(|update| {
        let (name, old, new) = (&update.name, or_empty(&update.old), or_empty(&update.new));
        let security = if update.security { " (security)" } else { "" };
        match update.change {
            Change::Added => format!("  added {name} {new}"),
            Change::Removed => format!("  removed {name} {old}"),
            Change::Upgraded => format!("  upgraded {name} {old} -> {new}{security}"),
            Change::Downgraded => format!("  downgraded {name} {old} -> {new}"),
            Change::Rebuilt => format!("  {name} {new} has other content"),
        }
    })
}

impl ChangeList {
    /// Returns the list as text.
    pub fn text(&self) -> String {
        let title = format!("{}: {} {}", self.what, self.suite, self.architecture);
        let security = self.updates.iter().filter(|update| update.security).count();
        let count = match (self.updates.len(), security) {
            (0, _) => "nothing to update".to_owned(),
            (1, 0) => "1 package".to_owned(),
            (count, 0) => format!("{count} packages"),
            (1, _) => "1 package, with a security fix".to_owned(),
            (count, security) => format!("{count} packages, {security} with a security fix"),
        };
        let lines: String = lines(&self.updates).map(|line| line + "\n").collect();
        format!("{title}: {count}\n{lines}")
    }

    /// Returns the list as Markdown.
    pub fn markdown(&self) -> String {
        let title = format!("### {}: {} {}\n\n", escaped(&self.what), self.suite, self.architecture);
        if self.updates.is_empty() {
            return title + "Nothing to update.\n";
        }
        title + &Self::table(&self.updates)
    }

    /// Returns packages as a table of Markdown.
    pub fn table(updates: &[Update]) -> String {
        let row = |update: &Update| {
            let security = if update.security { "security" } else { "" };
            let (old, new) = (or_empty(&update.old), or_empty(&update.new));
            let cells = [&update.name, update.change.name(), old, new, or_empty(&update.pocket), security];
            format!("| {} |\n", cells.map(escaped).join(" | "))
        };
        let rows: String = updates.iter().map(row).collect();
        format!("| package | change | from | to | pocket | fix |\n|---|---|---|---|---|---|\n{rows}")
    }

    /// Returns a package as a value of JSON.
    pub fn json_of(update: &Update) -> Value {
        let Update { name, change, old, new, pocket, security } = update;
        json!({
            "name": name,
            "change": change.name(),
            "old": old,
            "new": new,
            "pocket": pocket,
            "security": security,
        })
    }

    /// Returns the list as a value of JSON.
    pub fn json(&self) -> Value {
        json!({
            "architecture": self.architecture,
            "updates": self.updates.iter().map(Self::json_of).collect::<Vec<_>>(),
        })
    }
}

fn or_empty(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}

/// Escapes what has a meaning in a table of Markdown.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if "\\`*_[]<>|#".contains(c) {
            out.push('\\');
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> ChangeList {
        let update = |name: &str, change, old: Option<&str>, new: Option<&str>, security| Update {
            name: name.into(),
            change,
            old: old.map(str::to_owned),
            new: new.map(str::to_owned),
            pocket: new.map(|_| "security".to_owned()),
            security,
        };
        let updates = vec![
            update("a", Change::Added, None, Some("1"), false),
            update("b", Change::Removed, Some("1"), None, false),
            update("lib|c:i386", Change::Upgraded, Some("1~rc"), Some("1"), true),
            update("d", Change::Rebuilt, Some("1"), Some("1"), false),
        ];
        ChangeList { what: "x_y.lock".into(), suite: "trixie".into(), architecture: "amd64".into(), updates }
    }

    #[test]
    fn every_form_has_every_change() {
        assert_eq!(
            list().text(),
            "x_y.lock: trixie amd64: 4 packages, 1 with a security fix\n  added a 1\n  removed b 1\n  \
             upgraded lib|c:i386 1~rc -> 1 (security)\n  d 1 has other content\n"
        );
        assert_eq!(
            list().markdown(),
            "### x\\_y.lock: trixie amd64\n\n| package | change | from | to | pocket | fix |\n|---|---|---|---|---|---|\n\
             | a | added |  | 1 | security |  |\n| b | removed | 1 |  |  |  |\n\
             | lib\\|c:i386 | upgraded | 1~rc | 1 | security | security |\n| d | rebuilt | 1 | 1 | security |  |\n"
        );
        let json = list().json();
        assert_eq!(json["updates"].as_array().unwrap().len(), 4);
        assert_eq!(json["updates"][2]["security"], true);
        assert_eq!(json["updates"][1]["new"], Value::Null);
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        let nothing = ChangeList { updates: Vec::new(), ..list() };
        assert_eq!(nothing.text(), "x_y.lock: trixie amd64: nothing to update\n");
        assert!(nothing.markdown().ends_with("\n\nNothing to update.\n"));
    }
}
