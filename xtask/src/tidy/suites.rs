//! The files of `suites/`, as far as the rules need them.

/// A suite as its file describes it.
pub struct Suite {
    /// Its codename.
    pub codename: String,
    /// The names of its files in `keyrings/`.
    pub keyrings: Vec<String>,
}

/// Reads a file of `suites/`.
pub fn parse(text: &str) -> Result<Vec<Suite>, String> {
    let table: toml::Table = toml::from_str(text).map_err(|error| format!("not valid TOML: {}", error.message()))?;
    let suites = table.get("suite").and_then(toml::Value::as_array).ok_or("lists no suite")?;
    suites.iter().map(|suite| suite_of(suite).ok_or_else(|| "a suite has no codename".to_owned())).collect()
}

fn suite_of(suite: &toml::Value) -> Option<Suite> {
    let keyrings = suite.get("keyrings").and_then(toml::Value::as_array).into_iter().flatten();
    Some(Suite {
        codename: suite.get("codename")?.as_str()?.to_owned(),
        keyrings: keyrings.filter_map(|keyring| keyring.as_str().map(str::to_owned)).collect(),
    })
}
