//! A finished archive, kept: the same request at the same state of the archive is answered by a copy.

use crate::event::{Report, Stage};
use crate::format::{Format, Target};
use crate::hidden::NewFile;
use crate::kept::Slot;
use crate::publish::{Stoppable, unless_cancelled};
use crate::suite::Suite;
use crate::target::parent;
use crate::{Error, Event, Request, Summary, direct};
use rootstrap_configure::privilege;
use rootstrap_fetch::VerifiedPocket;
use rootstrap_resolve::Plan;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// What a summary says of a result.
#[derive(Serialize, Deserialize)]
struct Notes {
    packages: usize,
    deb_bytes: u64,
    file_bytes: u64,
    archive_bytes: Option<u64>,
    image: Option<String>,
    digest: Option<String>,
}

/// Where the result of `request` is kept. `None` for what is made of more than the archive, or is not one file.
pub(crate) fn slot(
    request: &Request,
    suite: &Suite,
    served: &[VerifiedPocket],
    plan: &Plan,
    epoch: i64,
) -> Result<Option<Slot>, Error> {
    let Some(cache) = &request.cache else { return Ok(None) };
    let (Target::File(_, format) | Target::Stdout(format)) = &request.target else { return Ok(None) };
    // The others are made by the host's programs, or with warnings that a copy would not repeat.
    let is_ours = matches!(format, Format::Tar(_) | Format::Oci(_));
    let is_all = request.copies.is_empty() && request.sboms.is_empty() && request.push.is_empty() && !request.attest;
    if !is_ours || !is_all || request.foreign {
        return Ok(None);
    }
    let served: Vec<_> = served.iter().map(|pocket| (pocket.suite(), pocket.mirror(), pocket.release().date)).collect();
    let choices = (
        (request.variant, request.architectures()?, request.image, &request.container, request.slim, epoch),
        (&request.include, &request.exclude, request.recommends, &request.components, &request.pockets),
        // What is written into apt's sources.
        (&request.mirrors, request.keyrings.is_empty(), served),
        (format, request.compression, privilege::held().name()),
    );
    Ok(Slot::new(cache, "result", &(suite, choices, plan.to_json())))
}

/// Publishes what is kept. `None` if nothing is.
pub(crate) fn publish(slot: &Slot, request: &Request, report: Report<'_>) -> Result<Option<Summary>, Error> {
    let tell = |hit| {
        report(Event::Cache { layer: "results", hit, bytes: 0 });
        if hit {
            report(Event::Note("nothing has changed: the result is taken from the cache".to_owned()));
        }
    };
    // What was written to a file can be taken back, what was written to a pipe cannot.
    let found = if let Target::File(..) = request.target { slot.find_unchecked() } else { slot.find() };
    let parsed = found.and_then(|found| Some((serde_json::from_slice::<Notes>(&found.notes).ok()?, found)));
    let Some((notes, found)) = parsed else {
        tell(false);
        return Ok(None);
    };
    report(Event::Stage(Stage::Publish));
    match &request.target {
        Target::File(path, _) => {
            let new = NewFile::create(parent(path))?;
            let fill = |out: &mut dyn Write| found.copy(&mut Stoppable { inner: out, cancel: &request.cancel });
            let copied =
                if request.sync { direct::write(&new.file, fill).and_then(|done| done) } else { fill(&mut &new.file) };
            let is_whole = unless_cancelled(&request.cancel, copied.map_err(Error::io("write", path)))?;
            tell(is_whole);
            if !is_whole {
                return Ok(None);
            }
            new.sync(request, path)?;
            new.publish(path)?;
        }
        _ => {
            tell(true);
            let mut out = Stoppable { inner: std::io::stdout().lock(), cancel: &request.cancel };
            let copied = found.copy(&mut out).and_then(|_| out.flush());
            unless_cancelled(&request.cancel, copied.map_err(Error::Stdout))?;
        }
    }
    let Notes { packages, deb_bytes, file_bytes, archive_bytes, image, digest } = notes;
    Ok(Some(Summary { packages, deb_bytes, file_bytes, archive_bytes, image, digest, ..Summary::default() }))
}

/// Keeps the file that was just published. Failing to is no harm.
pub(crate) fn keep(slot: Slot, path: &Path, summary: &Summary, request: &Request) -> std::io::Result<()> {
    let &Summary { packages, deb_bytes, file_bytes, archive_bytes, .. } = summary;
    let (image, digest) = (summary.image.clone(), summary.digest.clone());
    let notes = serde_json::to_vec(&Notes { packages, deb_bytes, file_bytes, archive_bytes, image, digest })?;
    slot.draft()?.keep_copy(&mut File::open(path)?, &notes, request.sync)
}
