//! The steps that bring a configured root into the state in which it is published, in their order.

use crate::archive::ServedPocket;
use crate::error::Error;
use crate::event::Event;
use crate::finish::further_sources::AptKeys;
use crate::finish::image_settings::{self, ImageSettings};
use crate::finish::sources::Entries;
use crate::finish::{account, marks, settings, sources};
use crate::install::phases::Installed;
use crate::install::{BuildContext, hooks, slim};
use crate::request::{Copy, Moment, Output, Sources, Target};
use crate::transfer::{copies, tar_in};
use rootstrap_configure::fakes;
use rootstrap_debian::preferences;
use rootstrap_normalize::Tidy;
use rootstrap_resolve::Variant;
use rootstrap_rootfs::{Root, skeleton};

/// What finishing needs besides the context of the build.
#[derive(Clone, Copy)]
pub(crate) struct FinishInputs<'a> {
    pub sources: &'a Sources,
    pub copies: &'a [Copy],
    pub output: &'a Output,
    /// The pockets that served the build.
    pub pockets: &'a [ServedPocket],
    /// The keys of the suite, if they are not its own.
    pub own_keys: Option<&'a [u8]>,
}

/// Brings a configured root into the state in which it is published.
pub(crate) fn finish(context: &BuildContext<'_>, inputs: FinishInputs<'_>) -> Result<(), Error> {
    let &BuildContext { selection, customization, suite, root, epoch, machine, .. } = context;
    let slim = customization.slim;
    let is_image = inputs.output.is_base_image();
    if !selection.variant.runs_scripts() {
        if slim {
            slim::sweep(root, &machine.cancel)?;
        }
        settings::write(root, &customization.settings, epoch)?;
        tar_in::unpack(&customization.archives, root, &machine.cancel)?;
        copies::make(inputs.copies, root, epoch, &machine.cancel)?;
        let is_more = !inputs.copies.is_empty() || !customization.archives.is_empty();
        if selection.variant == Variant::Distroless && is_more {
            // Libraries may be among the copies, and programs find them only through the cache.
            rootstrap_distroless::ldcache::write(root, epoch, &machine.cancel)?;
        }
        return Ok(rootstrap_normalize::clamp_times(root, epoch, &machine.cancel)?);
    }
    if !has_customize_hooks(context) {
        write_files(root, context, inputs)?;
    }
    if slim {
        slim::sweep(root, &machine.cancel)?;
    }
    for (path, reason) in rootstrap_normalize::tidy(root, &Tidy { epoch, image: is_image }, &machine.cancel)? {
        (context.report)(Event::Varying { path, reason });
    }
    if is_image {
        let ubuntu = suite.vendor().is_some_and(|vendor| vendor.name == "ubuntu");
        let settings = ImageSettings {
            ubuntu,
            gzip_first: ubuntu || suite.gzip_first,
            initctl: suite.fake_initctl,
            ended: suite.ended,
        };
        image_settings::write(root, &settings)?;
        if root.metadata(b"var/lib/dpkg/info/usr-is-merged.list")?.is_none() {
            // No package in the image reads this file.
            root.remove(b"etc/unsupported-skip-usrmerge-conversion")?;
        }
    }
    // These come after all steps that could change or remove the files that the user copies.
    tar_in::unpack(&customization.archives, root, &machine.cancel)?;
    copies::make(inputs.copies, root, epoch, &machine.cancel)?;
    // A directory gets device nodes for those who enter it with chroot. Archives get theirs from a table.
    if matches!(inputs.output.target, Target::Directory(_)) {
        skeleton::fill_dev(&root.without_fake_ownership(), epoch)?;
    }
    Ok(rootstrap_normalize::clamp_times(root, epoch, &machine.cancel)?)
}

/// Whether commands of the user run on the finished system. They find the files that no package ships.
fn has_customize_hooks(context: &BuildContext<'_>) -> bool {
    context.customization.hooks.iter().any(|hook| hook.moment == Moment::Customize)
}

/// Takes the last steps that need the sandbox, and ends the sandbox before anything else changes the tree. Returns the size of all
/// unpacked files in bytes.
pub(crate) fn end_scripts(
    context: &BuildContext<'_>,
    installed: Installed,
    inputs: FinishInputs<'_>,
) -> Result<u64, Error> {
    let Installed { bytes, mut sandbox } = installed;
    if let Some(sandbox) = &mut sandbox {
        if inputs.output.is_base_image() {
            account::create(context, sandbox)?;
        }
        settings::run_programs(context, sandbox)?;
        if has_customize_hooks(context) {
            write_files(context.root, context, inputs)?;
        }
    }
    hooks::run(context, Moment::Customize, sandbox.as_mut())?;
    if let Some(sandbox) = sandbox {
        // This ends whatever a script left running.
        drop(sandbox);
        fakes::remove(context.root)?;
    }
    Ok(bytes)
}

/// Writes the files that no package ships into `root`, which is the context's root or, for a first stage, a tree beside it.
pub(crate) fn write_files(root: &Root, context: &BuildContext<'_>, inputs: FinishInputs<'_>) -> Result<(), Error> {
    skeleton::write_fstab(root)?;
    if root.metadata(b"etc/hostname")?.is_none() && root.metadata(b"etc")?.is_some() {
        root.write(b"etc/hostname", b"localhost\n", 0o644)?;
    }
    let &BuildContext { selection, suite, plan, .. } = context;
    if !selection.preferences.is_empty() && root.metadata(b"etc/apt")?.is_some() {
        root.create_directories(b"etc/apt/preferences.d", 0o755)?;
        let text = preferences::to_text(&selection.preferences);
        root.write(b"etc/apt/preferences.d/rootstrap", text.as_bytes(), 0o644)?;
    }
    let FinishInputs { sources, pockets, own_keys, .. } = inputs;
    let variant = sources.arch_variant.as_ref().filter(|variant| variant.starts_with(&selection.architecture));
    if let Some(variant) = variant.filter(|_| root.metadata(b"etc/apt").is_ok_and(|found| found.is_some())) {
        root.create_directories(b"etc/apt/apt.conf.d", 0o755)?;
        let text = format!("APT::Architecture-Variants \"{variant}\";\n");
        root.write(b"etc/apt/apt.conf.d/99rootstrap-variant", text.as_bytes(), 0o644)?;
    }
    let architecture = selection.architecture.as_str();
    let apt = plan.packages().find(|(_, package)| package.name == "apt").map(|(_, package)| package.version.as_str());
    sources::write(&Entries { root, architecture, sources, suite, served: pockets }, &AptKeys { apt, own_keys })?;
    marks::write(root, selection, inputs.output.is_base_image(), plan)?;
    settings::write(root, &context.customization.settings, context.epoch)
}
