//! Reads which trees the oracle compares: tests/oracle/matrix.txt.

use super::accepted::Comparison;
use crate::project;
use std::collections::BTreeMap;

/// What a tree has beyond its variant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Whether packages come from all default pockets and not only from the release pocket.
    pub pockets: bool,
    /// A further architecture of the root.
    pub add_architecture: Option<String>,
    /// The packages that debootstrap installs in addition, like `also` in suites.txt.
    pub also: Vec<String>,
    /// The packages to include.
    pub include: Vec<String>,
}

/// The content of the file.
pub struct Matrix {
    /// All comparisons, in the order of the file.
    pub cells: Vec<Comparison>,
    sets: BTreeMap<String, Set>,
}

impl Matrix {
    /// Reads the file of this project.
    pub fn read() -> Result<Self, String> {
        let path = project::directory().join("tests/oracle/matrix.txt");
        let text =
            std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Self::parse(&text)
    }

    /// Parses lines `set NAME WORDS…` and `cells SUITES VARIANTS TOOLS`. Lists are separated by commas.
    fn parse(text: &str) -> Result<Self, String> {
        let mut matrix = Self { cells: Vec::new(), sets: BTreeMap::new() };
        for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                ["set", name, words @ ..] => {
                    let mut set = Set::default();
                    for word in words {
                        match word.split_once('=') {
                            Some(("pockets", "all")) => set.pockets = true,
                            Some(("also", name)) => set.also.push(name.to_owned()),
                            Some(("arch", arch)) => set.add_architecture = Some(arch.to_owned()),
                            Some(_) => return Err(format!("matrix.txt: what is {word}?")),
                            None => set.include.push((*word).to_owned()),
                        }
                    }
                    matrix.sets.insert((*name).to_owned(), set);
                }
                ["cells", suites, variants, tools] => {
                    let all = tools.split(',').flat_map(|tool| {
                        let pairs = suites.split(',').flat_map(|suite| variants.split(',').map(move |to| (suite, to)));
                        pairs.map(move |(suite, variant)| Comparison {
                            suite: suite.into(),
                            variant: variant.into(),
                            against: tool.into(),
                        })
                    });
                    matrix.cells.extend(all);
                }
                _ => return Err(format!("matrix.txt: neither set nor cells: {line}")),
            }
        }
        for cell in &matrix.cells {
            matrix.variant(&cell.variant)?;
        }
        Ok(matrix)
    }

    /// Splits a name such as `minbase+ssh` into the variant and its set.
    pub fn variant<'n>(&self, name: &'n str) -> Result<(&'n str, Set), String> {
        match name.split_once('+') {
            None => Ok((name, Set::default())),
            Some((variant, set)) => {
                let known = self.sets.get(set).cloned();
                Ok((variant, known.ok_or_else(|| format!("tests/oracle/matrix.txt has no set {set}"))?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_products_and_sets_have_names() {
        let matrix =
            Matrix::parse("set more pockets=all arch=i386 also=c a b\ncells s,t minbase,minbase+more x\n").unwrap();
        let names: Vec<_> = matrix.cells.iter().map(|cell| format!("{} {}", cell.suite, cell.variant)).collect();
        assert_eq!(names, ["s minbase", "s minbase+more", "t minbase", "t minbase+more"]);
        let set = Set {
            pockets: true,
            add_architecture: Some("i386".into()),
            also: vec!["c".into()],
            include: vec!["a".into(), "b".into()],
        };
        assert_eq!(matrix.variant("minbase+more").unwrap(), ("minbase", set));
        assert!(Matrix::parse("cells s minbase+none x").is_err());
        assert!(Matrix::parse("set x colour=red").is_err());
        assert!(Matrix::read().unwrap().cells.len() > 80);
    }
}
