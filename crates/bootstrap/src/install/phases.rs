//! The phases of a plan, one after the other. This order makes the result equal to debootstrap's; who unpacks a package does not matter.
//!
//! The first phase is extracted whole, conffiles in place, before any script runs. In every later phase, each package's preinst runs
//! right before its files appear, conffiles wait beside their places, and dpkg then configures the phase.

use crate::error::Error;
use crate::event::{Event, Stage};
use crate::install::context::BuildContext;
use crate::install::debs::{DebPipeline, StagedDeb, check_names};
use crate::install::early_settings;
use crate::install::first_phase_snapshot::FirstPhaseSnapshot;
use crate::install::hooks;
use crate::install::installer::Installer;
use crate::install::sandbox::start;
use crate::request::Moment;
use rootstrap_configure::Sandbox;
use rootstrap_resolve::{Phase, Variant};
use rootstrap_rootfs::{Root, skeleton};

/// A root in which every package is installed.
pub(crate) struct Installed {
    /// The size of all unpacked files in bytes.
    pub bytes: u64,
    /// The sandbox in which scripts ran; `None` for variants that run none. Dropping it ends what scripts left running.
    pub sandbox: Option<Sandbox>,
}

/// Fills the root phase by phase. The first phase's scripts do not run where `snapshot` holds what they make.
pub(crate) fn install(
    context: &BuildContext<'_>,
    pipeline: &mut DebPipeline<'_>,
    mut snapshot: Option<FirstPhaseSnapshot>,
) -> Result<Installed, Error> {
    let &BuildContext { selection, plan, root, epoch, report, .. } = context;
    let mut installer = Installer::new(context);
    let mut sandbox = None;
    if !plan.without.is_empty() {
        report(Event::Note(format!("dependencies left out: {}", plan.without.join(", "))));
    }
    if !context.customization.hooks.is_empty() {
        context.staging.show(context.machine)?;
    }
    hooks::run(context, Moment::Setup, None)?;
    early_settings::write_dpkg_options(context)?;
    let bytes = each_phase(context, pipeline, &mut |number, _, packages| {
        if number == 0 && selection.variant.runs_scripts() {
            sandbox = Some(first_phase(context, &mut installer, &packages, snapshot.take())?);
        } else if let Some(sandbox) = &mut sandbox {
            installer.later(sandbox, &packages)?;
        } else {
            installer.extract(&packages)?;
        }
        Ok(())
    })?;
    if !selection.variant.runs_scripts() {
        hooks::run(context, Moment::Extract, None)?;
    }
    if selection.variant == Variant::Distroless {
        rootstrap_distroless::complete(root, &installer.into_alternatives(), epoch, &context.machine.cancel)?;
        rootstrap_normalize::set_root_attributes(root)?;
    }
    Ok(Installed { bytes, sandbox })
}

/// Installs a phase: its number, its plan, its packages.
type InstallPhase<'a> = dyn FnMut(usize, &Phase, Vec<StagedDeb>) -> Result<(), Error> + 'a;

/// Hands each phase and its packages to `install`, in the order of the plan. Returns the size of all unpacked files in bytes.
pub(crate) fn each_phase(
    context: &BuildContext<'_>,
    pipeline: &mut DebPipeline<'_>,
    install: &mut InstallPhase<'_>,
) -> Result<u64, Error> {
    let (mut bytes, mut next) = (0, 0);
    for (number, phase) in context.plan.phases.iter().enumerate() {
        (context.report)(Event::Stage(Stage::Unpack));
        let positions = next..next + phase.packages.len();
        next = positions.end;
        let packages = pipeline.take(positions)?;
        check_names(&packages, &phase.packages)?;
        bytes += packages.iter().map(|deb| deb.staged.bytes).sum::<u64>();
        install(number, phase, packages)?;
    }
    Ok(bytes)
}

/// Extracts the first phase, and configures it or restores what its scripts made in an earlier run. Returns the sandbox for later
/// phases.
fn first_phase(
    context: &BuildContext<'_>,
    installer: &mut Installer<'_>,
    packages: &[StagedDeb],
    snapshot: Option<FirstPhaseSnapshot>,
) -> Result<Sandbox, Error> {
    let for_dpkg = installer.extract(packages)?;
    prepare(context.root)?;
    // Without a moment to compare the times of files with, the snapshot is not kept.
    let (extracted, by_dpkg) = (context.staging.store.moment().ok(), !for_dpkg.is_empty());
    match snapshot {
        Some(snapshot) if snapshot.exists() => {
            if let Some(claims) = snapshot.restore(context)? {
                installer.claims = claims;
            }
            if context.plan.phases.len() > 1 {
                context.staging.precopy();
            }
            let mut sandbox = start(context, false)?;
            end_first_phase(context, &mut sandbox)?;
            Ok(sandbox)
        }
        snapshot => {
            context.staging.precopy();
            (context.report)(Event::Stage(Stage::Configure));
            let mut sandbox = start(context, false)?;
            hooks::run(context, Moment::Extract, Some(&mut sandbox))?;
            installer.first(&mut sandbox, packages, &for_dpkg)?;
            if let (Some(snapshot), Some(extracted)) = (snapshot, extracted) {
                let claims = by_dpkg.then_some(&installer.claims);
                context.staging.wait_for(snapshot.keep(context, packages, extracted, claims));
            }
            end_first_phase(context, &mut sandbox)?;
            Ok(sandbox)
        }
    }
}

/// Takes the steps between the first phase and the others.
fn end_first_phase(context: &BuildContext<'_>, sandbox: &mut Sandbox) -> Result<(), Error> {
    early_settings::preseed(context, sandbox)?;
    hooks::run(context, Moment::Essential, Some(sandbox))
}

/// Extracts the files of the first phase and runs nothing. Returns the packages that the target's dpkg has to unpack.
pub(crate) fn extract<'p>(context: &BuildContext<'_>, packages: &'p [StagedDeb]) -> Result<Vec<&'p StagedDeb>, Error> {
    let for_dpkg = Installer::new(context).extract(packages)?;
    prepare(context.root)?;
    Ok(for_dpkg)
}

/// Creates what scripts find in a root beside their packages: the mount points of the sandbox, and an empty fstab. The root has to have dpkg.
fn prepare(root: &Root) -> Result<(), Error> {
    if root.metadata(b"usr/bin/dpkg")?.is_none() {
        return Err(Error::NoDpkg);
    }
    for mount_point in ["dev", "proc", "sys"] {
        root.create_directories(mount_point.as_bytes(), 0o755)?;
    }
    Ok(skeleton::write_fstab(root)?)
}
