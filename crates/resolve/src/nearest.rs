//! "Did you mean": the names that are most similar to a mistyped one.

/// The most names that are suggested.
const MOST: usize = 3;

/// Returns up to three of `names` whose edit distance to `wanted` is at most a third of its length (and at least 1, at most
/// 4), the most similar first, then by name.
pub(crate) fn nearest<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> Vec<String> {
    let limit = (wanted.len() / 3).clamp(1, 4);
    // The length is cheap to compare, and rules out most of the 60 000 names of an archive.
    let similar = names.filter(|name| wanted.len().abs_diff(name.len()) <= limit);
    let mut found: Vec<(usize, &str)> = similar.map(|name| (strsim::osa_distance(wanted, name), name)).collect();
    found.retain(|(distance, _)| *distance <= limit);
    found.sort_unstable();
    found.dedup();
    found.into_iter().take(MOST).map(|(_, name)| name.to_owned()).collect()
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
