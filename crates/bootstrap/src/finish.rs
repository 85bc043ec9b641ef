//! What is left once all packages are configured: the few files no package ships, apt's sources and marks, and the
//! removal of everything that two builds would not have in common.

use crate::suite::Suite;
use crate::{Error, Request, sources};
use rootstrap_fetch::VerifiedPocket;
use rootstrap_image::{docker, tidy};
use rootstrap_resolve::{Plan, Variant};
use rootstrap_rootfs::{Root, skeleton};

/// Brings a configured root into the shape in which it is published.
pub(crate) fn finish(
    root: &Root,
    request: &Request,
    suite: &Suite,
    served: &[VerifiedPocket],
    plan: &Plan,
    epoch: i64,
) -> Result<(), Error> {
    if request.variant == Variant::Extract {
        tidy::clamp_times(root, epoch)?;
        return Ok(());
    }
    files(root, request, suite, served, plan)?;
    tidy::tidy(root, &tidy::Tidy { epoch, image: request.image })?;
    if request.image {
        let ubuntu = suite.vendor().is_some_and(|vendor| vendor.name == "ubuntu");
        let settings = docker::Settings {
            ubuntu,
            gzip_first: ubuntu || suite.gzip_first,
            initctl: suite.fake_initctl,
            ended: suite.ended,
        };
        docker::settings(root, &settings)?;
    }
    // Nodes for whoever enters the directory with chroot; archives get theirs from a table.
    if matches!(request.target, crate::Target::Directory(_)) {
        skeleton::fill_dev(&root.plain()?, epoch)?;
    }
    tidy::clamp_times(root, epoch)?;
    Ok(())
}

/// The files no package ships.
pub(crate) fn files(
    root: &Root,
    request: &Request,
    suite: &Suite,
    served: &[VerifiedPocket],
    plan: &Plan,
) -> Result<(), Error> {
    write_if_absent(root, "etc/fstab", "# UNCONFIGURED FSTAB FOR BASE SYSTEM\n")?;
    write_if_absent(root, "etc/hostname", "localhost\n")?;
    sources::write(root, request, suite, served)?;
    mark_automatic(root, plan, request.architecture()?)
}

fn write_if_absent(root: &Root, path: &str, text: &str) -> Result<(), Error> {
    if root.metadata(path.as_bytes())?.is_none() && root.metadata(b"etc")?.is_some() {
        root.write(path.as_bytes(), text.as_bytes(), 0o644)?;
    }
    Ok(())
}

/// Tells apt which packages only dependencies brought in, so that `apt autoremove` may take them when nothing needs
/// them any more (apt `apt-pkg/depcache.cc:writeStateFile`).
fn mark_automatic(root: &Root, plan: &Plan, native: &str) -> Result<(), Error> {
    if root.metadata(b"var/lib/apt")?.is_none() {
        return Ok(());
    }
    let mut stanzas: Vec<String> = plan
        .phases
        .iter()
        .flat_map(|phase| &phase.packages)
        .filter(|package| package.automatic)
        // Packages for all architectures are the native one's business to apt.
        .map(|package| {
            let architecture = if package.architecture == "all" { native } else { &package.architecture };
            format!("Package: {}\nArchitecture: {architecture}\nAuto-Installed: 1\n\n", package.name)
        })
        .collect();
    stanzas.sort();
    if !stanzas.is_empty() {
        root.write(b"var/lib/apt/extended_states", stanzas.concat().as_bytes(), 0o644)?;
    }
    Ok(())
}
