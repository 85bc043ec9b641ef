//! Release files: fetched from a mirror or read from the cache, verified, and compared with what was requested.

use crate::download::{Downloader, Job};
use crate::error::{Error, Failure, Failures, Fault};
use crate::event::{Event, Report};
use crate::keyring::Keyring;
use crate::limits;
use crate::mirror::Mirror;
use crate::partial::Partial;
use crate::problem::SignatureProblem;
use crate::release_criteria::ReleaseCriteria;
use crate::release_history::{ReleaseHistory, SignedRelease};
use crate::signature::{GoodSignature, keys_good_at, text_of, verify_detached, verify_inline};
use rootstrap_debian::release::{Release, parse};
use rootstrap_debian::sources::path_in_suite;
use std::collections::VecDeque;

/// A Release file whose signature is good and that is the requested one.
pub(crate) struct VerifiedRelease {
    pub release: Release,
    /// The signed text, and nothing that stood around it.
    pub text: String,
    /// Fingerprints of the primary keys that signed and were good when the Release was judged.
    pub keys: Vec<String>,
}

/// A Release file with a good signature. Its content was not judged yet.
struct SignedText {
    release: Release,
    text: String,
    signatures: Vec<GoodSignature>,
}

/// Where a Release file came from.
pub(crate) enum ReleaseSource {
    /// The cache, because downloading is off, or because every mirror has an older one.
    Cache,
    /// The mirror at this position of the pocket's list.
    Mirror {
        position: usize,
        /// The positions of those that answered before it that they do not have the file.
        missing: Vec<usize>,
        /// The file as the mirror sent it.
        signed: SignedRelease,
        /// Whether it came at [`limits::FAST_LINK`] or faster.
        is_fast: bool,
        /// The base URI that a redirect led to, if one did.
        moved_to: Option<String>,
    },
}

impl ReleaseSource {
    /// Whether other files will come so fast that decoding takes longer than downloading.
    pub fn is_fast(&self) -> bool {
        match self {
            Self::Cache => true,
            Self::Mirror { is_fast, .. } => *is_fast,
        }
    }
}

/// A file as a mirror sent it.
struct Answer {
    bytes: Vec<u8>,
    /// Whether the link is fast.
    is_fast: bool,
    /// The base URI that a redirect led to, if one did.
    moved_to: Option<String>,
}

/// The request for the Release of one pocket.
pub(crate) struct ReleaseFetch<'a> {
    pub downloader: &'a Downloader,
    /// The Release files of the suite that were seen before.
    pub history: &'a ReleaseHistory,
    pub criteria: ReleaseCriteria<'a>,
    pub report: Report<'a>,
}

impl ReleaseFetch<'_> {
    /// Fetches the Release from the first mirror that has an acceptable one. Reads it from the cache when downloading is off, and where
    /// the mirrors have only an older one: behind one name of a mirror there may be servers that are days behind each other.
    pub async fn run(&self, mirrors: &[Mirror]) -> Result<(VerifiedRelease, ReleaseSource), Error> {
        let usable: Vec<(usize, &Mirror)> = mirrors
            .iter()
            .enumerate()
            .filter(|(_, mirror)| !self.downloader.offline || mirror.is_directory())
            .collect();
        if usable.is_empty() {
            return Ok((self.read_cached()?, ReleaseSource::Cache));
        }
        let (mut failures, mut failed, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        let mut refusal = None;
        let brief = self.downloader.brief();
        // The mirrors to ask, and whether each was asked before: one that was only too slow is asked again when all others failed.
        let mut attempts: VecDeque<(usize, &Mirror, bool)> =
            usable.into_iter().map(|(n, mirror)| (n, mirror, false)).collect();
        while let Some((position, mirror, is_last)) = attempts.pop_front() {
            // Another path of a server that does not answer is no other mirror.
            let others_left = attempts.iter().any(|(_, next, is_last)| !is_last && !next.is_same_server(mirror));
            let has_failed = failed.iter().any(|failed: &&Mirror| failed.is_same_server(mirror));
            let is_brief = !is_last && (has_failed || others_left);
            let downloader = if is_brief { &brief } else { self.downloader };
            let fetch = ReleaseFetch { downloader, ..*self };
            let fault = match fetch.fetch_from_mirror(mirror).await {
                Ok((verified, signed, answer)) => {
                    let Answer { is_fast, moved_to, .. } = answer;
                    return Ok((verified, ReleaseSource::Mirror { position, missing, signed, is_fast, moved_to }));
                }
                Err(Failure::Fault(fault)) => fault,
                // Another mirror may be newer or intact. If none has an acceptable Release, the first refusal is reported.
                Err(Failure::Fatal(error)) if error.is_verification() => {
                    let fault = Fault::Untrusted(with_cause(&error));
                    refusal.get_or_insert(error);
                    fault
                }
                Err(Failure::Fatal(error)) => return Err(error),
            };
            missing.extend(matches!(fault, Fault::Missing).then_some(position));
            if others_left && !is_last && fault.asks_for_patience() {
                attempts.push_back((position, mirror, true));
            }
            let next = attempts.front().map(|(_, next, _)| next.shown.clone());
            let newer = match refusal {
                Some(Error::Rollback { seen, .. }) if next.is_none() => {
                    self.read_cached().ok().filter(|it| it.release.date == seen)
                }
                _ => None,
            };
            let next = next.or_else(|| newer.as_ref().map(|_| "the newer one from the cache".to_owned()));
            (self.report)(Event::MirrorFailed { uri: mirror.shown.clone(), reason: fault.to_string(), next });
            if fault.is_about_mirror() {
                failed.push(mirror);
            }
            failures.push((mirror.shown.clone(), fault));
            if let Some(verified) = newer {
                return Ok((verified, ReleaseSource::Cache));
            }
        }
        Err(refusal.unwrap_or_else(|| Error::Fetch { what: self.name(), source: Failures(failures) }))
    }

    /// What messages call the Release.
    fn name(&self) -> String {
        format!("the Release file of {}", self.criteria.pocket.suite)
    }

    /// Fetches and verifies the Release of one mirror. Returns it with the file as it was sent, and how it came.
    async fn fetch_from_mirror(&self, mirror: &Mirror) -> Result<(VerifiedRelease, SignedRelease, Answer), Failure> {
        let (signed, file, answer) = match self.download(mirror, "InRelease", limits::RELEASE).await {
            Ok(mut answer) => {
                let message = std::mem::take(&mut answer.bytes);
                (SignedRelease::Inline(message), "InRelease", answer)
            }
            Err(Failure::Fault(fault)) if fault.is_about_path() => {
                let mut answer = match self.download(mirror, "Release", limits::RELEASE).await {
                    // The first answer may say more than "not found".
                    Err(Failure::Fault(Fault::Missing)) => return Err(fault.into()),
                    result => result?,
                };
                let signature = match self.criteria.policy.unsigned {
                    true => Vec::new(),
                    false => self.download(mirror, "Release.gpg", limits::SIGNATURE).await?.bytes,
                };
                let text = std::mem::take(&mut answer.bytes);
                (SignedRelease::Detached { text, signature }, "Release", answer)
            }
            Err(failure) => return Err(failure),
        };
        let what = format!("{}/{}", mirror.shown.trim_end_matches('/'), self.path(file));
        let policy = self.criteria.policy;
        let verified = match policy.unsigned {
            true => unverified(signed.clone(), &what)?,
            false => verify_on_thread(signed.clone(), self.criteria.keyring.clone(), &what).await?,
        };
        let verified = self.judge(verified, &what)?;
        if !policy.allow_rollback && !policy.unsigned {
            self.refuse_rollback(&verified.release, &what).await?;
        }
        Ok((verified, signed, answer))
    }

    /// Returns the path of one of the Release files below a mirror.
    fn path(&self, file: &str) -> String {
        path_in_suite(&self.criteria.pocket.suite, file)
    }

    /// Downloads a file of at most `limit` bytes into memory.
    async fn download(&self, mirror: &Mirror, file: &str, limit: u64) -> Result<Answer, Failure> {
        let path = self.path(file);
        let job = Job { what: &path, report: self.report, progress: &|_| () };
        let mut partial = Partial::in_memory(limit);
        self.downloader.fetch_from(&job, mirror, &path, &mut partial).await?;
        // A download that takes no measurable time is fast.
        #[allow(clippy::cast_precision_loss, reason = "a speed needs no 53 bits")]
        let speed = partial.received() as f64 / partial.body_time.as_secs_f64().max(1e-6);
        let address = partial.came_from.take().map(|url| url.to_string());
        let base = address.as_deref().and_then(|address| address.strip_suffix(&format!("/{path}")));
        // The library takes user and password out of an address.
        let own = rootstrap_http::redact::userinfo(&mirror.uri);
        let moved_to = base.filter(|base| *base != own).map(str::to_owned);
        let bytes = partial.into_bytes();
        Ok(Answer { bytes, is_fast: speed >= limits::FAST_LINK, moved_to })
    }

    /// Checks what a signed Release says, and that a key that signed it was still good then.
    fn judge(&self, signed: SignedText, what: &str) -> Result<VerifiedRelease, Error> {
        let SignedText { release, text, signatures } = signed;
        let keys = match self.criteria.policy.unsigned {
            true => Ok(Vec::new()),
            false => keys_good_at(&signatures, self.criteria.moment_of_keys(&release), self.criteria.keyring),
        };
        let keys = keys.map_err(|source| Error::Signature { what: what.to_owned(), source })?;
        self.criteria.check(&release, what)?;
        Ok(VerifiedRelease { release, text, keys })
    }

    /// Refuses a Release that is older than one seen before. A seen one counts only if a key of the keyring has signed it, and
    /// only if it has the same Origin.
    async fn refuse_rollback(&self, release: &Release, what: &str) -> Result<(), Error> {
        for seen in self.history.newest_first() {
            if seen.date <= release.date {
                break;
            }
            let Ok(signed) = seen.read() else { continue };
            let Ok(seen) = verify_on_thread(signed, self.criteria.keyring.clone(), what).await else { continue };
            let seen = seen.release;
            // A Release that is dated after the moment of judgement was not seen "before" that moment.
            let is_before = !self.criteria.is_in_future(&seen);
            if seen.date > release.date && seen.origin == release.origin && is_before {
                return Err(Error::Rollback { what: what.to_owned(), date: release.date, seen: seen.date });
            }
        }
        Ok(())
    }

    /// Returns the newest Release of the cache that is acceptable now.
    fn read_cached(&self) -> Result<VerifiedRelease, Error> {
        let mut refusal = None;
        for seen in self.history.newest_first() {
            let Ok(signed) = seen.read() else { continue };
            let what = seen.path().display().to_string();
            let verified = verify(signed, self.criteria.keyring, &what).and_then(|signed| self.judge(signed, &what));
            match verified {
                Ok(verified) => {
                    (self.report)(Event::CacheHit { what: self.name() });
                    return Ok(verified);
                }
                Err(error) => {
                    refusal.get_or_insert(error);
                }
            }
        }
        Err(refusal.unwrap_or_else(|| Error::Offline { what: self.name() }))
    }
}

/// Returns the text of an error and of its cause.
fn with_cause(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Does [`verify`] on a thread of its own: several pockets come at once, and one verification takes milliseconds.
async fn verify_on_thread(signed: SignedRelease, keyring: Keyring, what: &str) -> Result<SignedText, Error> {
    let what = what.to_owned();
    let verified = tokio::task::spawn_blocking(move || verify(signed, &keyring, &what));
    verified.await.map_err(|error| Error::Threads { source: error.into() })?
}

/// Whether a file is a web page, as blocked networks and hotels get it in place of any file.
fn is_page(file: &[u8]) -> bool {
    file.trim_ascii_start().starts_with(b"<")
}

/// Verifies the signature and parses the signed text. `what` names the file in errors.
fn verify(signed: SignedRelease, keyring: &Keyring, what: &str) -> Result<SignedText, Error> {
    let signed = match signed {
        SignedRelease::Inline(message) if is_page(&message) => Err(SignatureProblem::Page),
        SignedRelease::Detached { text, .. } if is_page(&text) => Err(SignatureProblem::Page),
        SignedRelease::Inline(message) => verify_inline(&message, keyring),
        SignedRelease::Detached { text, signature } => verify_detached(text, &signature, keyring),
    };
    let signed = signed.map_err(|source| Error::Signature { what: what.to_owned(), source })?;
    parsed(signed.bytes, signed.signatures, what)
}

/// Parses the text without a look at its signature.
fn unverified(signed: SignedRelease, what: &str) -> Result<SignedText, Error> {
    let bytes = match signed {
        SignedRelease::Inline(bytes) | SignedRelease::Detached { text: bytes, .. } if is_page(&bytes) => {
            return Err(Error::Signature { what: what.to_owned(), source: SignatureProblem::Page });
        }
        SignedRelease::Inline(message) => text_of(message),
        SignedRelease::Detached { text, .. } => text,
    };
    parsed(bytes, Vec::new(), what)
}

fn parsed(bytes: Vec<u8>, signatures: Vec<GoodSignature>, what: &str) -> Result<SignedText, Error> {
    let text = String::from_utf8(bytes).map_err(|_| Error::NotText { what: what.to_owned() })?;
    let release = parse(&text).map_err(|source| Error::Release { what: what.to_owned(), source })?;
    Ok(SignedText { release, text, signatures })
}
