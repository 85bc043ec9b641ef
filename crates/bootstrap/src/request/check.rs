//! Which requests make sense: the one place that refuses the others.

use crate::error::{Error, refuse};
use crate::request::hook::Moment;
use crate::request::output::{Output, Purpose};
use crate::request::parts::Request;
use crate::request::selection::Selection;
use crate::request::sources::Sources;
use crate::request::target::{Format, Target};
use rootstrap_debian::arch;
use rootstrap_image::compress::Algorithm;
use rootstrap_image::oci::Platform;

const NO_IMAGE: &str = "it is a setting of container images, and TARGET is no container image";
const OCI_HINT: &str = "use a name ending in .oci.tar, or --format=oci for docker load";

impl Output {
    /// Refuses an output that makes no sense for an existing root filesystem of `architecture`.
    ///
    /// # Errors
    /// As for [`Request::check`].
    pub fn check(&self, architecture: Option<&str>) -> Result<(), Error> {
        output(self)?;
        architecture_of_image(architecture, self)
    }
}

impl Request {
    /// Refuses a request that makes no sense as it stands. Nothing of the machine is looked at.
    ///
    /// # Errors
    /// [`Error::Combination`] names the option at fault; the other errors name an architecture.
    pub fn check(&self) -> Result<(), Error> {
        selection(&self.selection)?;
        sources(&self.sources)?;
        arch_variant(self)?;
        platforms(&self.selection, &self.output)?;
        output(&self.output)?;
        hooks(self)?;
        settings(self)?;
        first_stage(self)
    }

    /// Refuses what makes no sense if the packages are to be locked.
    ///
    /// # Errors
    /// As for [`Self::check`].
    pub fn check_for_lock(&self) -> Result<(), Error> {
        selection(&self.selection)?;
        sources(&self.sources)?;
        arch_variant(self)?;
        self.output.further_platforms.iter().try_for_each(|name| architecture(name))
    }

    /// Refuses what makes no sense even if only the plan is wanted, wherever the result would go.
    ///
    /// # Errors
    /// As for [`Self::check`].
    pub fn check_for_plan(&self) -> Result<(), Error> {
        selection(&self.selection)?;
        sources(&self.sources)?;
        arch_variant(self)?;
        first_stage(self)
    }
}

/// Refuses what a lock file cannot say.
pub(crate) fn lockable(sources: &Sources) -> Result<(), Error> {
    let hint = "leave it out";
    if sources.unsigned {
        return refuse("--no-check-sig", "a lock says which keys vouch for the packages", hint);
    }
    if sources.merged_usr.is_some() {
        return refuse("--merged-usr", "a lock has the form of /usr that its suite has", hint);
    }
    Ok(())
}

/// Refuses mirrors that cannot have what is asked for.
fn sources(sources: &Sources) -> Result<(), Error> {
    if sources.snapshot.is_some() && !sources.further.is_empty() {
        let reason = "--snapshot takes the suite's own archive as it was, and a source has only what it has now";
        return refuse("--source", reason, "leave one of them out; a lock keeps the versions of all archives");
    }
    sources.merged_further()?;
    let hint = "put {timestamp} into its address, in the place of the moment, or leave it out";
    match &sources.snapshot {
        Some(_) if !sources.mirrors.is_empty() => {
            refuse("--mirror", "a mirror has the archive as it is now, and --snapshot asks for another moment", hint)
        }
        None if !sources.services.is_empty() && sources.lock.is_none() => refuse(
            "--mirror",
            "{timestamp} stands for the moment of a snapshot or of a lock",
            "name it with --snapshot",
        ),
        None if sources.write_snapshot => {
            refuse("--sources=snapshot", "there is no snapshot", "name its moment with --snapshot")
        }
        _ => Ok(()),
    }
}

/// Refuses a variant that no architecture of the request has.
fn arch_variant(request: &Request) -> Result<(), Error> {
    let Request { selection, sources, output, .. } = request;
    let Some(variant) = &sources.arch_variant else { return Ok(()) };
    let mut names = std::iter::once(&selection.architecture).chain(&output.further_platforms);
    if arch::is_valid(variant) && names.any(|name| variant.starts_with(name.as_str()) && variant != name) {
        return Ok(());
    }
    let reason = format!("{variant:?} is no variant of {}", selection.architecture);
    refuse("--arch-variant", reason, "Ubuntu 26.04 and later have amd64v3, for --arch=amd64")
}

/// Refuses settings that the root cannot have.
fn settings(request: &Request) -> Result<(), Error> {
    let Request { selection, customization, output, .. } = request;
    let settings = &customization.settings;
    // These two are files that no script changes.
    let is_later = |option: &&(&str, String)| !["hostname", "resolv-conf"].contains(&option.0);
    if output.is_first_stage()
        && let Some((option, _)) = settings.described().iter().find(is_later)
    {
        let hint = "change the tree after the second stage";
        return refuse(&format!("--{option}"), "a first stage is not finished", hint);
    }
    if let Some(option) = settings.needs_program().filter(|_| !selection.variant.runs_scripts()) {
        let reason = format!("no program of the root runs with --variant={}", selection.variant);
        return refuse(option, reason, "use another variant");
    }
    settings.check()
}

/// Refuses hooks that have nothing to run in.
fn hooks(request: &Request) -> Result<(), Error> {
    let Request { selection, customization, output, .. } = request;
    for hook in &customization.hooks {
        let option = format!("--hook={}{}", if hook.is_inside { "@" } else { "" }, hook.moment);
        if output.is_first_stage() {
            return refuse(&option, "a first stage is not finished", "change the tree after the second stage");
        }
        if hook.is_inside && hook.moment == Moment::Setup {
            return refuse(&option, "the root has no shell yet", "leave the @ out: then a shell of the host runs it");
        }
        if hook.is_inside && !selection.variant.runs_scripts() {
            let reason = format!("no program of the root runs with --variant={}", selection.variant);
            return refuse(&option, reason, "leave the @ out: then a shell of the host runs it");
        }
    }
    Ok(())
}

/// Refuses a first stage of what has no second one.
fn first_stage(request: &Request) -> Result<(), Error> {
    let Request { selection, customization, output, .. } = request;
    if output.purpose != Purpose::FirstStage {
        return Ok(());
    }
    if output.makes_image() {
        return refuse("--foreign", "a container image is complete when it is made", "leave --foreign out");
    }
    if !selection.variant.runs_scripts() {
        let reason = format!("--variant={} has no second stage", selection.variant);
        return refuse("--foreign", reason, "leave --foreign out");
    }
    if !customization.archives.is_empty() {
        return refuse("--tar-in", "a first stage is not finished", "unpack into the tree after the second stage");
    }
    if !customization.copies.is_empty() {
        return refuse("--copy", "a first stage is not finished", "copy into the tree after the second stage");
    }
    Ok(())
}

/// Refuses an output that makes no sense, whatever it is made of.
fn output(output: &Output) -> Result<(), Error> {
    if !output.downloads.is_empty() && !output.further_platforms.is_empty() {
        return refuse("--download", "each platform has a file of its own", "make one platform after the other");
    }
    if output.layer_compression().is_some_and(|layer| layer.algorithm == Algorithm::Xz) {
        return refuse("--compression=xz", "no container engine reads a layer compressed with xz", "use zstd or gzip");
    }
    let ext4 = matches!(output.target, Target::File(_, Format::Ext4));
    if let Some(option) = output.filesystem.first_option().filter(|_| !ext4) {
        return refuse(option, "only an ext4 filesystem has this", "use a name ending in .ext4, or leave it out");
    }
    if let Some(label) = output.filesystem.label.as_ref().filter(|label| label.len() > 16) {
        return refuse("--fs-label", format!("{label:?} has more than 16 bytes"), "choose a shorter one");
    }
    if output.target == Target::Nowhere && !output.container.tags.is_empty() {
        return refuse("--tag", "there is no file to hold the name", "give every name to --push");
    }
    if output.makes_image() {
        return Ok(());
    }
    if let Some(option) = output.container.first_option() {
        return refuse(option, NO_IMAGE, OCI_HINT);
    }
    if output.attest {
        return refuse("--attest", NO_IMAGE, "use a name ending in .oci.tar, or --sbom for a file beside it");
    }
    Ok(())
}

/// Refuses an architecture that containers have no name for. Whether there is something to choose from is known once the source is open.
fn architecture_of_image(architecture: Option<&str>, output: &Output) -> Result<(), Error> {
    match architecture {
        Some(name) if !output.makes_image() => self::architecture(name),
        Some(architecture) => platform(architecture).map(drop),
        None => Ok(()),
    }
}

/// Refuses what is no name of an architecture, which becomes part of paths and of URLs.
pub(crate) fn selection(selection: &Selection) -> Result<(), Error> {
    selection.architectures().iter().try_for_each(|name| architecture(name))
}

/// Refuses what is no name of an architecture, and what others call one that dpkg has another name for.
pub(crate) fn architecture(name: &str) -> Result<(), Error> {
    // An archive of one's own may have an architecture that only few know.
    let is_meant = arch::is_known(name) || arch::from_other_name(name).is_none();
    match arch::is_valid(name) && is_meant {
        true => Ok(()),
        false => Err(Error::UnknownArchitecture { name: name.to_owned() }),
    }
}

fn platforms(selection: &Selection, output: &Output) -> Result<(), Error> {
    let further = &output.further_platforms;
    further.iter().try_for_each(|name| architecture(name))?;
    let several = further.iter().any(|name| *name != selection.architecture);
    let only_pushed = output.target == Target::Nowhere && !output.push.names.is_empty();
    if several && output.target.layer().is_none() && !only_pushed {
        return Err(Error::SeveralPlatforms);
    }
    if output.makes_image() {
        for architecture in std::iter::once(&selection.architecture).chain(further) {
            platform(architecture)?;
        }
    }
    Ok(())
}

/// Returns the platform of a Debian architecture, as container images name it.
pub(crate) fn platform(architecture: &str) -> Result<Platform, Error> {
    Platform::of_debian(architecture).ok_or_else(|| Error::NoPlatform { architecture: architecture.to_owned() })
}
