//! The options of `cargo xtask oracle`.

use crate::arguments::{self, list};
use std::path::PathBuf;

const USAGE: &str =
    "usage: cargo xtask oracle [--suite S[,S]] [--variant V[,V]] [--against mmdebstrap|debootstrap] [--arch A]
         [--matrix] [--mirror URL] [--keep DIR] [--ours PROGRAM] [-- ARGUMENTS OF ROOTSTRAP]
       cargo xtask oracle --apt [--suite S[,S]] [--mirror URL] [--keep DIR] [--ours PROGRAM]
       cargo xtask oracle --twice [--suite S[,S]] [--variant V[,V]] [--mirror URL] [--keep DIR] [--ours PROGRAM]
       cargo xtask oracle --emulation [--arch A] [--suite S[,S]] [--variant V[,V]] [--mirror URL] [--keep DIR] [--ours PROGRAM]
       cargo xtask oracle --packages N [--part K/M] [--suite S] [--mirror URL] [--keep DIR] [--ours PROGRAM]
       cargo xtask oracle --trees OURS THEIRS [--epoch SECONDS] [--suite S --variant V --against TOOL]

Must be root. A set of packages of tests/oracle/matrix.txt can be added to a variant: minbase+ssh.
--matrix  compare the cells of tests/oracle/matrix.txt (only those of the suites, variants and tools named) and print a table
--apt     compare the plans for tests/oracle/requests.txt with what apt would install
--twice   build each tree of the lines `twice` of tests/oracle/matrix.txt here, and with another clock, host and kernel
--emulation  build each tree of the lines `emulation` of tests/oracle/matrix.txt with native programs, and wholly emulated
--packages  install the N packages that most others depend on, and all that have pre-dependencies, in batches
--part    try only the K-th of M parts of the batches
--keep    keep the trees in DIR, and use a tree of the other tool that is there and still current
--ours    PROGRAM instead of building rootstrap; mmdebstrap or debootstrap compares those tools with each other";

/// What the caller wants.
#[allow(missing_docs, reason = "the usage text says it")]
pub struct Options {
    pub suites: Option<Vec<String>>,
    pub variants: Option<Vec<String>>,
    pub arch: Option<String>,
    pub against: Option<String>,
    pub mirror: Option<String>,
    pub keep: Option<PathBuf>,
    pub ours: Option<String>,
    pub matrix: bool,
    pub apt: bool,
    pub twice: bool,
    pub emulation: bool,
    pub packages: Option<usize>,
    pub part: (usize, usize),
    pub trees: Option<(PathBuf, PathBuf)>,
    pub epoch: Option<i64>,
    pub extra: Vec<String>,
}

/// Reads the options of the chore.
pub fn parse(args: &[String]) -> Result<Options, String> {
    let mut options = Options {
        suites: None,
        variants: None,
        arch: None,
        against: None,
        mirror: None,
        keep: None,
        ours: None,
        matrix: false,
        apt: false,
        twice: false,
        emulation: false,
        packages: None,
        part: (1, 1),
        trees: None,
        epoch: None,
        extra: Vec::new(),
    };
    let words = arguments::split(args);
    let mut words = words.iter();
    while let Some(name) = words.next() {
        let mut value = || arguments::value(name, &mut words);
        match name.as_str() {
            "--suite" => options.suites = Some(list(&value()?)),
            "--variant" => options.variants = Some(list(&value()?)),
            "--arch" => options.arch = Some(value()?),
            "--against" => options.against = Some(value()?),
            "--mirror" => options.mirror = Some(value()?),
            "--keep" => options.keep = Some(value()?.into()),
            "--ours" => options.ours = Some(arguments::program(&value()?)?),
            "--matrix" => options.matrix = true,
            "--apt" => options.apt = true,
            "--twice" => options.twice = true,
            "--emulation" => options.emulation = true,
            "--packages" => options.packages = Some(value()?.parse().map_err(|_| "--packages needs a number")?),
            "--part" => options.part = part(&value()?)?,
            "--trees" => options.trees = Some((value()?.into(), value()?.into())),
            "--epoch" => options.epoch = Some(value()?.parse().map_err(|_| "--epoch needs seconds")?),
            "--" => options.extra.extend(words.by_ref().cloned()),
            _ => return Err(format!("what is {name}?\n{USAGE}")),
        }
    }
    Ok(options)
}

/// Reads `K/M`.
fn part(text: &str) -> Result<(usize, usize), String> {
    let numbers = text.split_once('/').and_then(|(part, of)| Some((part.parse().ok()?, of.parse().ok()?)));
    numbers.filter(|(part, of)| (1..=*of).contains(part)).ok_or_else(|| format!("--part needs K/M, not {text}"))
}
