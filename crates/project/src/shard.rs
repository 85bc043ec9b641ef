//! Which images of a manifest one machine of many makes.

use sha2::{Digest, Sha256};

/// A part of the images: those whose names have this remainder. An image stays in its shard when others come or go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its number, counted from 1.
    number: u64,
    /// How many there are.
    count: u64,
}

/// Why there is no shard.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each field is")]
pub enum ShardError {
    #[error("cannot use `{0}` as a shard: it must be I/N, with I from 1 to N, or auto, or auto/N")]
    Malformed(String),
    #[error("no variable of a CI system says which shard this is")]
    Nowhere,
    #[error("Kubernetes says which shard this is, but not how many there are: use --shard auto/N")]
    NoCount,
    #[error("{variable} is `{value}`, and no shard has this number")]
    Variable { variable: &'static str, value: String },
}

/// How a system numbers the tasks of one job: the variables with the number and with the count, and the first number.
const SYSTEMS: [(&str, &str, u64); 5] = [
    ("CI_NODE_INDEX", "CI_NODE_TOTAL", 1),
    ("BUILDKITE_PARALLEL_JOB", "BUILDKITE_PARALLEL_JOB_COUNT", 0),
    ("CIRCLE_NODE_INDEX", "CIRCLE_NODE_TOTAL", 0),
    ("SYSTEM_JOBPOSITIONINPHASE", "SYSTEM_TOTALJOBSINPHASE", 1),
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", 0),
];

const KUBERNETES: &str = "JOB_COMPLETION_INDEX";

impl Shard {
    /// Parses `I/N`, `auto` or `auto/N`. `variable` looks up a variable of the environment.
    ///
    /// # Errors
    /// The text is none of them, or no system of CI says which shard this is.
    pub fn parse(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, ShardError> {
        let malformed = || ShardError::Malformed(text.to_owned());
        let count = |text: &str| text.parse::<u64>().ok().filter(|count| *count > 0);
        match text.split_once('/') {
            None if text == "auto" => Self::find(None, variable),
            Some(("auto", given)) => Self::find(Some(count(given).ok_or_else(malformed)?), variable),
            Some((number, given)) => {
                let shard =
                    Self { number: count(number).ok_or_else(malformed)?, count: count(given).ok_or_else(malformed)? };
                if shard.number <= shard.count { Ok(shard) } else { Err(malformed()) }
            }
            None => Err(malformed()),
        }
    }

    /// Asks the environment.
    fn find(given: Option<u64>, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, ShardError> {
        let number = |name: &'static str| -> Result<Option<u64>, ShardError> {
            let Some(value) = variable(name) else { return Ok(None) };
            value.trim().parse().map(Some).map_err(|_| ShardError::Variable { variable: name, value })
        };
        for (index, total, first) in SYSTEMS {
            // Outside of parallel jobs, some systems leave the variables out.
            let (Some(at), Some(total)) = (number(index)?, number(total)?) else { continue };
            // An array of Slurm begins anywhere, and has steps.
            let (first, step) = match index {
                "SLURM_ARRAY_TASK_ID" => {
                    (number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0), number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1))
                }
                _ => (first, 1),
            };
            return at
                .checked_sub(first)
                .map(|at| at / step)
                .filter(|at| *at < total)
                .map(|at| Self { number: at + 1, count: given.unwrap_or(total) })
                .filter(|shard| shard.number <= shard.count)
                .ok_or_else(|| ShardError::Variable { variable: index, value: at.to_string() });
        }
        let Some(at) = number(KUBERNETES)? else { return Err(ShardError::Nowhere) };
        let count = given.ok_or(ShardError::NoCount)?;
        match at < count {
            true => Ok(Self { number: at + 1, count }),
            false => Err(ShardError::Variable { variable: KUBERNETES, value: at.to_string() }),
        }
    }

    /// Returns whether the image with this name belongs to the shard.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let digest = Sha256::digest(name);
        let hash = digest.iter().take(8).fold(0, |hash: u64, byte| (hash << 8) | u64::from(*byte));
        hash % self.count + 1 == self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, variables: &[(&str, &str)]) -> Result<Shard, ShardError> {
        let find =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Shard::parse(text, &find)
    }

    #[test]
    fn systems_say_which_shard_this_is() {
        let shard = |number, count| Ok(Shard { number, count });
        assert_eq!(of("3/8", &[]), shard(3, 8));
        for (text, variables, expect) in [
            ("auto", &[("CI_NODE_INDEX", "2"), ("CI_NODE_TOTAL", "4")][..], shard(2, 4)),
            ("auto", &[("BUILDKITE_PARALLEL_JOB", "0"), ("BUILDKITE_PARALLEL_JOB_COUNT", "5")], shard(1, 5)),
            ("auto", &[("CIRCLE_NODE_INDEX", "4"), ("CIRCLE_NODE_TOTAL", "5")], shard(5, 5)),
            ("auto", &[("SYSTEM_JOBPOSITIONINPHASE", "1"), ("SYSTEM_TOTALJOBSINPHASE", "2")], shard(1, 2)),
            (
                "auto",
                &[
                    ("SLURM_ARRAY_TASK_ID", "14"),
                    ("SLURM_ARRAY_TASK_MIN", "10"),
                    ("SLURM_ARRAY_TASK_STEP", "2"),
                    ("SLURM_ARRAY_TASK_COUNT", "3"),
                ],
                shard(3, 3),
            ),
            ("auto/9", &[("JOB_COMPLETION_INDEX", "0")], shard(1, 9)),
            ("auto", &[("JOB_COMPLETION_INDEX", "0")], Err(ShardError::NoCount)),
            ("auto", &[], Err(ShardError::Nowhere)),
            (
                "auto",
                &[("CI_NODE_INDEX", "5"), ("CI_NODE_TOTAL", "4")],
                Err(ShardError::Variable { variable: "CI_NODE_INDEX", value: "5".to_owned() }),
            ),
            (
                "auto",
                &[("CI_NODE_INDEX", "0"), ("CI_NODE_TOTAL", "4")],
                Err(ShardError::Variable { variable: "CI_NODE_INDEX", value: "0".to_owned() }),
            ),
            (
                "auto/2",
                &[("JOB_COMPLETION_INDEX", "x")],
                Err(ShardError::Variable { variable: KUBERNETES, value: "x".to_owned() }),
            ),
        ] {
            assert_eq!(of(text, variables), expect, "{text} {variables:?}");
        }
        for text in ["", "0/3", "4/3", "1/0", "1", "auto/0", "auto/", "-1/2", "1/2/3"] {
            assert_eq!(of(text, &[]), Err(ShardError::Malformed(text.to_owned())));
        }
    }

    /// Every image is in one shard, all shards have about as many, and another image moves none.
    #[test]
    fn shards_share_the_images() {
        let names: Vec<String> = (0..1000).map(|number| format!("image-{number}")).collect();
        let shards: Vec<Shard> = (1..=8).map(|number| Shard { number, count: 8 }).collect();
        let counts: Vec<usize> =
            shards.iter().map(|shard| names.iter().filter(|name| shard.has(name)).count()).collect();
        assert_eq!(counts.iter().sum::<usize>(), 1000);
        assert!(counts.iter().all(|count| (90..170).contains(count)), "{counts:?}");
        // Later versions must not move them either.
        assert_eq!(shards.iter().position(|shard| shard.has("web")), Some(1));
    }
}
