//! Finds out which file of a package imports which other, from the items that each file names.
//!
//! A path is followed to the file that defines its item: through modules, `use` and `pub use`, as the compiler does. An
//! item that a module re-exports from a module below it does not count as an import. Tests are left out. Methods and
//! the code that macros make are not seen, but the type or the macro that they belong to is named and counts.

use std::collections::{BTreeMap, HashMap};

use super::source::{Keep, Token, tokens, without_tests};
use super::tree::Tree;

/// The imports of a package: from which file to which, and on which line (from 0) first.
pub type Imports = BTreeMap<(String, String), usize>;

/// Returns the imports between the files of the package whose root module is the file `root`.
pub fn imports(tree: &Tree, root: &str) -> Imports {
    let mut package = Package::default();
    package.read(tree, root, None);
    let mut imports = Imports::new();
    for (number, module) in package.modules.iter().enumerate() {
        for mention in &module.mentions {
            let Some(Target::Item(definer)) = package.target(number, &mention.path, STEPS) else { continue };
            let other = &package.modules[definer].file;
            if module.file != *other && !(mention.is_reexported && package.is_below(definer, number)) {
                let line = imports.entry((module.file.clone(), other.clone())).or_insert(mention.line);
                *line = mention.line.min(*line);
            }
        }
    }
    imports
}

/// The most `use` items that a path is followed through. Without a limit, modules that re-export the same names from
/// each other would never end.
const STEPS: usize = 10;

#[derive(Default)]
struct Package {
    /// All modules. The first is the root.
    modules: Vec<Module>,
}

struct Module {
    file: String,
    parent: Option<usize>,
    names: HashMap<String, Vec<Name>>,
    /// The paths before `::*`.
    globs: Vec<Vec<String>>,
    mentions: Vec<Mention>,
}

/// What a name stands for in a module.
enum Name {
    Module(usize),
    Item,
    Use(Vec<String>),
}

/// A path in the source.
struct Mention {
    path: Vec<String>,
    line: usize,
    /// Whether the path is in a `pub use` of any visibility.
    is_reexported: bool,
}

/// Where a path leads.
#[derive(Clone, Copy)]
enum Target {
    Module(usize),
    /// An item, by the number of the module that defines it.
    Item(usize),
}

impl Package {
    /// Reads the file of a module and the files of the modules below it. Returns its number.
    fn read(&mut self, tree: &Tree, file: &str, parent: Option<usize>) -> usize {
        let code = without_tests(tree.text(file).unwrap_or_default(), Keep::Code);
        let number = self.add(file, parent);
        let directory = match file.rsplit_once('/') {
            Some((directory, "lib.rs" | "main.rs" | "mod.rs")) => directory,
            _ => file.trim_end_matches(".rs"),
        };
        self.scan(tree, &tokens(&code), number, directory);
        number
    }

    fn add(&mut self, file: &str, parent: Option<usize>) -> usize {
        let (names, globs, mentions) = (HashMap::new(), Vec::new(), Vec::new());
        self.modules.push(Module { file: file.to_owned(), parent, names, globs, mentions });
        self.modules.len() - 1
    }

    /// Reads the tokens of a module. The files of the modules below it are in `directory`.
    fn scan(&mut self, tree: &Tree, tokens: &[Token], module: usize, directory: &str) {
        let (mut at, mut depth) = (0, 0usize);
        while let Some(token) = tokens.get(at) {
            let text = |place: usize| tokens.get(place).map_or("", |token| token.text);
            let before = at.checked_sub(1).map_or("", text);
            match token.text {
                "{" => depth += 1,
                "}" => depth = depth.saturating_sub(1),
                "mod" if text(at + 2) == ";" => {
                    let below = ["", "/mod"].map(|end| format!("{directory}/{}{end}.rs", text(at + 1)));
                    if let Some(file) = below.iter().find(|file| tree.text(file).is_some()) {
                        let child = self.read(tree, file, Some(module));
                        self.name(module, text(at + 1), Name::Module(child));
                    }
                    at += 2;
                }
                "mod" if text(at + 2) == "{" => {
                    let file = self.modules[module].file.clone();
                    let child = self.add(&file, Some(module));
                    self.name(module, text(at + 1), Name::Module(child));
                    let length = block(&tokens[at + 2..]);
                    let below = format!("{directory}/{}", text(at + 1));
                    self.scan(tree, &tokens[at + 3..at + 2 + length], child, &below);
                    at += 1 + length;
                }
                "use" => {
                    let is_reexported = before == "pub" || before == ")";
                    at += 1 + self.import(&tokens[at + 1..], &[], is_reexported, module);
                    continue;
                }
                "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" if depth == 0 => {
                    self.name(module, text(at + 1), Name::Item);
                }
                "macro_rules" => self.name(module, text(at + 2), Name::Item),
                _ if token.is_word() && ![".", "::"].contains(&before) => {
                    let mut path = vec![token.text.to_owned()];
                    while text(at + 1) == "::" && tokens.get(at + 2).is_some_and(Token::is_word) {
                        path.push(tokens[at + 2].text.to_owned());
                        at += 2;
                    }
                    self.modules[module].mentions.push(Mention { path, line: token.line, is_reexported: false });
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn name(&mut self, module: usize, name: &str, meaning: Name) {
        self.modules[module].names.entry(name.to_owned()).or_default().push(meaning);
    }

    /// Reads the tree behind a `use`, or one branch of it. Returns the number of its tokens.
    fn import(&mut self, tokens: &[Token], start: &[String], is_reexported: bool, module: usize) -> usize {
        let mut path = start.to_vec();
        let mut name = None;
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token.text {
                "::" => {}
                "{" => {
                    at += 1;
                    while tokens.get(at).is_some_and(|token| token.text != "}") {
                        at += self.import(&tokens[at..], &path, is_reexported, module);
                        at += usize::from(tokens.get(at).is_some_and(|token| token.text == ","));
                    }
                    return at + 1;
                }
                "*" => {
                    self.modules[module].globs.push(path);
                    return at + 1;
                }
                "as" => {
                    name = tokens.get(at + 1).map(|token| token.text.to_owned());
                    at += 1;
                }
                "self" if !path.is_empty() => {}
                _ if token.is_word() => path.push(token.text.to_owned()),
                _ => break,
            }
            at += 1;
        }
        let line = tokens.first().map_or(0, |token| token.line);
        if let Some(name) = name.or_else(|| path.last().cloned()) {
            self.name(module, &name, Name::Use(path.clone()));
        }
        self.modules[module].mentions.push(Mention { path, line, is_reexported });
        at
    }

    /// Returns where a path in a module leads; `None` if it leads out of the package.
    fn target(&self, module: usize, path: &[String], steps: usize) -> Option<Target> {
        let steps = steps.checked_sub(1)?;
        let (first, rest) = path.split_first()?;
        let mut target = match first.as_str() {
            "crate" => Target::Module(0),
            "self" => Target::Module(module),
            "super" => Target::Module(self.modules[module].parent?),
            name => self.lookup(module, name, !rest.is_empty(), steps)?,
        };
        for (at, name) in rest.iter().enumerate() {
            target = match target {
                Target::Item(_) => return Some(target),
                Target::Module(inner) if name == "super" => Target::Module(self.modules[inner].parent?),
                Target::Module(inner) => self.lookup(inner, name, at + 1 < rest.len(), steps)?,
            };
        }
        Some(target)
    }

    /// Returns what a name means in a module. A module and an item may have the same name. If the path goes on after
    /// the name (`leads_on`), the name means the module.
    fn lookup(&self, module: usize, name: &str, leads_on: bool, steps: usize) -> Option<Target> {
        let this = &self.modules[module];
        let mut targets = Vec::new();
        for meaning in this.names.get(name).into_iter().flatten() {
            targets.extend(match meaning {
                Name::Module(child) => Some(Target::Module(*child)),
                Name::Item => Some(Target::Item(module)),
                Name::Use(path) => self.target(module, path, steps),
            });
        }
        let wanted = targets.iter().find(|target| matches!(target, Target::Module(_)) == leads_on);
        if let Some(target) = wanted.or(targets.first()) {
            return Some(*target);
        }
        this.globs.iter().find_map(|glob| match self.target(module, glob, steps)? {
            Target::Module(other) if other != module => self.lookup(other, name, leads_on, steps.checked_sub(1)?),
            _ => None,
        })
    }

    fn is_below(&self, module: usize, above: usize) -> bool {
        let mut parent = self.modules[module].parent;
        while let Some(number) = parent {
            if number == above {
                return true;
            }
            parent = self.modules[number].parent;
        }
        false
    }
}

/// Returns the number of tokens from an opening brace to its closing one.
fn block(tokens: &[Token]) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the imports of a package in `x/src`, as `FROM:LINE TO`.
    fn of(files: &[(&str, &str)]) -> Vec<String> {
        let imports = imports(&Tree::of(files), files[0].0);
        let name = |file: &str| file.trim_start_matches("x/src/").trim_end_matches(".rs").to_owned();
        imports.iter().map(|((from, to), line)| format!("{}:{} {}", name(from), line + 1, name(to))).collect()
    }

    /// Returns the imports of a file `a` in a package with the modules `b`, `b::c`, `b::c::d` and `e`. The root
    /// re-exports items of `e`.
    fn from_a(code: &str) -> Vec<String> {
        of(&[
            ("x/src/lib.rs", "mod a;\nmod b;\nmod e;\npub use e::{Thing, e};\npub use serde::Other;\npub struct Own;"),
            ("x/src/a.rs", code),
            ("x/src/b.rs", "pub mod c;\npub fn f() {}\npub(crate) use c::d::Deep;"),
            ("x/src/b/c/mod.rs", "pub mod d;\npub enum Kind { One }\npub use d::*;"),
            ("x/src/b/c/d.rs", "pub struct Deep;\npub struct Glob;"),
            ("x/src/e.rs", "pub struct Thing;\npub fn e() {}"),
        ])
    }

    #[test]
    fn a_path_leads_to_the_file_that_defines_its_item() {
        for (code, expected) in [
            ("use crate::b::f;", &["a:1 b"][..]),
            ("use super::b;\nfn g() { b::f() }", &["a:2 b"]),
            ("use super::b;", &[]),
            ("fn g() { crate::b::c::Kind::One }", &["a:1 b/c/mod"]),
            (
                "use crate::{b::c::{self, d::Deep}, Own};\nfn g() { c::Kind::One }",
                &["a:1 b/c/d", "a:2 b/c/mod", "a:1 lib"],
            ),
            ("use super::b::Deep;", &["a:1 b/c/d"]),
            ("use super::b::c::Glob;", &["a:1 b/c/d"]),
            ("use super::b::c::*;\nfn g(x: Glob) {}", &["a:2 b/c/d"]),
            ("use crate::Thing as Other;", &["a:1 e"]),
            ("use crate::e;\nfn g() { e::e() }", &["a:1 e"]),
            ("use crate::Other;", &[]),
            ("use std::fmt::Write as _;\nfn g(x: b::f) { x.e(); }", &[]),
            ("mod inner {\nuse super::super::Own;\n}", &["a:2 lib"]),
            ("mod inner { pub struct Own; }\nuse inner::Own;", &[]),
            ("pub(crate) use super::b::f;", &["a:1 b"]),
            ("#[cfg(test)]\nmod a_tests { use crate::b::f; }\n// crate::b::f", &[]),
        ] {
            assert_eq!(from_a(code), expected, "{code}");
        }
    }

    #[test]
    fn a_reexport_from_below_is_no_import_but_a_use_is() {
        let child = ("x/src/a.rs", "pub struct A;");
        assert_eq!(of(&[("x/src/lib.rs", "mod a;\npub use a::A;"), child]), [""; 0]);
        assert_eq!(of(&[("x/src/lib.rs", "mod a;\npub use a::A;\npub fn f(a: A) {}"), child]), ["lib:3 a"]);
        assert_eq!(of(&[("x/src/lib.rs", "mod a;\nuse a::A;"), child]), ["lib:2 a"]);
    }

    #[test]
    fn names_that_lead_in_a_circle_lead_nowhere() {
        let files = [
            ("x/src/lib.rs", "mod a;\nmod b;"),
            ("x/src/a.rs", "pub use super::b::X;\npub use super::b::*;"),
            ("x/src/b.rs", "pub use super::a::X;\npub use super::a::*;\nfn f() { Y }"),
        ];
        assert_eq!(of(&files), [""; 0]);
    }
}
