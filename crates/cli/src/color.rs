//! Colours, by one rule: `NO_COLOR` turns them off, else `FORCE_COLOR` turns them on, else a terminal that is not `dumb` has them.

use crate::environment::variable;
use std::borrow::Cow;
use std::io::IsTerminal;

/// The beginnings of lines that are coloured, and how (ECMA-48, SGR): bold red, bold yellow, bold cyan.
const HEADS: [(&str, &str); 3] = [("error:", "1;31"), ("warning:", "1;33"), ("hint:", "1;36")];

/// Whether text on standard error has colours.
pub(crate) fn is_on() -> bool {
    rule(&variable, std::io::stderr().is_terminal())
}

fn rule(variable: &dyn Fn(&str) -> Option<String>, is_terminal: bool) -> bool {
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    let is_forced = is_set("FORCE_COLOR") && variable("FORCE_COLOR").is_none_or(|value| value != "0");
    match (is_set("NO_COLOR"), is_forced) {
        (true, _) => false,
        (_, true) => true,
        _ => is_terminal && variable("TERM").is_none_or(|term| term != "dumb"),
    }
}

/// Colours the first word of each line that is an error, a warning or a hint.
pub(crate) fn paint(text: &str, is_on: bool) -> Cow<'_, str> {
    if !is_on {
        return Cow::Borrowed(text);
    }
    let lines = text.split_inclusive('\n').map(|line| {
        let head = HEADS.iter().find(|(head, _)| line.starts_with(head));
        head.map_or_else(
            || line.to_owned(),
            |(head, code)| format!("\x1b[{code}m{head}\x1b[0m{}", line.strip_prefix(head).unwrap_or_default()),
        )
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_comes_before_the_terminal() {
        let with = |set: &[(&str, &str)], is_terminal| {
            let find = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            rule(&find, is_terminal)
        };
        assert!(with(&[], true) && !with(&[], false));
        assert!(!with(&[("NO_COLOR", "1"), ("FORCE_COLOR", "1")], true));
        assert!(with(&[("NO_COLOR", ""), ("FORCE_COLOR", "1")], false));
        assert!(!with(&[("TERM", "dumb")], true) && !with(&[("FORCE_COLOR", "0")], false));
    }

    #[test]
    fn only_heads_of_lines_are_coloured() {
        let text = "error: cannot\n  because: error: no\nhint: do\n";
        assert_eq!(paint(text, false), text);
        assert_eq!(
            paint(text, true),
            "\x1b[1;31merror:\x1b[0m cannot\n  because: error: no\n\x1b[1;36mhint:\x1b[0m do\n"
        );
    }
}
