//! "Did you mean": the names nearest to a mistyped one.

/// More suggestions than this help nobody.
const MOST: usize = 3;

/// Up to three of `names` within a third of the length of `wanted` in edit distance, nearest first, then by name.
pub(crate) fn nearest<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> Vec<String> {
    let limit = (wanted.len() / 3).clamp(1, 4);
    let mut found: Vec<(usize, &str)> =
        names.filter_map(|name| distance(wanted.as_bytes(), name.as_bytes(), limit).map(|d| (d, name))).collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().take(MOST).map(|(_, name)| name.to_owned()).collect()
}

/// Edit distance (insert, delete, replace, swap neighbours) if it is at most `limit`.
fn distance(a: &[u8], b: &[u8], limit: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > limit {
        return None;
    }
    let (mut before, mut last): (Vec<usize>, Vec<usize>) = (Vec::new(), (0..=b.len()).collect());
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let at = |row: &[usize], k: usize| row.get(k).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&last, j) + usize::from(x != y)).min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            if i > 0 && j > 0 && a.get(i - 1) == Some(&y) && b.get(j - 1) == Some(&x) {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        if row.iter().min() > Some(&limit) {
            return None;
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().filter(|&d| d <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_slips_are_found() {
        let names = ["nginx", "ngircd", "libc6", "libc-bin", "a"];
        let near = |wanted| nearest(wanted, names.into_iter());
        assert_eq!(near("ngnix"), ["nginx"]);
        assert_eq!(near("nginxx"), ["nginx"]);
        assert_eq!(near("libc5"), ["libc6"]);
        assert!(near("postgresql").is_empty() && near("").contains(&"a".to_owned()));
    }
}
