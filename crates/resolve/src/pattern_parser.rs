//! The syntax of apt's patterns: `?name(ARGUMENTS)`, `~LETTER ARGUMENT`, `!`, `|`, parentheses, and patterns side by side for "and"
//! (apt-patterns(7)).

use crate::pattern::Pattern;
use regex::{Regex, RegexBuilder};

/// How deep patterns may be nested.
const DEPTH: usize = 64;

/// The short form of each pattern that has one, and whether it takes an argument.
const SHORT: [(char, &str, bool); 14] = [
    ('r', "architecture", true),
    ('A', "archive", true),
    ('E', "essential", false),
    ('F', "false", false),
    ('n', "name", true),
    ('O', "origin", true),
    ('p', "priority", true),
    ('s', "section", true),
    ('e', "source-package", true),
    ('T', "true", false),
    ('V', "version", true),
    ('i', "installed", false),
    ('M', "automatic", false),
    ('v', "virtual", false),
];

/// What a pattern is made of.
enum Argument {
    Word(String),
    Pattern(Pattern),
}

struct Parser<'t> {
    rest: &'t str,
    depth: usize,
}

/// Parses a whole pattern.
///
/// # Errors
/// Why it is none.
pub(crate) fn parse(text: &str) -> Result<Pattern, String> {
    let mut parser = Parser { rest: text, depth: 0 };
    let pattern = parser.either()?;
    match parser.rest.trim_start() {
        "" => Ok(pattern),
        rest => Err(format!("its end is not understood: {rest}")),
    }
}

impl Parser<'_> {
    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Takes `wanted` if it is next.
    fn take(&mut self, wanted: char) -> bool {
        self.skip_blanks();
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        if self.take(wanted) { Ok(()) } else { Err(format!("a {wanted} is missing")) }
    }

    /// Takes the text up to the first character that `ends` accepts.
    fn until(&mut self, ends: impl Fn(char) -> bool) -> String {
        let (taken, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        self.rest = rest;
        taken.trim().to_owned()
    }

    /// Parses patterns with `|` between them.
    fn either(&mut self) -> Result<Pattern, String> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err("it is nested too deeply".to_owned());
        }
        let mut patterns = vec![self.both()?];
        while self.take('|') {
            patterns.push(self.both()?);
        }
        self.depth -= 1;
        Ok(single_or(patterns, Pattern::Or))
    }

    /// Parses patterns side by side.
    fn both(&mut self) -> Result<Pattern, String> {
        let mut patterns = vec![self.one()?];
        loop {
            self.skip_blanks();
            if self.rest.is_empty() || self.rest.starts_with([')', '|', ',']) {
                return Ok(single_or(patterns, Pattern::And));
            }
            patterns.push(self.one()?);
        }
    }

    fn one(&mut self) -> Result<Pattern, String> {
        let mut is_negated = false;
        while self.take('!') {
            is_negated = !is_negated;
        }
        let pattern = if self.take('(') {
            let pattern = self.either()?;
            self.expect(')')?;
            pattern
        } else if self.take('~') {
            self.short()?
        } else if self.take('?') {
            let name = self.until(|c| !c.is_ascii_alphanumeric() && c != '-');
            let arguments = if self.rest.starts_with('(') { self.arguments()? } else { Vec::new() };
            build(&name, arguments)?
        } else {
            return Err(match self.rest {
                "" => "a pattern is missing".to_owned(),
                rest => format!("a pattern begins with ? or ~, and this does not: {rest}"),
            });
        };
        Ok(if is_negated { Pattern::Not(Box::new(pattern)) } else { pattern })
    }

    fn short(&mut self) -> Result<Pattern, String> {
        let letter = self.rest.chars().next().ok_or("a letter is missing behind ~")?;
        let known = SHORT.iter().find(|(known, ..)| *known == letter);
        let (_, name, takes_word) = known.ok_or_else(|| format!("~{letter} is not known"))?;
        self.rest = self.rest.get(letter.len_utf8()..).unwrap_or_default();
        let arguments = if *takes_word { vec![Argument::Word(self.word(" ~|,()!?")?)] } else { Vec::new() };
        build(name, arguments)
    }

    /// Parses arguments in parentheses. A comma may stand behind the last one.
    fn arguments(&mut self) -> Result<Vec<Argument>, String> {
        self.expect('(')?;
        let mut arguments = Vec::new();
        while !self.take(')') {
            arguments.push(match self.rest.starts_with(['?', '~', '!', '(']) {
                true => Argument::Pattern(self.either()?),
                false => Argument::Word(self.word(",()|")?),
            });
            if !self.take(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(arguments)
    }

    /// Parses a word: one in quotation marks, or the text up to one of the characters in `ends`.
    fn word(&mut self, ends: &str) -> Result<String, String> {
        self.skip_blanks();
        if let Some(rest) = self.rest.strip_prefix('"') {
            let (word, rest) = rest.split_once('"').ok_or("a quotation mark is missing")?;
            self.rest = rest;
            return Ok(word.to_owned());
        }
        let word = self.until(|c| ends.contains(c));
        if word.is_empty() { Err("a word is missing".to_owned()) } else { Ok(word) }
    }
}

/// Returns the only pattern, or what `combine` makes of several.
fn single_or(mut patterns: Vec<Pattern>, combine: fn(Vec<Pattern>) -> Pattern) -> Pattern {
    match (patterns.len(), patterns.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => combine(patterns.into_iter().chain([last]).collect()),
        (_, None) => combine(patterns),
    }
}

/// Makes the pattern of that name.
fn build(name: &str, arguments: Vec<Argument>) -> Result<Pattern, String> {
    let is_plural = matches!(name, "and" | "or" | "narrow");
    let (mut words, mut patterns) = (Vec::new(), Vec::new());
    for argument in arguments {
        match argument {
            Argument::Word(word) => words.push(word),
            Argument::Pattern(pattern) => patterns.push(pattern),
        }
    }
    match (name, words.as_slice(), patterns.len()) {
        ("true", [], 0) => Ok(Pattern::Always(true)),
        // A package that can be installed has a version.
        ("false" | "virtual", [], 0) => Ok(Pattern::Always(false)),
        ("essential", [], 0) => Ok(Pattern::Essential),
        ("and", [], 1..) => Ok(Pattern::And(patterns)),
        ("or", [], 1..) => Ok(Pattern::Or(patterns)),
        ("narrow", [], 1..) => Ok(Pattern::AnyVersion(Box::new(Pattern::And(patterns)))),
        ("not", [], 1) => Ok(Pattern::Not(Box::new(single_or(patterns, Pattern::And)))),
        ("any-version", [], 1) => Ok(Pattern::AnyVersion(Box::new(single_or(patterns, Pattern::And)))),
        ("all-versions", [], 1) => Ok(Pattern::AllVersions(Box::new(single_or(patterns, Pattern::And)))),
        (_, [word], 0) if !is_plural => of_word(name, word),
        _ => Err(complaint(name)),
    }
}

/// Makes the pattern of that name and one word.
fn of_word(name: &str, word: &str) -> Result<Pattern, String> {
    Ok(match name {
        "exact-name" => Pattern::ExactName(word.to_owned()),
        "exact-source-package" => Pattern::ExactSourcePackage(word.to_owned()),
        "architecture" => Pattern::Architecture(word.to_owned()),
        "priority" => Pattern::Priority(word.to_owned()),
        "name" => Pattern::Name(regex(word)?),
        "archive" => Pattern::Archive(regex(word)?),
        "codename" => Pattern::Codename(regex(word)?),
        "origin" => Pattern::Origin(regex(word)?),
        "section" => Pattern::Section(regex(word)?),
        "source-package" => Pattern::SourcePackage(regex(word)?),
        "source-version" => Pattern::SourceVersion(regex(word)?),
        "version" => Pattern::Version(regex(word)?),
        _ => return Err(complaint(name)),
    })
}

/// Returns why there is no such pattern with such arguments.
fn complaint(name: &str) -> String {
    match name {
        "automatic" | "broken" | "config-files" | "garbage" | "installed" | "obsolete" | "upgradable" => {
            format!("?{name} asks for what is installed, and nothing is yet")
        }
        "and" | "or" | "not" | "narrow" | "any-version" | "all-versions" => format!("?{name} needs patterns"),
        "true" | "false" | "virtual" | "essential" => format!("?{name} takes nothing in parentheses"),
        "exact-name"
        | "exact-source-package"
        | "architecture"
        | "priority"
        | "name"
        | "archive"
        | "codename"
        | "origin"
        | "section"
        | "source-package"
        | "source-version"
        | "version" => {
            format!("?{name} needs one word in parentheses")
        }
        _ => format!("?{name} is not known here"),
    }
}

fn regex(text: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(text).case_insensitive(true).size_limit(1 << 20).build();
    built.map_err(|_| format!("{text} is no regular expression"))
}
