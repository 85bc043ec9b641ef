//! Release files: fetched, verified, and held against what was asked for.

use crate::cache::{Cache, recall};
use crate::download::{Candidate, Failure, Job, Line};
use crate::error::{Error, Failures, Fault};
use crate::mirror::Mirror;
use crate::partial::Partial;
use crate::pocket::{Pocket, Policy};
use crate::signature::{Keyring, verify_detached, verify_inline};
use crate::{Event, Report, limits};
use rootstrap_debian::release::{Release, parse};

/// A Release file as it travels, not yet trusted.
#[derive(Clone, Debug)]
pub(crate) enum Signed {
    /// `InRelease`: text and signature in one.
    Inline(Vec<u8>),
    /// `Release` and `Release.gpg`.
    Detached { text: Vec<u8>, signature: Vec<u8> },
}

/// A Release file whose signature is good.
pub(crate) struct Checked {
    pub release: Release,
    /// The signed text, and nothing that stood around it.
    pub text: String,
    /// Fingerprints of the primary keys that signed.
    pub keys: Vec<String>,
}

/// A Release file that may be used, and where it came from.
pub(crate) struct Accepted {
    pub checked: Checked,
    /// The file as it came, to be remembered; none when it came from the cache.
    pub signed: Option<Signed>,
    /// Position of its mirror; none when it came from the cache.
    pub mirror: Option<usize>,
    /// Whether bytes come so fast that the cheaper decoder is worth more of them.
    pub is_fast: bool,
}

/// Everything a pocket's Release is judged by.
pub(crate) struct Question<'a> {
    pub pocket: &'a Pocket,
    pub architectures: &'a [&'a str],
    pub keyring: &'a Keyring,
    pub policy: &'a Policy,
}

/// Fetches a pocket's Release from the first mirror that has one which holds, or takes it from the cache when
/// downloading is off.
pub(crate) async fn obtain(
    line: &Line,
    cache: &Cache,
    question: &Question<'_>,
    mirrors: &[Mirror],
    report: Report<'_>,
) -> Result<Accepted, Error> {
    let usable: Vec<(usize, &Mirror)> =
        mirrors.iter().enumerate().filter(|(_, mirror)| !line.offline || mirror.is_directory()).collect();
    if usable.is_empty() {
        return from_cache(cache, question, report);
    }
    let what = format!("the Release file of {}", question.pocket.suite);
    let mut failures = Vec::new();
    let mut refusal = None;
    for (n, (position, mirror)) in usable.iter().enumerate() {
        let (reason, fault) = match from_mirror(line, cache, question, mirror, report).await {
            Ok((checked, signed, is_fast)) => {
                return Ok(Accepted { checked, signed: Some(signed), mirror: Some(*position), is_fast });
            }
            Err(Failure::Fault(fault)) => (fault.to_string(), fault),
            // Another mirror may be newer or intact: each has to prove itself. If none does, the first refusal tells.
            Err(Failure::Fatal(error)) if is_about_the_mirror(&error) => {
                let reason = chain(&error);
                refusal.get_or_insert(error);
                (reason.clone(), Fault::Untrusted(reason))
            }
            Err(Failure::Fatal(error)) => return Err(error),
        };
        let next = usable.get(n + 1).map(|(_, next)| next.shown.clone());
        report(Event::MirrorFailed { uri: mirror.shown.clone(), reason, next });
        failures.push((mirror.shown.clone(), fault));
    }
    Err(refusal.unwrap_or(Error::Fetch { what, source: Failures(failures) }))
}

fn is_about_the_mirror(error: &Error) -> bool {
    error.is_verification() || matches!(error, Error::Release { .. } | Error::NotText { .. })
}

fn chain(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

async fn from_mirror(
    line: &Line,
    cache: &Cache,
    question: &Question<'_>,
    mirror: &Mirror,
    report: Report<'_>,
) -> Result<(Checked, Signed, bool), Failure> {
    let directory = format!("dists/{}", question.pocket.suite);
    let (signed, file, is_fast) = match get(line, mirror, &directory, "InRelease", limits::RELEASE, report).await {
        Ok((message, is_fast)) => (Signed::Inline(message), "InRelease", is_fast),
        Err(Failure::Fault(Fault::Missing)) => {
            let (text, is_fast) = get(line, mirror, &directory, "Release", limits::RELEASE, report).await?;
            let (signature, _) = get(line, mirror, &directory, "Release.gpg", limits::SIGNATURE, report).await?;
            (Signed::Detached { text, signature }, "Release", is_fast)
        }
        Err(failure) => return Err(failure),
    };
    let what = format!("{}/{directory}/{file}", mirror.shown.trim_end_matches('/'));
    let checked = verify(signed.clone(), question.keyring.clone(), &what).await?;
    judge(&checked.release, question, &what)?;
    if !question.policy.allow_rollback {
        refuse_rollback(cache, &checked.release, question, &what).await?;
    }
    Ok((checked, signed, is_fast))
}

async fn get(
    line: &Line,
    mirror: &Mirror,
    directory: &str,
    name: &str,
    limit: u64,
    report: Report<'_>,
) -> Result<(Vec<u8>, bool), Failure> {
    let path = format!("{directory}/{name}");
    let job = Job { what: &path, report, progress: &|_| () };
    let candidate = Candidate { mirror, path: path.clone() };
    let mut partial = Partial::in_memory(limit);
    line.fetch_from(&job, candidate.mirror, &candidate.path, &mut partial).await?;
    // Whatever takes no measurable time is fast.
    #[allow(clippy::cast_precision_loss, reason = "a speed needs no 53 bits")]
    let speed = partial.received() as f64 / partial.body_time.as_secs_f64().max(1e-6);
    Ok((partial.into_bytes(), speed >= limits::FAST_LINK))
}

/// Verifies the signature and parses what it covers. On a thread of its own: several pockets come at once, and one
/// verification takes milliseconds.
async fn verify(signed: Signed, keyring: Keyring, what: &str) -> Result<Checked, Error> {
    let what = what.to_owned();
    let checked = tokio::task::spawn_blocking(move || verify_here(signed, &keyring, &what));
    checked.await.map_err(|error| Error::Threads { source: error.into() })?
}

fn verify_here(signed: Signed, keyring: &Keyring, what: &str) -> Result<Checked, Error> {
    let vouched = match signed {
        Signed::Inline(message) => verify_inline(&message, keyring),
        Signed::Detached { text, signature } => verify_detached(text, &signature, keyring),
    };
    let vouched = vouched.map_err(|source| Error::Signature { what: what.to_owned(), source })?;
    let text = String::from_utf8(vouched.bytes).map_err(|_| Error::NotText { what: what.to_owned() })?;
    let release = parse(&text).map_err(|source| Error::Release { what: what.to_owned(), source })?;
    Ok(Checked { release, text, keys: vouched.keys })
}

/// Holds a verified Release against what was asked for and when.
fn judge(release: &Release, question: &Question<'_>, what: &str) -> Result<(), Error> {
    let what = || what.to_owned();
    let now = question.policy.now;
    if !is_of_suite(release, &question.pocket.suite) {
        let (suite, codename) = (release.suite.clone(), release.codename.clone());
        return Err(Error::WrongSuite { what: what(), suite, codename });
    }
    if release.date > now.saturating_add(limits::FUTURE_LEEWAY) {
        return Err(Error::Future { what: what(), date: release.date, now });
    }
    let moment = if question.pocket.ended { release.date } else { now };
    if let Some(valid_until) = release.valid_until.filter(|until| *until < moment) {
        return Err(Error::Expired { what: what(), valid_until, date: release.date, now });
    }
    let absent = |wanted: &&&str| !release.architectures.iter().any(|listed| listed == **wanted);
    if let Some(wanted) = question.architectures.iter().find(absent) {
        let (wanted, listed) = ((*wanted).to_owned(), release.architectures.clone());
        return Err(Error::NoArchitecture { what: what(), wanted, listed });
    }
    for wanted in &question.pocket.components {
        if listed_component(release, wanted).is_none() {
            let (wanted, listed) = (wanted.clone(), release.components.clone());
            return Err(Error::NoComponent { what: what(), wanted, listed });
        }
    }
    Ok(())
}

/// Whether a Release is the one for `dists/SUITE/`.
///
/// Debian's Suite is an alias (`stable`) and its Codename the name, with `X/updates` published under codename X until
/// buster. Ubuntu's pockets have their own Suite (`focal-updates`) under one Codename: there the codename alone would let
/// a mirror pass one pocket off as another.
fn is_of_suite(release: &Release, suite: &str) -> bool {
    let base = suite.strip_suffix("/updates").unwrap_or(suite);
    let is_other_pocket =
        |codename: &str| release.suite.strip_prefix(codename).is_some_and(|rest| rest.starts_with('-'));
    !suite.is_empty()
        && (release.suite == suite
            || (release.suite == base && base != suite)
            || (release.codename == suite && !is_other_pocket(suite))
            || (release.codename == base && base != suite))
}

/// How a Release lists `component`: security pockets list `updates/main` for `main`.
pub(crate) fn listed_component<'a>(release: &'a Release, component: &str) -> Option<&'a str> {
    let is_it = |listed: &&String| {
        *listed == component || listed.strip_suffix(component).is_some_and(|prefix| prefix.ends_with('/'))
    };
    release.components.iter().find(is_it).map(String::as_str)
}

/// Refuses a Release older than one that was seen before. What is remembered counts only if the keys trusted now have
/// signed it, and only for the same Origin.
async fn refuse_rollback(cache: &Cache, release: &Release, question: &Question<'_>, what: &str) -> Result<(), Error> {
    for (filed, path) in cache.remembered(&question.pocket.suite) {
        if filed <= release.date {
            break;
        }
        let Ok(signed) = recall(&path) else { continue };
        let Ok(seen) = verify(signed, question.keyring.clone(), what).await else { continue };
        let seen = seen.release;
        // One from beyond the moment of judgement is not "before".
        let is_before = seen.date <= question.policy.now.saturating_add(limits::FUTURE_LEEWAY);
        if seen.date > release.date && seen.origin == release.origin && is_before {
            return Err(Error::Rollback { what: what.to_owned(), date: release.date, seen: seen.date });
        }
    }
    Ok(())
}

/// The newest remembered Release that holds now.
fn from_cache(cache: &Cache, question: &Question<'_>, report: Report<'_>) -> Result<Accepted, Error> {
    let what = format!("the Release file of {}", question.pocket.suite);
    let mut refusal = None;
    for (_, path) in cache.remembered(&question.pocket.suite) {
        let Ok(signed) = recall(&path) else { continue };
        let shown = path.display().to_string();
        let checked = verify_here(signed, question.keyring, &shown)
            .and_then(|checked| judge(&checked.release, question, &shown).map(|()| checked));
        match checked {
            Ok(checked) => {
                report(Event::CacheHit { what });
                return Ok(Accepted { checked, signed: None, mirror: None, is_fast: true });
            }
            Err(error) => {
                refusal.get_or_insert(error);
            }
        }
    }
    Err(refusal.unwrap_or(Error::Offline { what }))
}
