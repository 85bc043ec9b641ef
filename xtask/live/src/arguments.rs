//! The command lines of the chores.

use std::slice::Iter;

/// Returns the words of a command line with each `--name=value` taken apart into two. What follows `--` stays as it is.
pub fn split(words: &[String]) -> Vec<String> {
    let (own, rest) = words.split_at(words.iter().position(|word| word == "--").unwrap_or(words.len()));
    let parts =
        own.iter().flat_map(|word| word.split_once('=').map_or(vec![&**word], |(name, value)| vec![name, value]));
    parts.map(str::to_owned).chain(rest.iter().cloned()).collect()
}

/// Returns the next word as the value of the option `name`.
pub fn value(name: &str, words: &mut Iter<'_, String>) -> Result<String, String> {
    words.next().cloned().ok_or_else(|| format!("{name} needs a value"))
}

/// Returns an absolute path of a program, because it runs in another directory. A word without a slash is a name and stays.
pub fn program(word: &str) -> Result<String, String> {
    if !word.contains('/') {
        return Ok(word.to_owned());
    }
    let path = std::path::absolute(word).map_err(|error| format!("cannot use {word}: {error}"))?;
    path.into_os_string().into_string().map_err(|path| format!("cannot use {}: not UTF-8", path.display()))
}

/// Returns the elements of a list that commas separate.
pub fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_follow_their_options_in_either_form() {
        let words = ["--suite=focal", "--runs", "3", "--", "--include=a"].map(str::to_owned);
        assert_eq!(split(&words), ["--suite", "focal", "--runs", "3", "--", "--include=a"]);
        assert_eq!(list("a,b"), ["a", "b"]);
        assert!(value("--suite", &mut [].iter()).is_err());
        assert_eq!(program("mmdebstrap").unwrap(), "mmdebstrap");
        assert!(program("target/x").unwrap().starts_with('/'));
    }
}
