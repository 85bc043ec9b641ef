//! Lists of TeX Live that its scripts write in the order of readdir(3), which differs between filesystems.

use std::collections::BTreeSet;

/// Sorts the lines of `fmtutil.cnf-TEXLIVEDIST` and `updmap.cfg-TEXLIVEDIST` after their comment. Of two lines for one format or map, the
/// order can decide, so a file that has such lines stays.
pub(crate) fn sorted_list(file: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(file).ok().filter(|text| text.ends_with('\n'))?;
    let (comment, mut lines): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('#'));
    let is_head = text.lines().take(comment.len()).all(|line| line.starts_with('#'));
    let subject = |line: &&str| line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>();
    let subjects: BTreeSet<Vec<String>> = lines.iter().map(subject).collect();
    if !is_head || subjects.len() != lines.len() {
        return None;
    }
    lines.sort_unstable();
    Some(comment.into_iter().chain(lines).flat_map(|line| [line, "\n"]).collect::<String>().into_bytes())
}

/// Sorts an `ls-R` file: the directories, and the names in each of them (mktexlsr(1), kpathsea manual, "Filename database format").
pub(crate) fn sorted_names(file: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(file).ok()?;
    let (head, rest) = text.split_once("\n\n").filter(|(head, _)| head.starts_with("% ls-R"))?;
    let mut directories = Vec::new();
    let blocks = rest.trim_end_matches('\n');
    let end = rest.get(blocks.len()..)?;
    for block in blocks.split("\n\n") {
        let mut names: Vec<&str> = block.lines().collect();
        // The first directory has two titles.
        let titles = names.iter().take_while(|name| name.ends_with(':')).count();
        let (Some(title), Some(listed)) = (names.first().copied(), names.get_mut(titles..)) else { return None };
        if titles == 0 {
            return None;
        }
        listed.sort_unstable();
        directories.push((title, names));
    }
    directories.sort_unstable();
    let blocks = directories.into_iter().map(|(_, names)| names.join("\n"));
    Some(format!("{head}\n\n{}{end}", blocks.collect::<Vec<_>>().join("\n\n")).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(lines: &str) -> Option<String> {
        sorted_list(lines.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn lists_are_sorted_below_their_comment() {
        assert_eq!(list("### x\n#\ntex tex -\nlatex pdftex a\n").unwrap(), "### x\n#\nlatex pdftex a\ntex tex -\n");
        for kept in ["# x\nb b\n# y\na a\n", "Map a\nMap  a\n", "b b\na a", "\u{fffd}"] {
            assert_eq!(list(kept), None, "{kept}");
        }
    }

    #[test]
    fn names_are_sorted_in_each_directory() {
        let head = "% ls-R -- filename database for kpathsea; do not change this line.\n\n";
        let found =
            sorted_names(format!("{head}./:\n.:\nweb2c\nfonts\n\n./web2c:\nb\na\n\n./fonts:\n\n").as_bytes()).unwrap();
        assert_eq!(
            String::from_utf8(found.clone()).unwrap(),
            format!("{head}./:\n.:\nfonts\nweb2c\n\n./fonts:\n\n./web2c:\na\nb\n\n")
        );
        assert_eq!(sorted_names(&found).unwrap(), found);
        for kept in ["", "./:\nb\na\n", &format!("{head}b\na\n")] {
            assert_eq!(sorted_names(kept.as_bytes()), None, "{kept}");
        }
    }
}
