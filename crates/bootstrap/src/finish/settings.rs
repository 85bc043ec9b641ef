//! The settings of the system that no package makes: files, and what the root's own programs do for them.

use crate::error::Error;
use crate::finish::account;
use crate::install::BuildContext;
use crate::install::output::report_line;
use crate::request::Settings;
use rootstrap_configure::Sandbox;
use rootstrap_rootfs::{Attributes, Root};

fn refuse(option: &str, reason: impl Into<String>, hint: &'static str) -> Error {
    Error::Combination { option: option.to_owned(), reason: reason.into(), hint }
}

/// Runs a program of the root for an option.
fn run(context: &BuildContext<'_>, sandbox: &mut Sandbox, words: &[&str], action: &str) -> Result<(), Error> {
    let exit = sandbox.run(words, &[], &mut |line| report_line(context.report, line))?;
    Ok(exit.check(|| action.to_owned())?)
}

/// Takes the steps that need programs of the root: users, and the locale.
pub(crate) fn run_programs(context: &BuildContext<'_>, sandbox: &mut Sandbox) -> Result<(), Error> {
    let Settings { locale, users, .. } = &context.customization.settings;
    for user in users {
        account::add(context, sandbox, user)?;
    }
    let Some(locale) = locale else { return Ok(()) };
    generate_locale(context, sandbox, locale)?;
    // Where the file is depends on the release, and this program knows it.
    if context.root.leads_somewhere(b"usr/sbin/update-locale")? {
        let variable = format!("LANG={locale}");
        return run(context, sandbox, &["update-locale", &variable], "set the locale");
    }
    context.root.create_directories(b"etc/default", 0o755)?;
    Ok(context.root.write(b"etc/default/locale", format!("LANG={locale}\n").as_bytes(), 0o644)?)
}

/// Makes the locale, unless the C library has it built in.
fn generate_locale(context: &BuildContext<'_>, sandbox: &mut Sandbox, locale: &str) -> Result<(), Error> {
    if ["C", "POSIX", "C.UTF-8", "C.utf8"].contains(&locale) {
        return Ok(());
    }
    let root = context.root;
    let supported = root.read(b"usr/share/i18n/SUPPORTED")?.unwrap_or_default();
    if supported.is_empty() || !root.leads_somewhere(b"usr/sbin/locale-gen")? {
        let reason = "the root has no program that makes locales";
        return Err(refuse("--locale", reason, "add --include=locales, or use C.UTF-8"));
    }
    let supported = String::from_utf8_lossy(&supported).into_owned();
    let line = supported.lines().find(|line| line.split_whitespace().next() == Some(locale));
    let unknown = || refuse("--locale", format!("the root knows no locale {locale}"), "name it as in de_DE.UTF-8");
    let line = line.ok_or_else(unknown)?;
    let mut text = root.read(b"etc/locale.gen")?.unwrap_or_default();
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    root.write(b"etc/locale.gen", &[&text, line.as_bytes(), &b"\n"[..]].concat(), 0o644)?;
    run(context, sandbox, &["locale-gen"], "make the locale")
}

/// Writes the settings that are files.
pub(crate) fn write(root: &Root, settings: &Settings, epoch: i64) -> Result<(), Error> {
    let Settings { hostname, resolv_conf, timezone, root_password, apt_options, .. } = settings;
    if let Some(name) = hostname {
        root.create_directories(b"etc", 0o755)?;
        root.write(b"etc/hostname", format!("{name}\n").as_bytes(), 0o644)?;
    }
    if let Some(text) = resolv_conf {
        const PLACE: &[u8] = b"etc/resolv.conf";
        root.create_directories(b"etc", 0o755)?;
        // A link of a package leads to a service that does not run here.
        root.at(PLACE)?.remove()?;
        root.write(PLACE, text.as_bytes(), 0o644)?;
    }
    if let Some(zone) = timezone {
        write_timezone(root, zone, epoch)?;
    }
    if let Some(hash) = root_password {
        write_root_password(root, hash)?;
    }
    if !apt_options.is_empty() {
        if root.metadata(b"etc/apt")?.is_none() {
            return Err(refuse("--apt-option", "the root has no apt", "use a variant that has it, such as minbase"));
        }
        root.create_directories(b"etc/apt/apt.conf.d", 0o755)?;
        root.write(b"etc/apt/apt.conf.d/99rootstrap", apt_options.concat().as_bytes(), 0o644)?;
    }
    Ok(())
}

fn write_timezone(root: &Root, zone: &str, epoch: i64) -> Result<(), Error> {
    let path = format!("usr/share/zoneinfo/{zone}");
    if !root.leads_somewhere(path.as_bytes())? || root.open_directory(path.as_bytes()).is_ok() {
        let hint =
            "name it as in Europe/Berlin; the package tzdata, and for older names tzdata-legacy, has to be included";
        return Err(refuse("--timezone", format!("the root has no time zone {zone}"), hint));
    }
    let place = root.at(b"etc/localtime")?;
    place.remove()?;
    let attributes = Attributes { mode: 0o777, uid: 0, gid: 0, mtime: epoch };
    place.create_symlink(format!("/{path}").as_bytes(), attributes)?;
    // Releases whose tzdata has this file read it when tzdata is configured again.
    if root.metadata(b"etc/timezone")?.is_some() {
        root.write(b"etc/timezone", format!("{zone}\n").as_bytes(), 0o644)?;
    }
    Ok(())
}

/// Puts the hash in the second field of root's line (shadow(5)). The file keeps its mode and owner.
fn write_root_password(root: &Root, hash: &str) -> Result<(), Error> {
    const SHADOW: &[u8] = b"etc/shadow";
    let none = || refuse("--root-password-hash", "the root has no /etc/shadow with root in it", "include passwd");
    let metadata = root.metadata(SHADOW)?.ok_or_else(none)?;
    let text = root.read(SHADOW)?.unwrap_or_default();
    let mut is_there = false;
    let lines = text.split(|&b| b == b'\n').map(|line| {
        let mut fields: Vec<&[u8]> = line.split(|&b| b == b':').collect();
        if let (Some(b"root"), Some(field)) = (fields.first().copied(), fields.get_mut(1)) {
            is_there = true;
            *field = hash.as_bytes();
        }
        fields.join(&b':')
    });
    let new = lines.collect::<Vec<_>>().join(&b'\n');
    if !is_there {
        return Err(none());
    }
    root.write(SHADOW, &new, 0o600)?;
    Ok(root.at(SHADOW)?.set_attributes(metadata.attributes)?)
}
