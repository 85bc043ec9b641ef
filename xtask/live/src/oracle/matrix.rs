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
    /// Whether recommended packages are installed too.
    pub recommends: bool,
    /// The packages that debootstrap installs in addition, like `also` in suites.txt.
    pub also: Vec<String>,
    /// The packages to include.
    pub include: Vec<String>,
}

/// A tree that is built in two ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twin {
    /// The suite.
    pub suite: String,
    /// The variant, with its set.
    pub variant: String,
    /// The architecture, if it is not the host's.
    pub arch: Option<String>,
}

/// The content of the file.
pub struct Matrix {
    /// All comparisons with other tools, in the order of the file.
    pub cells: Vec<Comparison>,
    /// What is built twice, in the order of the file.
    pub twice: Vec<Twin>,
    /// What is built with native programs and emulated, in the order of the file.
    pub emulation: Vec<Twin>,
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

    /// Parses lines `set NAME WORDS…`, `cells SUITES VARIANTS TOOLS`, `twice SUITES VARIANTS` and
    /// `emulation ARCHES SUITES VARIANTS`. Lists are separated by commas.
    fn parse(text: &str) -> Result<Self, String> {
        let mut matrix = Self { cells: Vec::new(), twice: Vec::new(), emulation: Vec::new(), sets: BTreeMap::new() };
        for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                ["set", name, words @ ..] => {
                    let mut set = Set::default();
                    for word in words {
                        match word.split_once('=') {
                            Some(("pockets", "all")) => set.pockets = true,
                            Some(("recommends", "yes")) => set.recommends = true,
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
                        pairs(suites, variants).into_iter().map(move |(suite, variant)| Comparison {
                            suite,
                            variant,
                            against: tool.into(),
                        })
                    });
                    matrix.cells.extend(all);
                }
                ["twice", suites, variants] => matrix.twice.extend(twins(suites, variants, None)),
                ["emulation", arches, suites, variants] => {
                    matrix.emulation.extend(arches.split(',').flat_map(|arch| twins(suites, variants, Some(arch))));
                }
                _ => return Err(format!("matrix.txt: neither set nor cells nor twice nor emulation: {line}")),
            }
        }
        let compared = matrix.cells.iter().map(|cell| &cell.variant);
        for variant in compared.chain(matrix.twice.iter().chain(&matrix.emulation).map(|twin| &twin.variant)) {
            matrix.variant(variant)?;
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

/// Returns a twin for every combination of two lists.
fn twins(suites: &str, variants: &str, arch: Option<&str>) -> Vec<Twin> {
    let twin = |(suite, variant)| Twin { suite, variant, arch: arch.map(str::to_owned) };
    pairs(suites, variants).into_iter().map(twin).collect()
}

/// Returns every combination of two lists.
fn pairs(suites: &str, variants: &str) -> Vec<(String, String)> {
    let all = suites.split(',').flat_map(|suite| variants.split(',').map(move |variant| (suite, variant)));
    all.map(|(suite, variant)| (suite.to_owned(), variant.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_products_and_sets_have_names() {
        let matrix =
            Matrix::parse("set more pockets=all arch=i386 recommends=yes also=c a b\ncells s,t minbase,minbase+more x\ntwice s minbase\nemulation a,b s minbase\n")
                .unwrap();
        let names: Vec<_> = matrix.cells.iter().map(|cell| format!("{} {}", cell.suite, cell.variant)).collect();
        assert_eq!(names, ["s minbase", "s minbase+more", "t minbase", "t minbase+more"]);
        let set = Set {
            pockets: true,
            add_architecture: Some("i386".into()),
            recommends: true,
            also: vec!["c".into()],
            include: vec!["a".into(), "b".into()],
        };
        assert_eq!(matrix.variant("minbase+more").unwrap(), ("minbase", set));
        assert_eq!(matrix.twice, twins("s", "minbase", None));
        assert_eq!(matrix.emulation, [twins("s", "minbase", Some("a")), twins("s", "minbase", Some("b"))].concat());
        assert!(Matrix::parse("cells s minbase+none x").is_err() && Matrix::parse("twice s minbase+none").is_err());
        assert!(Matrix::parse("set x colour=red").is_err());
        let own = Matrix::read().unwrap();
        assert!(own.cells.len() > 80 && own.twice.len() >= 40);
    }
}
