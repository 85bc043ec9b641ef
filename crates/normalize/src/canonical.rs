//! Generated files that two builds of one plan write differently. Each is brought into one form with the same meaning.
//!
//! The files come from package scripts, so a file that is not understood stays as it is.

use crate::error::{Result, go_on};
use crate::keystore;
use crate::rewrite::rewrite;
use crate::texmf;
use rootstrap_rootfs::{Kind, Root};
use std::sync::atomic::AtomicBool;

/// Rewrites all such files. `epoch` replaces the time of the build.
///
/// # Errors
/// The tree cannot be read or changed, or `cancel` was set.
pub(crate) fn rewrite_all(root: &Root, epoch: i64, cancel: &AtomicBool) -> Result<()> {
    rewrite_with(root, b"var/lib/systemd/catalog/database", catalog)?;
    for list in [&b"var/lib/texmf/fmtutil.cnf-TEXLIVEDIST"[..], b"var/lib/texmf/fmtutil.cnf-DEBIAN"] {
        rewrite_with(root, list, texmf::sorted_formats)?;
    }
    for list in [&b"var/lib/texmf/updmap.cfg-TEXLIVEDIST"[..], b"var/lib/texmf/updmap.cfg-DEBIAN"] {
        rewrite_with(root, list, texmf::sorted_maps)?;
    }
    rewrite_with(root, b"var/lib/texmf/ls-R", texmf::sorted_names)?;
    rewrite_with(root, b"etc/ssl/certs/java/cacerts", |bytes| keystore::normalized(bytes, epoch))?;
    if root.metadata(b"etc/console-setup")?.is_some_and(|found| found.kind == Kind::Directory) {
        for name in root.list(b"etc/console-setup")? {
            go_on(cancel)?;
            if name.starts_with(b"cached") && name.ends_with(b".gz") {
                rewrite_with(root, &[b"etc/console-setup/", &name[..]].concat(), |bytes| gzip_time(bytes, epoch))?;
            }
            if name.starts_with(b"cached") && name.ends_with(b".kmap.gz") {
                let script = b"etc/console-setup/cached_setup_keyboard.sh";
                rewrite_with(root, script, |bytes| {
                    cached_keymap(bytes, &[b"/etc/console-setup/", &name[..]].concat())
                })?;
            }
        }
    }
    Ok(())
}

/// Replaces the contents of a regular file with what `form` returns. Owner, mode and time stay.
fn rewrite_with(root: &Root, path: &[u8], form: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Result<()> {
    let Some(metadata) = root.metadata(path)?.filter(|found| found.kind == Kind::File) else { return Ok(()) };
    let Some(old) = root.read(path)? else { return Ok(()) };
    match form(&old).filter(|new| *new != old) {
        Some(new) => rewrite(root, path, &new, metadata.attributes),
        None => Ok(()),
    }
}

/// Puts the texts of journald's message catalog into the order of the sorted table that points at them. An older journald
/// writes them in the order of a randomly seeded hash table (src/journal/catalog.c: `write_catalog`). A newer one keeps the
/// order of its sources, mostly one language after the other; such a catalog stays as it is.
///
/// The file has a header of 40 bytes (`RHHHKSLP`, flags, size of the header, number of items, size of one item), the items (id,
/// language, offset of the text after the table), and the texts, each ended by a zero byte. All numbers are little endian.
fn catalog(file: &[u8]) -> Option<Vec<u8>> {
    let number = |at: usize| -> Option<usize> {
        let bytes = file.get(at..at.checked_add(8)?)?.try_into().ok()?;
        usize::try_from(u64::from_le_bytes(bytes)).ok()
    };
    if !file.starts_with(b"RHHHKSLP") {
        return None;
    }
    let (header, count, size) = (number(16)?, number(24)?, number(32)?);
    let table = count.checked_mul(size).filter(|_| size == 56)?;
    let texts = file.get(header.checked_add(table)?..)?;
    let mut head = file.get(..header.checked_add(table)?)?.to_vec();
    let mut languages = Vec::with_capacity(count.min(texts.len()));
    for item in 0..count {
        let at = header.checked_add(item.checked_mul(size)?)?;
        languages.push((number(at.checked_add(48)?)?, file.get(at.checked_add(16)?..at.checked_add(48)?)?));
    }
    languages.sort_unstable();
    languages.dedup_by_key(|(_, language)| *language);
    // Count the runs of one language. Languages share a text now and then, which breaks a run; in random order nearly every
    // text would break one.
    if languages.len() <= count / 2 {
        return None;
    }
    let mut body = Vec::with_capacity(texts.len());
    // The table of strings begins with the empty string.
    body.extend(texts.first().filter(|first| **first == 0));
    let mut placed = std::collections::BTreeMap::new();
    for item in 0..count {
        let at = header.checked_add(item.checked_mul(size)?)?.checked_add(48)?;
        let old = number(at)?;
        let new = match placed.get(&old) {
            Some(new) => *new,
            None => {
                let rest = texts.get(old..)?;
                let text = rest.get(..=rest.iter().position(|&b| b == 0)?)?;
                let new = body.len();
                body.extend_from_slice(text);
                // Texts may share their ends, so the body may grow, but not without bound.
                if body.len() > texts.len().checked_mul(2)? {
                    return None;
                }
                placed.insert(old, new);
                new
            }
        };
        head.get_mut(at..at.checked_add(8)?)?.copy_from_slice(&u64::try_from(new).ok()?.to_le_bytes());
    }
    head.extend_from_slice(&body);
    Some(head)
}

/// Makes console-setup's script load the keymap from the `cached` file beside it. In some suites, setupcon(1) run twice within
/// a second writes the name of a temporary file there, which no longer exists.
fn cached_keymap(script: &[u8], cached: &[u8]) -> Option<Vec<u8>> {
    const TEMPORARY: [&[u8]; 2] = [b"'/tmp/tmpkbd.", b"'/run/tmpkbd."];
    let find = |name: &&[u8]| script.windows(name.len()).position(|window| window == *name);
    let start = TEMPORARY.iter().find_map(find)?;
    let (before, rest) = script.split_at_checked(start.checked_add(1)?)?;
    let end = rest.iter().position(|&b| b == b'\'')?;
    Some([before, cached, rest.get(end..)?].concat())
}

/// Lowers the time in a gzip header (RFC 1952 §2.3) to `epoch`.
fn gzip_time(file: &[u8], epoch: i64) -> Option<Vec<u8>> {
    let time = u32::from_le_bytes(file.get(4..8)?.try_into().ok()?);
    let epoch = u32::try_from(epoch).ok()?;
    if !file.starts_with(&[0x1f, 0x8b, 8]) || time <= epoch {
        return None;
    }
    let mut file = file.to_vec();
    file.get_mut(4..8)?.copy_from_slice(&epoch.to_le_bytes());
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a catalog of `texts` that alternate between two languages. The table follows the order of `texts`, the body
    /// `order`.
    fn written(texts: &[&str], order: &[usize]) -> Vec<u8> {
        let mut offsets = vec![0_u64; texts.len()];
        let mut body = vec![0];
        for &text in order {
            offsets[text] = body.len() as u64;
            body.extend_from_slice(texts[text].as_bytes());
            body.push(0);
        }
        let mut file = b"RHHHKSLP\0\0\0\0\0\0\0\0".to_vec();
        for number in [40, texts.len() as u64, 56] {
            file.extend_from_slice(&number.to_le_bytes());
        }
        for (item, offset) in offsets.iter().enumerate() {
            file.extend_from_slice(&[item as u8; 16]);
            file.extend_from_slice(&[b'a' + (item % 2) as u8; 32]);
            file.extend_from_slice(&offset.to_le_bytes());
        }
        file.extend_from_slice(&body);
        file
    }

    const TEXTS: [&str; 6] = ["one", "second text", "3", "number four", "5", "the last"];

    #[test]
    fn a_catalog_has_its_texts_in_the_order_of_its_table() {
        let sorted = written(&TEXTS, &[0, 1, 2, 3, 4, 5]);
        assert_eq!(catalog(&written(&TEXTS, &[2, 3, 0, 1, 5, 4])).unwrap(), sorted);
        assert_eq!(catalog(&sorted).unwrap(), sorted);
    }

    #[test]
    fn a_catalog_that_is_in_the_order_of_its_sources_stays() {
        assert_eq!(catalog(&written(&TEXTS, &[3, 1, 5, 2, 0, 4])), None);
    }

    #[test]
    fn a_damaged_catalog_stays() {
        let file = written(&TEXTS, &[1, 0, 3, 2, 5, 4]);
        for end in 0..file.len() {
            assert!(catalog(&file[..end]).is_none(), "{end}");
        }
        for at in 8..file.len() {
            let mut file = file.clone();
            file[at] ^= 0xff;
            // The result does not matter, but it must be bounded and nothing may panic.
            assert!(catalog(&file).is_none_or(|new| new.len() < file.len() * 2));
        }
    }

    #[test]
    fn keymaps_come_from_the_cache() {
        let script = |path: &str| format!("kbd_mode '-u'\nloadkeys '{path}' > '/dev/null'\n").into_bytes();
        let cached = script("/etc/console-setup/cached.kmap.gz");
        for temporary in ["/tmp/tmpkbd.rV2aZC", "/run/tmpkbd.CqPUY1"] {
            let settled = cached_keymap(&script(temporary), b"/etc/console-setup/cached.kmap.gz");
            assert_eq!(settled.unwrap(), cached);
        }
        assert_eq!(cached_keymap(&cached, b"x"), None);
        assert_eq!(cached_keymap(b"loadkeys '/tmp/tmpkbd.", b"x"), None);
    }

    #[test]
    fn times_of_the_build_become_the_epoch() {
        let file = |time: u32| [&[0x1f, 0x8b, 8, 0][..], &time.to_le_bytes(), b"rest"].concat();
        assert_eq!(gzip_time(&file(2000), 1000).unwrap(), file(1000));
        assert_eq!(gzip_time(&file(500), 1000), None);
        assert_eq!(gzip_time(b"no gzip at all", 0), None);
        assert_eq!(gzip_time(&[0x1f, 0x8b], 0), None);
    }
}
