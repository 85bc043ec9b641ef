//! What is left once all packages are configured: the few files no package ships, apt's sources and marks, and the
//! removal of everything that two builds would not have in common.

use crate::suite::Suite;
use crate::{Error, Request, copies, marks, slim, sources};
use rootstrap_fetch::VerifiedPocket;
use rootstrap_image::{docker, ldcache, tidy};
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
    if !request.variant.runs_scripts() {
        if request.slim {
            slim::sweep(root)?;
        }
        copies::make(request, root, epoch)?;
        if request.variant == Variant::Distroless && !request.copies.is_empty() {
            // There may be libraries among them, and nothing else in the tree finds those.
            ldcache::write(root, epoch)?;
        }
        tidy::clamp_times(root, epoch)?;
        return Ok(());
    }
    files(root, request, suite, served, plan)?;
    if request.slim {
        slim::sweep(root)?;
    }
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
        if root.metadata(b"var/lib/dpkg/info/usr-is-merged.list")?.is_none() {
            // Nothing in there would ask for it.
            root.remove(b"etc/unsupported-skip-usrmerge-conversion")?;
        }
    }
    // After everything that would change or remove what the user wants there.
    copies::make(request, root, epoch)?;
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
    marks::write(root, request, plan)
}

fn write_if_absent(root: &Root, path: &str, text: &str) -> Result<(), Error> {
    if root.metadata(path.as_bytes())?.is_none() && root.metadata(b"etc")?.is_some() {
        root.write(path.as_bytes(), text.as_bytes(), 0o644)?;
    }
    Ok(())
}
