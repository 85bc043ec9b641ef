//! What comes before the first download: paths are resolved, and what cannot work is refused.

use crate::error::Error;
use crate::event::{Event, Report};
use crate::install::failed;
use crate::publish::target;
use crate::publish::{mtree, push, sbom, side_file};
use crate::request::{Hook, Request, Target};
use crate::staging::hidden;
use crate::transfer::{copies, tar_in};
use rootstrap_configure::privilege::Mode;

/// Returns the request with paths that stay valid if the working directory or a link changes.
pub(crate) fn resolve(request: &Request) -> Result<Request, Error> {
    let mut request = request.clone();
    request.output.target = target::resolve(&request.output.target)?;
    request.output.sboms = sbom::resolve(&request.output.sboms)?;
    side_file::resolve_downloads(&mut request.output.downloads)?;
    Ok(request)
}

/// Removes what killed runs left and refuses what cannot work, before anything is fetched. Returns the size of all files to copy into the
/// root in bytes.
pub(crate) fn prepare(request: &Request, given: &Target, report: Report<'_>) -> Result<u64, Error> {
    let Request { selection, customization, output, machine, .. } = request;
    for path in target::hidden_places(output, machine).iter().flat_map(|place| hidden::sweep(place)) {
        report(Event::Note(format!("removed {}, left by a run that was killed", path.display())));
    }
    target::check(output, given, machine, selection.variant.runs_scripts())?;
    failed::check(machine)?;
    for request in request.platforms() {
        sbom::check(&request.output, &machine.janitor)?;
    }
    side_file::check_downloads(output, &machine.janitor)?;
    if let (Mode::Single, Target::Directory(path)) = (machine.mode, &output.target) {
        mtree::check(path)?;
    }
    customization.hooks.iter().try_for_each(Hook::check)?;
    push::check(&output.push, machine, report)?;
    Ok(copies::check(&customization.copies)?.saturating_add(tar_in::check(&customization.archives)?))
}
