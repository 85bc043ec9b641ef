//! Packages indexes: which form to fetch, and how to read it.

use crate::cache::Cache;
use crate::download::{Candidate, Destination, Job, Line};
use crate::error::{Error, Fault};
use crate::mirror::Mirror;
use crate::partial::digest_of;
use crate::{Event, Report, limits, parsed};
use rootstrap_debian::digest::Digest;
use rootstrap_debian::packages::Table;
use rootstrap_debian::release::Release;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;

/// Where a pocket's indexes come from.
pub(crate) struct Source<'a> {
    pub line: &'a Line,
    pub cache: &'a Cache,
    pub writers: &'a parsed::Writers,
    pub mirrors: &'a [Mirror],
    pub suite: &'a str,
    pub is_fast: bool,
}

/// How an index is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Gzip,
    Xz,
    Zstd,
    Bzip2,
    Lzma,
    Plain,
}

/// What is cheap to fetch and to decode comes first. Zstd would be best where it exists, but no archive has it yet.
const FAST_ORDER: [Form; 6] = [Form::Gzip, Form::Zstd, Form::Xz, Form::Bzip2, Form::Lzma, Form::Plain];
const SLOW_ORDER: [Form; 6] = [Form::Xz, Form::Zstd, Form::Gzip, Form::Lzma, Form::Bzip2, Form::Plain];

impl Form {
    fn suffix(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Xz => ".xz",
            Self::Zstd => ".zst",
            Self::Bzip2 => ".bz2",
            Self::Lzma => ".lzma",
            Self::Plain => "",
        }
    }
}

/// One form of an index that a Release lists.
#[derive(Clone, Debug)]
struct Variant {
    form: Form,
    /// Below `dists/SUITE/`.
    path: String,
    size: u64,
    digest: Digest,
    /// Most bytes it may have when decompressed.
    limit: u64,
}

/// Fetches the index of a component (named as asked for, and as the Release lists it) and reads it. `None` when it is
/// the one for `all` and the archive, though it has that architecture, lists none.
pub(crate) async fn fetch(
    source: &Source<'_>,
    release: &Release,
    names: [&str; 2],
    architecture: &str,
    report: Report<'_>,
) -> Result<Option<Arc<Table>>, Error> {
    let mut variants = variants(release, names, architecture, source.is_fast);
    let [component, _] = names;
    let path = format!("{component}/binary-{architecture}/Packages");
    if variants.is_empty() {
        let what = format!("the Release file of {}", source.suite);
        return if architecture == "all" { Ok(None) } else { Err(Error::NoIndex { what, path }) };
    }
    let name = format!("{}/{path}", source.suite);
    // Whose turn it is must not depend on the form that each would take, which differs with the speed of the link.
    let mut turn = None;
    let common = variants.iter().min_by_key(|variant| variant.path.as_str()).map(|variant| variant.digest);
    // One that is here already is the cheapest. Read and hashed again: the whole run rests on it. When the turn has come,
    // another process may have brought one.
    loop {
        for variant in &variants {
            if let Some(packages) = from_parsed(source.cache, variant).await? {
                report(Event::CacheHit { what: name });
                return Ok(Some(packages));
            }
        }
        for variant in &variants {
            if let Some(packages) = from_cache(source, variant, &name).await? {
                report(Event::CacheHit { what: name });
                return Ok(Some(packages));
            }
        }
        match common {
            Some(digest) if turn.is_none() => turn = Some(source.cache.turn(&digest).await?),
            _ => break,
        }
    }
    let mut last = None;
    for variant in variants.drain(..) {
        if variant.size > limits::INDEX_TRANSFER {
            return Err(Error::TooLarge { what: name, limit: limits::INDEX_TRANSFER });
        }
        match download(source, release, &variant, &name, report).await {
            Ok(file) => return read(source, file, variant, name).await.map(Some),
            // Releases list forms that the mirror does not keep.
            Err(Error::Fetch { source: failures, what })
                if failures.0.iter().all(|(_, fault)| matches!(fault, Fault::Missing)) =>
            {
                last = Some(Error::Fetch { what, source: failures });
            }
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or(Error::Offline { what: name }))
}

/// The forms that are listed, the one to take first.
fn variants(release: &Release, names: [&str; 2], architecture: &str, is_fast: bool) -> Vec<Variant> {
    for name in names {
        let path = format!("{name}/binary-{architecture}/Packages");
        let plain = release.files.get(&path).map_or(u64::MAX, |(size, _)| *size);
        let listed = |form: Form| {
            let path = format!("{path}{}", form.suffix());
            let (size, digest) = *release.files.get(&path)?;
            Some(Variant { form, path, size, digest, limit: plain.min(limits::INDEX_TEXT) })
        };
        let order = if is_fast { FAST_ORDER } else { SLOW_ORDER };
        let variants: Vec<Variant> = order.into_iter().filter_map(listed).collect();
        if !variants.is_empty() {
            return variants;
        }
    }
    Vec::new()
}

async fn download(
    source: &Source<'_>,
    release: &Release,
    variant: &Variant,
    name: &str,
    report: Report<'_>,
) -> Result<PathBuf, Error> {
    let mut candidates = Vec::new();
    let directory = format!("dists/{}", source.suite);
    for mirror in source.mirrors {
        // By-hash first: there the file stays the right one while the mirror is being updated.
        if let Some((parent, _)) = variant.path.rsplit_once('/').filter(|_| release.acquire_by_hash) {
            let (algorithm, hash) = (variant.digest.algorithm(), variant.digest);
            candidates.push(Candidate { mirror, path: format!("{directory}/{parent}/by-hash/{algorithm}/{hash}") });
        }
        candidates.push(Candidate { mirror, path: format!("{directory}/{}", variant.path) });
    }
    report(Event::IndexStarted { name: name.to_owned(), size: variant.size });
    let progress = |bytes| {
        if bytes != 0 {
            report(Event::IndexBytes { bytes })
        }
    };
    let job = Job { what: name, report, progress: &progress };
    let to = Destination { cache: source.cache, size: variant.size, digest: variant.digest };
    let path = source.line.obtain(&job, candidates, to).await?;
    report(Event::IndexDone { name: name.to_owned() });
    Ok(path)
}

/// What an earlier run read from this index.
async fn from_parsed(cache: &Cache, variant: &Variant) -> Result<Option<Arc<Table>>, Error> {
    // In use, also where it need not be read.
    cache.find(&variant.digest, variant.size);
    let (place, limit) = (parsed::Place::of(cache, &variant.digest), variant.limit);
    in_thread(move || Ok(place.load(limit).map(Arc::new))).await
}

async fn from_cache(source: &Source<'_>, variant: &Variant, name: &str) -> Result<Option<Arc<Table>>, Error> {
    let Some(path) = source.cache.find(&variant.digest, variant.size) else { return Ok(None) };
    let (digest, of_thread, name) = (variant.digest, variant.clone(), name.to_owned());
    let found = in_thread(move || {
        let bytes = std::fs::read(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        if digest_of(&bytes, &digest) != digest {
            let _ = std::fs::remove_file(&path);
            return Ok(None);
        }
        decode(bytes.as_slice(), &of_thread, &name).map(Some)
    });
    Ok(found.await?.map(|decoded| keep(source, variant, decoded)))
}

/// Reads a file that was just verified. Only then, not while it arrives: no decoder sees bytes nobody vouches for, and
/// decoding one index overlaps with fetching the others.
async fn read(source: &Source<'_>, path: PathBuf, variant: Variant, name: String) -> Result<Arc<Table>, Error> {
    let of_thread = variant.clone();
    let decoded = in_thread(move || {
        let file = File::open(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        decode(BufReader::with_capacity(256 << 10, file), &of_thread, &name)
    });
    Ok(keep(source, &variant, decoded.await?))
}

async fn in_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Threads { source: error.into() })?
}

/// Has the packages written into the cache while the run goes on.
fn keep(source: &Source<'_>, variant: &Variant, (packages, decoded): (Table, u64)) -> Arc<Table> {
    let packages = Arc::new(packages);
    let place = parsed::Place::of(source.cache, &variant.digest);
    source.writers.save(source.cache, place, packages.clone(), decoded);
    packages
}

/// Decodes a verified index chunk by chunk, so that its text is never there as a whole, while another thread parses what is
/// decoded. Also its length in bytes.
fn decode(input: impl io::BufRead, variant: &Variant, name: &str) -> Result<(Table, u64), Error> {
    let fail = |source| Error::Decompress { what: name.to_owned(), source };
    let limit = variant.limit;
    // Listed, or the usual ratio; never trusted further than memory is cheap.
    let guess = if variant.form == Form::Plain { variant.size } else { limit.min(variant.size.saturating_mul(6)) };
    let capacity = usize::try_from(guess.min(limits::INDEX_TEXT)).unwrap_or(0);
    let mut decoder = decoder(variant.form, input).map_err(fail)?.take(limit.saturating_add(1));
    // Room for text goes around: one is filled while another is parsed and a third waits.
    let (filled, texts) = mpsc::sync_channel::<Vec<u8>>(1);
    let (emptied, room) = mpsc::channel::<Vec<u8>>();
    thread::scope(|scope| {
        let parse = move || {
            let mut packages = Table::with_capacity(capacity);
            for mut text in texts {
                packages.extend(&to_text(&text));
                text.clear();
                let _ = emptied.send(text);
            }
            packages
        };
        let parser = thread::Builder::new().name("parse".to_owned()).spawn_scoped(scope, parse);
        let parser = parser.map_err(|source| Error::Threads { source })?;
        let (mut text, mut decoded) = (Vec::new(), 0);
        loop {
            let seen = text.len().saturating_sub(1);
            let count = decoder.by_ref().take(limits::INDEX_CHUNK).read_to_end(&mut text).map_err(fail)?;
            decoded += count as u64;
            if decoded > limit {
                return Err(Error::TooLarge { what: name.to_owned(), limit });
            }
            // An empty line ends a stanza whatever comes before and after.
            let last =
                memchr::memmem::rfind(text.get(seen..).unwrap_or_default(), b"\n\n").map_or(0, |at| seen + at + 2);
            let end = if count == 0 { text.len() } else { last };
            if end > 0 {
                let mut next = room.try_recv().unwrap_or_default();
                next.extend_from_slice(text.get(end..).unwrap_or_default());
                text.truncate(end);
                // The parser takes all there is.
                let _ = filled.send(std::mem::replace(&mut text, next));
            }
            if count == 0 {
                break;
            }
        }
        drop(filled);
        let packages = parser.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((packages, decoded))
    })
}

/// A name written in Latin-1, as it was before Policy asked for UTF-8, must not make a whole suite unreadable. What matters
/// here is ASCII, and a field that is not gets refused where it is used.
fn to_text(bytes: &[u8]) -> Cow<'_, str> {
    // Quicker than what repairs.
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

fn decoder<'a>(form: Form, input: impl io::BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    use xz2::stream::{CONCATENATED, IGNORE_CHECK, Stream};
    Ok(match form {
        Form::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Form::Xz => {
            // The digest of the whole was compared: the checksums inside say nothing more.
            let stream = Stream::new_stream_decoder(limits::XZ_MEMORY, CONCATENATED | IGNORE_CHECK)?;
            Box::new(xz2::bufread::XzDecoder::new_stream(input, stream))
        }
        Form::Lzma => {
            let stream = Stream::new_lzma_decoder(limits::XZ_MEMORY)?;
            Box::new(xz2::bufread::XzDecoder::new_stream(input, stream))
        }
        Form::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            decoder.window_log_max(limits::ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
        Form::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        Form::Plain => Box::new(input),
    })
}
