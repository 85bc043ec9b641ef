//! The root after its first phase, kept: a build with other packages on top, or none, begins there.
//!
//! What comes later has no say in the first phase, so one that was restored differs in nothing but the fractions of
//! seconds in its times.

use crate::event::Report;
use crate::foreign::Emulation;
use crate::kept::{Draft, Found, Slot};
use crate::phases::Site;
use crate::suite::Suite;
use crate::{Error, Event, Request};
use rootstrap_configure::privilege;
use rootstrap_image::compress::{Algorithm, Compression};
use rootstrap_image::{extract, tar};
use rootstrap_resolve::Plan;
use rootstrap_rootfs::{Kind, Root, walk};
use rootstrap_unpack::Claims;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::thread::JoinHandle;

/// Where the first phase of a plan is kept, and what is there.
pub(crate) struct Base {
    slot: Slot,
    found: Option<(Found, Claims, u64)>,
}

impl Base {
    /// Looks for the first phase of `plan`. `None` where nothing is kept or nothing would be won.
    pub fn find(
        request: &Request,
        suite: &Suite,
        plan: &Plan,
        epoch: i64,
        emulation: &Emulation,
        report: Report<'_>,
    ) -> Result<Option<Self>, Error> {
        let (Some(cache), Some(phase)) = (&request.cache, plan.phases.first()) else { return Ok(None) };
        if !request.variant.runs_scripts() || request.foreign {
            return Ok(None);
        }
        let packages: Vec<_> =
            phase.packages.iter().map(|p| (&p.name, &p.version, &p.architecture, p.digest)).collect();
        let (architectures, mode) = (request.architectures()?, privilege::held().name());
        let emulators: Vec<_> = emulation.emulators.iter().map(|emulator| &emulator.interpreter).collect();
        let choices = (request.variant, request.slim, architectures, mode, epoch);
        let Some(slot) = Slot::new(cache, "base", &(suite, choices, emulators, &emulation.environment, packages))
        else {
            return Ok(None);
        };
        let found = slot.find().and_then(|found| {
            let (bytes, claims) = found.notes.split_first_chunk()?;
            let claims = Claims::from_bytes(claims)?;
            let bytes = u64::from_le_bytes(*bytes);
            Some((found, claims, bytes))
        });
        report(Event::Cache { layer: "first phases", hit: found.is_some(), bytes: 0 });
        Ok(Some(Self { slot, found }))
    }

    /// Whether the first phase need not be made.
    pub fn is_there(&self) -> bool {
        self.found.is_some()
    }

    /// Fills the empty root, if the first phase is there: what its packages have, and the bytes of their files.
    pub fn restore(&mut self, site: &Site<'_>) -> Result<Option<(Claims, u64)>, Error> {
        let Some((found, claims, bytes)) = self.found.take() else { return Ok(None) };
        (site.report)(Event::Note("the first phase is taken from the cache".to_owned()));
        let payload = found.payload().map_err(Error::io("read", Path::new("the cache")))?;
        extract::extract(payload, site.root, &site.request.cancel)?;
        Ok(Some((claims, bytes)))
    }

    /// Keeps the first phase as it is now. Hashing goes on while later phases do; the thread ends by itself.
    pub fn keep(&self, site: &Site<'_>, claims: &Claims, bytes: u64) -> Option<JoinHandle<()>> {
        match write(self.slot.clone(), site.root) {
            Ok(Some(draft)) => {
                let notes = [&bytes.to_le_bytes()[..], &claims.to_bytes()].concat();
                Some(std::thread::spawn(move || drop(draft.keep(&notes))))
            }
            Ok(None) => None,
            Err(error) => {
                (site.report)(Event::Note(format!("the first phase is not kept: {error}")));
                None
            }
        }
    }
}

/// The root as an archive; `None` if that could not hold it.
fn write(slot: Slot, root: &Root) -> Result<Option<Draft>, Error> {
    if !fits(root)? {
        return Ok(None);
    }
    let draft = slot.draft().map_err(Error::io("write to", Path::new("the cache")))?;
    // Compressing costs less than writing three times as much.
    let compression = Compression { algorithm: Algorithm::Zstd, level: Some(1) };
    let options = tar::Options { dev: tar::Dev::Kept, compression, ..tar::Options::new(i64::MAX) };
    let mut out = BufWriter::with_capacity(1 << 20, draft.file());
    tar::write(root, &mut out, &options)?;
    out.flush().map_err(Error::io("write to", Path::new("the cache")))?;
    drop(out);
    Ok(Some(draft))
}

/// Archives leave out sockets, and most extended attributes.
fn fits(root: &Root) -> Result<bool, Error> {
    let mut fits = true;
    walk::<rootstrap_rootfs::Error>(root, &mut |visit| {
        let odd = |name: &[u8]| name != b"security.capability" && !name.starts_with(b"user.");
        fits &= visit.metadata.kind != Kind::Socket && !visit.xattrs()?.iter().any(|(name, _)| odd(name));
        Ok(true)
    })?;
    Ok(fits)
}
