//! Rules about the length of functions and the number of their parameters.

use super::source::{Keep, Token, tokens, without_tests};
use super::tree::{Finding, Tree, finding};

/// The most lines, from the line of `fn` to the line of the last brace.
const LONGEST_FUNCTION: usize = 60;

/// The most parameters. `self` is not counted.
const MOST_PARAMETERS: usize = 5;

struct Function<'t> {
    name: &'t str,
    /// The line of `fn`, from 0.
    line: usize,
    lines: usize,
    parameters: usize,
}

/// A function is one idea, so it is short and takes few parameters.
pub fn functions(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.program() {
        let code = without_tests(text, Keep::Code);
        for Function { name, line, lines, parameters } in all(&tokens(&code)) {
            if lines > LONGEST_FUNCTION {
                findings.push(finding(path, line, format!("`{name}` has {lines} lines, at most {LONGEST_FUNCTION}")));
            }
            if parameters > MOST_PARAMETERS {
                let rule = format!("`{name}` has {parameters} parameters, at most {MOST_PARAMETERS}");
                findings.push(finding(path, line, rule));
            }
        }
    }
    findings
}

fn all<'t>(tokens: &[Token<'t>]) -> Vec<Function<'t>> {
    let mut functions = Vec::new();
    for (at, pair) in tokens.windows(2).enumerate() {
        let [keyword, name] = pair else { continue };
        // `fn` without a name is the type of a function pointer.
        if keyword.text == "fn" && name.is_word() {
            let (parameters, end) = parameters(&tokens[at + 2..]);
            let lines = body_end(&tokens[at + 2 + end..]).map_or(1, |last| last + 1 - keyword.line);
            functions.push(Function { name: name.text, line: keyword.line, lines, parameters });
        }
    }
    functions
}

/// Returns the number of parameters, and the number of tokens from here to the end of the parameter list, generics
/// included.
fn parameters(tokens: &[Token]) -> (usize, usize) {
    let (mut brackets, mut angles) = (0usize, 0usize);
    let (mut count, mut is_empty, mut is_self) = (0, true, false);
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "(" | "[" | "{" => brackets += 1,
            ")" | "]" | "}" => brackets = brackets.saturating_sub(1),
            "<" => angles += 1,
            ">" => angles = angles.saturating_sub(1),
            _ => {}
        }
        let ends = brackets == 0 && angles == 0;
        if ends || (token.text == "," && brackets == 1 && angles == 0) {
            count += usize::from(!is_empty && !is_self);
            (is_empty, is_self) = (true, false);
        } else if token.text != "(" || brackets > 1 {
            is_empty = false;
            is_self |= token.text == "self" && brackets == 1;
        }
        if ends && token.text == ")" {
            return (count, at + 1);
        }
        if ends {
            // The generics end here, and their parameters do not count.
            count = 0;
        }
    }
    (count, tokens.len())
}

/// Returns the line of the brace that ends the body; `None` if the function has no body. `tokens` follow the
/// parameters.
fn body_end(tokens: &[Token]) -> Option<usize> {
    let mut depth = 0usize;
    for token in tokens {
        match token.text {
            ";" if depth == 0 => return None,
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(token.line);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_counted_without_self() {
        for (code, expected) in [
            ("fn f() {}", 0),
            ("fn f(&self) {}", 0),
            ("fn f(&'a mut self, a: u8) {}", 1),
            ("fn f(mut self: Box<Self>, a: u8, b: (u8, u8), ) -> u8 {}", 2),
            ("fn f<A: Fn(u8, u8) -> u8, B>(a: A, b: impl Fn(A, B) -> Result<A, B>) where A: Fn(u8, u8) {}", 2),
            ("fn f(Pair { a, b }: Pair, map: HashMap<u8, [u8; 3]>, c: fn(u8, u8)) -> X;", 3),
        ] {
            let tokens = tokens(code);
            let counts: Vec<usize> = all(&tokens).iter().map(|function| function.parameters).collect();
            assert_eq!(counts, [expected], "{code}");
        }
    }

    #[test]
    fn long_functions_and_long_lists_are_found() {
        let function =
            |lines: usize| format!("fn long(a: [u8; 2]) -> [u8; 2] {{\n{}}}\n", "    x;\n".repeat(lines - 2));
        let many = "fn many(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8) {}\n";
        let code = format!("{}{}{many}", function(60), function(61));
        let found = functions(&Tree::of(&[("crates/image/src/x.rs", &code)]));
        let rules: Vec<_> = found.iter().map(|found| (found.line, found.rule.as_str())).collect();
        assert_eq!(rules, [(61, "`long` has 61 lines, at most 60"), (122, "`many` has 6 parameters, at most 5")]);
        for tests in ["crates/image/src/x_tests.rs", "crates/image/tests/x.rs", "tests/src/x.rs"] {
            assert_eq!(functions(&Tree::of(&[(tests, &code)])), [], "{tests}");
        }
        let inside = format!("#[cfg(test)]\nmod tests {{\n{code}}}\n");
        assert_eq!(functions(&Tree::of(&[("crates/image/src/x.rs", &inside)])), []);
        assert_eq!(functions(&Tree::of(&[("crates/image/src/x.rs", &many.replace("f: u8", "self"))])), []);
    }
}
