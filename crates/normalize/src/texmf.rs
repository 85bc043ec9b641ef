//! Lists of TeX Live that its scripts write in the order of readdir(3), which differs between filesystems.

use std::collections::BTreeSet;

/// Sorts the formats in a `fmtutil.cnf-TEXLIVEDIST` or `fmtutil.cnf-DEBIAN` (fmtutil.cnf(5)). Where two lines are for one format and engine,
/// their order decides, and such a file stays.
pub(crate) fn sorted_formats(file: &[u8]) -> Option<Vec<u8>> {
    sorted_lines(file, |line| {
        let mut words = line.split_whitespace();
        Some([words.next()?, words.next()?])
    })
}

/// Sorts the maps in an `updmap.cfg-TEXLIVEDIST` or `updmap.cfg-DEBIAN` (updmap.cfg(5)). A file with settings, or with two lines for one map,
/// stays, because there the order decides.
pub(crate) fn sorted_maps(file: &[u8]) -> Option<Vec<u8>> {
    sorted_lines(file, |line| match line.split_whitespace().collect::<Vec<_>>().as_slice() {
        &["Map" | "MixedMap" | "KanjiMap", map] => Some(map),
        _ => None,
    })
}

/// Sorts the lines below the comment at the beginning, which ends with a line `###`. Comments of the packages' own files come first, sorted.
/// `None` if a line has no subject or two have the same.
fn sorted_lines<'f, S: Ord>(file: &'f [u8], subject: impl Fn(&'f str) -> Option<S>) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(file).ok().filter(|text| text.ends_with('\n'))?;
    let head = text.split_inclusive('\n').take_while(|line| line.starts_with('#'));
    let head = head.scan(0, |end, line| {
        *end += line.len();
        Some((*end, line))
    });
    let (head, rest) =
        text.split_at_checked(head.filter(|(_, line)| *line == "###\n").last().map_or(0, |(end, _)| end))?;
    let (mut comments, mut lines, mut subjects) = (Vec::<String>::new(), Vec::new(), BTreeSet::new());
    let mut follows_comment = false;
    for line in rest.split_inclusive('\n') {
        let is_comment = line.starts_with('#');
        match (is_comment, comments.last_mut()) {
            (true, Some(comment)) if follows_comment => comment.push_str(line),
            (true, _) => comments.push(line.to_owned()),
            (false, _) => {
                if !subjects.insert(subject(line)?) {
                    return None;
                }
                lines.push(line);
            }
        }
        follows_comment = is_comment;
    }
    comments.sort_unstable();
    lines.sort_unstable();
    Some(format!("{head}{}{}", comments.concat(), lines.concat()).into_bytes())
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

    fn text(sorted: Option<Vec<u8>>) -> Option<String> {
        sorted.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn formats_are_sorted_below_their_comment() {
        let sorted = |lines: &str| text(sorted_formats(lines.as_bytes()));
        let (head, file) = ("### x\n#\n###\n", "tex tex -\nlatex pdftex a\n");
        assert_eq!(sorted(&format!("{head}{file}")).unwrap(), format!("{head}latex pdftex a\ntex tex -\n"));
        for kept in ["tex tex -\ntex  tex x\n", "b b\na a", "b\na\n", "\n"] {
            assert_eq!(sorted(kept), None, "{kept}");
        }
    }

    #[test]
    fn maps_are_sorted_where_the_order_means_nothing() {
        let sorted = |lines: &str| text(sorted_maps(lines.as_bytes()));
        // Two packages, of which one says something, in either order.
        let (one, other) = ("# one\n# two\nMap b.map\n", "MixedMap c.map\nMap a.map\n");
        for file in [[one, other], [other, one]] {
            let file = format!("###\n#\n###\n{}", file.concat());
            assert_eq!(sorted(&file).unwrap(), "###\n#\n###\n# one\n# two\nMap a.map\nMap b.map\nMixedMap c.map\n");
        }
        for kept in ["MixedMap a.map\nMap a.map\n", "Map b.map\ndvipsPreferOutline true\nMap a.map\n", "Map b x\n"] {
            assert_eq!(sorted(kept), None, "{kept}");
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
