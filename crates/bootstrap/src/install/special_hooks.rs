//! Runs mmdebstrap's special hooks. No program copies, so they work at every stage, also where the root is empty.

use crate::error::Error;
use crate::install::context::BuildContext;
use crate::request::special_hook::{Form, SpecialHook};
use crate::request::{Copy, Hook, TarIn};
use crate::transfer::{copies, out, tar_in};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Copies what a special hook names. What comes into the root belongs to root, except what an archive has.
pub(crate) fn run(context: &BuildContext<'_>, hook: &Hook, special: &SpecialHook) -> Result<(), Error> {
    for from in &special.from {
        match special.is_in {
            true => bring_in(context, hook, special, from)?,
            false => bring_out(context, hook, special, from)?,
        }
    }
    Ok(())
}

fn bring_in(context: &BuildContext<'_>, hook: &Hook, special: &SpecialHook, from: &Path) -> Result<(), Error> {
    let &BuildContext { root, epoch, machine, .. } = context;
    let to = Path::new("/").join(&special.to);
    if special.form == Form::Archive {
        let tar = [TarIn { from: from.to_owned(), to }];
        tar_in::check(&tar)?;
        return tar_in::unpack(&tar, root, &machine.cancel);
    }
    let is_directory = std::fs::metadata(from).map_err(Error::io("copy", from))?.is_dir();
    let to = match (special.form, is_directory) {
        (Form::File, true) => return Err(bad(hook, format!("{} is a directory", from.display()))),
        (Form::Content, false) => return Err(bad(hook, format!("{} is no directory", from.display()))),
        (Form::Trees, true) => to.join(from.file_name().unwrap_or_default()),
        (Form::Trees, false) => to.join(""),
        _ => to,
    };
    let copy = Copy { from: from.to_owned(), to, mode: None, owner: None };
    copies::make(&[copy], root, epoch, &machine.cancel)
}

fn bring_out(context: &BuildContext<'_>, hook: &Hook, special: &SpecialHook, from: &Path) -> Result<(), Error> {
    let &BuildContext { root, machine, .. } = context;
    let to: &PathBuf = &special.to;
    // The root resolves paths from its top.
    let path = from.as_os_str().as_bytes();
    if root.metadata(path)?.is_none() {
        return Err(bad(hook, format!("the root has no {}", from.display())));
    }
    match special.form {
        Form::File => {
            let mut file = File::create(to).map_err(Error::io("write", to))?;
            out::file(root, path, &mut file, to)
        }
        Form::Trees => out::tree(root, path, to, false, &machine.cancel),
        Form::Content => out::tree(root, path, to, true, &machine.cancel),
        Form::Archive => out::archive(root, path, to),
    }
}

fn bad(hook: &Hook, reason: String) -> Error {
    Error::Hook { command: format!("`{}`", hook.command), reason }
}
