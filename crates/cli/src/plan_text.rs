//! A plan for people: a table with sums, a tree, and the chain of reasons for one package.

use indicatif::HumanBytes;
use rootstrap_bootstrap::Plan;
use std::collections::{BTreeMap, BTreeSet};

/// Between a reason and the name of the package that is the reason.
const LINKS: [(&str, &str); 2] = [("needed by ", "depends on"), ("recommended by ", "recommends")];

/// Returns one line for each package, in the order of installation, and the sums.
pub(crate) fn table(plan: &Plan) -> String {
    let mut rows = vec![["PHASE", "PACKAGE", "VERSION", "DOWNLOAD", "INSTALLED", "FROM", "SOURCE"].map(str::to_owned)];
    let (mut count, mut download, mut installed) = (0, 0, 0);
    for (phase, package) in plan.packages() {
        let name = match package.architecture.as_str() {
            "all" => package.name.clone(),
            architecture => format!("{}:{architecture}", package.name),
        };
        rows.push([
            phase.to_owned(),
            name,
            package.version.clone(),
            HumanBytes(package.size).to_string(),
            HumanBytes(package.installed_size).to_string(),
            plan.pockets.get(package.pocket).cloned().unwrap_or_default(),
            package.source.split(' ').next().unwrap_or_default().to_owned(),
        ]);
        count += 1;
        download += package.size;
        installed += package.installed_size;
    }
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..7).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            3 | 4 => format!("{cell:>width$}"),
            _ => format!("{cell:width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    let (download, installed) = (HumanBytes(download), HumanBytes(installed));
    text + &format!("{count} packages, {download} to download, {installed} installed\n")
}

/// Returns the packages, each below the one that brings it. `native` is the architecture of the root: reasons name a package of another
/// one with its architecture.
pub(crate) fn tree(plan: &Plan, native: &str) -> String {
    let named: Vec<(String, &str)> = named(plan, native).collect();
    let mut below: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut tops: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, why) in &named {
        match parent(why) {
            Some((_, parent)) => below.entry(parent).or_default().push(name),
            None => tops.entry(why).or_default().push(name),
        }
    }
    let mut text = String::new();
    for (why, names) in tops {
        text.push_str(&format!("{why}\n"));
        branches(&names, &below, "", &mut text, &mut BTreeSet::new());
    }
    text
}

fn branches<'p>(
    names: &[&'p str],
    below: &BTreeMap<&str, Vec<&'p str>>,
    indent: &str,
    text: &mut String,
    seen: &mut BTreeSet<&'p str>,
) {
    for (number, name) in names.iter().enumerate() {
        let is_last = number + 1 == names.len();
        text.push_str(&format!("{indent}{}{name}\n", if is_last { "`-- " } else { "|-- " }));
        if seen.insert(name)
            && let Some(names) = below.get(name)
        {
            branches(names, below, &format!("{indent}{}", if is_last { "    " } else { "|   " }), text, seen);
        }
    }
}

/// Returns each package as reasons name it, and the reason for it.
fn named<'p>(plan: &'p Plan, native: &str) -> impl Iterator<Item = (String, &'p str)> {
    plan.packages().map(move |(_, package)| {
        let is_plain = package.architecture == native || package.architecture == "all";
        let name = if is_plain { package.name.clone() } else { format!("{}:{}", package.name, package.architecture) };
        (name, package.why.as_str())
    })
}

/// Returns the reasons for a package, from the first one on, as apt-get(8) numbers them; nothing if the plan has no such package.
pub(crate) fn chain(plan: &Plan, name: &str, native: &str) -> Vec<String> {
    let whys: BTreeMap<String, &str> = named(plan, native).collect();
    let (mut steps, mut seen) = (Vec::new(), BTreeSet::new());
    let mut current = name;
    while let Some(why) = whys.get(current).filter(|_| seen.insert(current)) {
        match parent(why) {
            Some((verb, parent)) => {
                steps.push(format!("{parent} {verb} {current}"));
                current = parent;
            }
            None => {
                steps.push(format!("{current} {}", in_words(why)));
                break;
            }
        }
    }
    steps.reverse();
    steps.iter().enumerate().map(|(number, step)| format!("{}. {step}", number + 1)).collect()
}

/// Returns the package that is the reason, and how it is.
fn parent(why: &str) -> Option<(&'static str, &str)> {
    LINKS.iter().find_map(|(start, verb)| Some((*verb, why.strip_prefix(start)?)))
}

fn in_words(why: &str) -> String {
    match why {
        "included" => "is asked for (--include)".to_owned(),
        "essential" => "is essential".to_owned(),
        "priority" => "has a priority that the variant takes".to_owned(),
        "variant" => "is part of the variant".to_owned(),
        "suite" => "is added for the suite".to_owned(),
        other => format!("is installed: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let package = |name: &str, why: &str| {
            format!(
                r#"{{"name":"{name}","version":"1","architecture":"amd64","size":2048,"installed_size":4096,"pocket":0,
                "component":"main","path":"pool/{name}.deb","digest":"{}","essential":false,"automatic":true,"multi_arch":"no",
                "priority":"optional","section":"misc","source":"{name}","why":"{why}","choice":"only version"}}"#,
                "0".repeat(64)
            )
        };
        let packages = [
            package("base", "essential"),
            package("curl", "included"),
            package("libcurl", "needed by curl"),
            package("libkrb", "needed by libcurl"),
            package("docs", "recommended by curl"),
        ];
        let text = format!(
            r#"{{"format":1,"phases":[{{"name":"required","packages":[{}]}}],"pockets":["trixie"]}}"#,
            packages.join(",")
        );
        Plan::from_json(&text).unwrap()
    }

    #[test]
    fn a_chain_leads_from_what_was_asked_for() {
        assert_eq!(
            chain(&plan(), "libkrb", "amd64"),
            ["1. curl is asked for (--include)", "2. curl depends on libcurl", "3. libcurl depends on libkrb"]
        );
        assert_eq!(chain(&plan(), "docs", "amd64"), ["1. curl is asked for (--include)", "2. curl recommends docs"]);
        assert_eq!(chain(&plan(), "base", "amd64"), ["1. base is essential"]);
        assert!(chain(&plan(), "nginx", "amd64").is_empty());
    }

    /// The packages are of amd64, so a root of arm64 names them with it.
    #[test]
    fn packages_of_further_architectures_have_it_in_their_names() {
        assert_eq!(chain(&plan(), "base:amd64", "arm64"), ["1. base:amd64 is essential"]);
        assert!(tree(&plan(), "arm64").contains("`-- curl:amd64\n") && chain(&plan(), "base", "arm64").is_empty());
    }

    #[test]
    fn a_tree_has_each_package_below_its_reason() {
        let text = "essential\n`-- base\nincluded\n`-- curl\n    |-- libcurl\n    |   `-- libkrb\n    `-- docs\n";
        assert_eq!(tree(&plan(), "amd64"), text);
    }

    #[test]
    fn a_table_ends_with_sums() {
        let text = table(&plan());
        assert!(text.starts_with("PHASE     PACKAGE        VERSION  DOWNLOAD  INSTALLED  FROM    SOURCE\n"), "{text}");
        assert!(text.ends_with("5 packages, 10.00 KiB to download, 20.00 KiB installed\n"), "{text}");
    }
}
