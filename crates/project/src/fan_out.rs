//! The jobs into which a CI system spreads the images of a manifest.

use crate::image::Image;
use serde_json::{Value, json};

/// Whose jobs they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// `strategy.matrix` of a GitHub workflow, in one line.
    Github,
    /// A child pipeline of GitLab.
    Gitlab,
    /// `withParam` of an Argo workflow, in one line.
    Argo,
    /// A pipeline of Buildkite.
    Buildkite,
    /// A list with all that is known.
    Json,
}

/// Why images cannot be spread.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{engine} takes {most} jobs at most, and these would be {jobs}")]
pub struct TooManyJobs {
    engine: &'static str,
    most: usize,
    jobs: usize,
}

impl Engine {
    /// Returns the name of the system, and how many jobs one matrix may have there.
    fn limit(self) -> Option<(&'static str, usize)> {
        match self {
            Self::Github => Some(("GitHub", 256)),
            Self::Gitlab => Some(("GitLab", 200)),
            Self::Buildkite => Some(("Buildkite", 500)),
            Self::Argo | Self::Json => None,
        }
    }
}

/// Returns the jobs for these images: one for each, or so many shards. The same images give the same text.
///
/// # Errors
/// The system does not take so many.
pub fn fan_out(images: &[&Image], engine: Engine, shards: Option<usize>) -> Result<String, TooManyJobs> {
    let jobs = shards.unwrap_or(images.len());
    if let Some((engine, most)) = engine.limit().filter(|(_, most)| jobs > *most) {
        return Err(TooManyJobs { engine, most, jobs });
    }
    // Jobs of an empty list would be refused: the workflow has to leave them out.
    let shards: Vec<String> = shards.into_iter().flat_map(|of| (1..=of).map(move |at| format!("{at}/{of}"))).collect();
    let names: Vec<&str> = images.iter().map(|image| image.name.as_str()).collect();
    let entries: Vec<Value> = match shards.is_empty() {
        true => names.iter().map(|name| json!({ "image": name })).collect(),
        false => shards.iter().map(|shard| json!({ "shard": shard })).collect(),
    };
    Ok(match engine {
        Engine::Github => format!("{}\n", json!({ "include": entries })),
        Engine::Argo => format!("{}\n", Value::Array(entries)),
        Engine::Json => {
            let list = |image: &&Image| {
                let values = |key: &str| image.values(key);
                json!({
                    "image": image.name,
                    "suite": image.value("suite"),
                    "arch": values("arch"),
                    "variant": image.value("variant"),
                    "target": image.value("target"),
                    "push": values("push"),
                })
            };
            let all: Vec<Value> = images.iter().map(list).collect();
            format!("{:#}\n", Value::Array(all))
        }
        Engine::Gitlab => gitlab(&names, &shards),
        Engine::Buildkite => buildkite(&names, &shards),
    })
}

/// A child pipeline: the file that includes it says what `.rootstrap` does with `$ROOTSTRAP_ARGUMENTS`.
fn gitlab(names: &[&str], shards: &[String]) -> String {
    let arguments: Vec<String> = match shards.is_empty() {
        true => names.iter().map(|name| (*name).to_owned()).collect(),
        false => shards.iter().map(|shard| format!("--shard={shard}")).collect(),
    };
    if arguments.is_empty() {
        // A pipeline must have a job.
        return "nothing:\n  script: [\"true\"]\n".to_owned();
    }
    format!(
        "build:\n  extends: .rootstrap\n  parallel:\n    matrix:\n      - ROOTSTRAP_ARGUMENTS: {}\n",
        json!(arguments)
    )
}

fn buildkite(names: &[&str], shards: &[String]) -> String {
    let step = |label: &str, arguments: &str| {
        let command = format!("rootstrap build --changed --push --keep-going {arguments}");
        json!({ "label": label, "command": command })
    };
    let steps: Vec<Value> = match shards.is_empty() {
        true => names.iter().map(|name| step(name, name)).collect(),
        false => shards.iter().map(|shard| step(shard, &format!("--shard={shard}"))).collect(),
    };
    // JSON is YAML, and the agent takes it.
    format!("{:#}\n", json!({ "steps": steps }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(count: usize) -> Vec<Image> {
        (0..count).map(|at| Image { name: format!("i{at}"), line: 1, settings: Vec::new() }).collect()
    }

    fn of(count: usize, engine: Engine, shards: Option<usize>) -> Result<String, TooManyJobs> {
        fan_out(&images(count).iter().collect::<Vec<_>>(), engine, shards)
    }

    #[test]
    fn each_system_gets_its_form() {
        assert_eq!(of(2, Engine::Github, None).unwrap(), "{\"include\":[{\"image\":\"i0\"},{\"image\":\"i1\"}]}\n");
        assert_eq!(of(9, Engine::Argo, Some(2)).unwrap(), "[{\"shard\":\"1/2\"},{\"shard\":\"2/2\"}]\n");
        assert!(of(2, Engine::Gitlab, None).unwrap().ends_with("- ROOTSTRAP_ARGUMENTS: [\"i0\",\"i1\"]\n"));
        assert!(of(2, Engine::Gitlab, Some(1)).unwrap().ends_with("[\"--shard=1/1\"]\n"));
        assert!(of(0, Engine::Gitlab, None).unwrap().starts_with("nothing:"));
        let steps: Value = serde_json::from_str(&of(1, Engine::Buildkite, None).unwrap()).unwrap();
        assert_eq!(steps["steps"][0]["command"], "rootstrap build --changed --push --keep-going i0");
        let list: Value = serde_json::from_str(&of(3, Engine::Json, None).unwrap()).unwrap();
        assert_eq!(list.as_array().map(Vec::len), Some(3));
    }

    #[test]
    fn limits_of_systems_are_kept() {
        assert!(of(256, Engine::Github, None).is_ok() && of(1000, Engine::Github, Some(256)).is_ok());
        let error = of(257, Engine::Github, None).unwrap_err().to_string();
        assert_eq!(error, "GitHub takes 256 jobs at most, and these would be 257");
        assert!(of(201, Engine::Gitlab, None).is_err() && of(1000, Engine::Argo, None).is_ok());
    }
}
