//! Lists of what differs between two roots, as text, JSON and Markdown.

use crate::change_list::{ChangeList, escaped, lines};
use crate::outdated_args::ListFormat;
use crate::visible::visible;
use indicatif::HumanBytes;
use rootstrap_bootstrap::{Aspect, PathDifference, RootDifference, SettingDifference, format_date};
use serde_json::{Value, json};

/// Returns the list of all roots as one text. At most `limit` paths of each root are listed; 0 stands for all.
pub(crate) fn write(names: [&str; 2], roots: &[RootDifference], format: ListFormat, limit: usize) -> String {
    let limit = if limit == 0 { usize::MAX } else { limit };
    match format {
        ListFormat::Text => {
            let texts = roots.iter().map(|root| text(names, root, limit));
            visible(&texts.collect::<String>()).into_owned()
        }
        ListFormat::Markdown => roots.iter().map(|root| markdown(names, root, limit)).collect::<Vec<_>>().join("\n"),
        ListFormat::Json => {
            let roots: Vec<Value> = roots.iter().map(|root| json_of(root, limit)).collect();
            format!("{:#}\n", json!({ "first": names[0], "second": names[1], "roots": roots }))
        }
    }
}

fn title(names: [&str; 2], root: &RootDifference) -> String {
    let platform = root.platform.as_ref().map(|platform| format!(" ({platform})")).unwrap_or_default();
    format!("{} and {}{platform}", names[0], names[1])
}

fn sizes(root: &RootDifference) -> String {
    let (first, second) = root.bytes;
    format!("{} and {} of files", HumanBytes(first), HumanBytes(second))
}

fn text(names: [&str; 2], root: &RootDifference, limit: usize) -> String {
    if root.is_empty() {
        return format!("{}: no difference\n", title(names, root));
    }
    let (packages, paths) = (root.packages.len(), root.paths.len());
    let count = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let settings = match root.settings.len() {
        0 => String::new(),
        some => format!("{}, ", count(some, "setting")),
    };
    let counts = format!("{settings}{} and {} differ", count(packages, "package"), count(paths, "path"));
    let mut text = format!("{}: {counts}, {}\n", title(names, root), sizes(root));
    let facts = root.findings.iter().cloned().chain(root.settings.iter().map(setting));
    facts.for_each(|fact| text.push_str(&format!("  {fact}\n")));
    lines(&root.packages).for_each(|line| text.push_str(&format!("{line}\n")));
    for difference in root.paths.iter().take(limit) {
        text.push_str(&format!("  {}: {}\n", difference.path, aspects(difference)));
    }
    if let Some(more) = paths.checked_sub(limit).filter(|more| *more > 0) {
        text.push_str(&format!("  and {more} more (--limit 0 lists all)\n"));
    }
    text
}

fn markdown(names: [&str; 2], root: &RootDifference, limit: usize) -> String {
    let mut text = format!("### {}\n\n", escaped(&title(names, root)));
    if root.is_empty() {
        return text + "No difference.\n";
    }
    text.push_str(&format!("{}.\n", sizes(root)));
    let facts = root.findings.iter().cloned().chain(root.settings.iter().map(setting));
    facts.for_each(|fact| text.push_str(&format!("\n* {}\n", escaped(&fact))));
    if !root.packages.is_empty() {
        text.push_str(&format!("\n{}", ChangeList::table(&root.packages)));
    }
    if !root.paths.is_empty() {
        text.push_str("\n| path | difference |\n|---|---|\n");
        for difference in root.paths.iter().take(limit) {
            text.push_str(&format!("| {} | {} |\n", escaped(&difference.path), escaped(&aspects(difference))));
        }
    }
    if let Some(more) = root.paths.len().checked_sub(limit).filter(|more| *more > 0) {
        text.push_str(&format!("\nAnd {more} more.\n"));
    }
    text
}

fn json_of(root: &RootDifference, limit: usize) -> Value {
    let path = |difference: &PathDifference| json!({ "path": difference.path, "differences": difference.aspects.iter().map(aspect_of).collect::<Vec<_>>() });
    let setting = |SettingDifference { name, first, second }: &SettingDifference| json!({ "name": name, "first": first, "second": second });
    json!({
        "platform": root.platform,
        "equal": root.is_empty(),
        "findings": root.findings,
        "settings": root.settings.iter().map(setting).collect::<Vec<_>>(),
        "packages": root.packages.iter().map(ChangeList::json_of).collect::<Vec<_>>(),
        "paths": root.paths.iter().take(limit).map(path).collect::<Vec<_>>(),
        "path_count": root.paths.len(),
        "bytes": [root.bytes.0, root.bytes.1],
    })
}

/// Returns how a setting of containers differs, in words.
fn setting(SettingDifference { name, first, second }: &SettingDifference) -> String {
    let shown = |value: &Value| if value.is_null() { "nothing".to_owned() } else { value.to_string() };
    format!("{name}: {} and {}", shown(first), shown(second))
}

fn aspects(difference: &PathDifference) -> String {
    difference.aspects.iter().map(aspect).collect::<Vec<_>>().join(", ")
}

/// Returns what differs at a path, in words.
fn aspect(aspect: &Aspect) -> String {
    let link = |link: &Option<String>| link.clone().unwrap_or_else(|| "itself".to_owned());
    match aspect {
        Aspect::OnlyFirst => "only in the first".to_owned(),
        Aspect::OnlySecond => "only in the second".to_owned(),
        Aspect::Type(one, two) => format!("{one} and {two}"),
        Aspect::Mode(one, two) => format!("mode {one:04o} and {two:04o}"),
        Aspect::Owner(one, two) => format!("owner {}:{} and {}:{}", one.0, one.1, two.0, two.1),
        Aspect::Content(one, two) if one == two => format!("content ({one} bytes)"),
        Aspect::Content(one, two) => format!("content ({one} and {two} bytes)"),
        Aspect::Target(one, two) => format!("link to {one} and {two}"),
        Aspect::Device(one, two) => format!("device {}:{} and {}:{}", one.0, one.1, two.0, two.1),
        Aspect::Attributes => "extended attributes".to_owned(),
        Aspect::Link(one, two) => format!("name of {} and {}", link(one), link(two)),
        Aspect::Time(one, two) => format!("time {} and {}", format_date(*one), format_date(*two)),
    }
}

/// Returns what differs at a path, for programs.
fn aspect_of(aspect: &Aspect) -> Value {
    let of = |what: &str, one: Value, two: Value| json!({ "what": what, "first": one, "second": two });
    match aspect {
        Aspect::OnlyFirst => of("presence", true.into(), false.into()),
        Aspect::OnlySecond => of("presence", false.into(), true.into()),
        Aspect::Type(one, two) => of("type", (*one).into(), (*two).into()),
        Aspect::Mode(one, two) => of("mode", format!("{one:04o}").into(), format!("{two:04o}").into()),
        Aspect::Owner(one, two) => of("owner", json!([one.0, one.1]), json!([two.0, two.1])),
        Aspect::Content(one, two) => of("content", (*one).into(), (*two).into()),
        Aspect::Target(one, two) => of("target", one.as_str().into(), two.as_str().into()),
        Aspect::Device(one, two) => of("device", json!([one.0, one.1]), json!([two.0, two.1])),
        Aspect::Attributes => of("attributes", Value::Null, Value::Null),
        Aspect::Link(one, two) => of("link", json!(one), json!(two)),
        Aspect::Time(one, two) => of("time", (*one).into(), (*two).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> RootDifference {
        let path = |path: &str, aspects: Vec<Aspect>| PathDifference { path: path.to_owned(), aspects };
        RootDifference {
            platform: Some("amd64".into()),
            findings: vec!["layer x is missing".into()],
            settings: vec![SettingDifference { name: "Cmd".into(), first: json!(["sh"]), second: Value::Null }],
            packages: Vec::new(),
            paths: vec![
                path("/a", vec![Aspect::Mode(0o644, 0o4755), Aspect::Owner((0, 0), (1, 2))]),
                path("/b|c", vec![Aspect::OnlySecond]),
                path("/d", vec![Aspect::Content(1, 1)]),
            ],
            bytes: (1, 2),
        }
    }

    #[test]
    fn every_form_names_path_and_difference() {
        let text = write(["x", "y"], &[root()], ListFormat::Text, 2);
        assert_eq!(
            text,
            "x and y (amd64): 1 setting, 0 packages and 3 paths differ, 1 B and 2 B of files\n  layer x is missing\n  Cmd: [\"sh\"] and nothing\n  \
             /a: mode 0644 and 4755, owner 0:0 and 1:2\n  /b|c: only in the second\n  and 1 more (--limit 0 lists all)\n"
        );
        let markdown = write(["x", "y"], &[root()], ListFormat::Markdown, 0);
        assert!(markdown.contains("| /b\\|c | only in the second |\n| /d | content (1 bytes) |\n"), "{markdown}");
        let json: Value = serde_json::from_str(&write(["x", "y"], &[root()], ListFormat::Json, 1)).unwrap();
        assert_eq!(json["roots"][0]["path_count"], 3);
        assert_eq!(json["roots"][0]["paths"][0]["differences"][0]["second"], "4755");
        assert_eq!(json["roots"][0]["settings"][0], json!({ "name": "Cmd", "first": ["sh"], "second": null }));
        assert!(markdown.contains("\n* Cmd: "), "{markdown}");
        let same = RootDifference { findings: Vec::new(), settings: Vec::new(), paths: Vec::new(), ..root() };
        assert_eq!(write(["x", "y"], &[same], ListFormat::Text, 2), "x and y (amd64): no difference\n");
    }
}
