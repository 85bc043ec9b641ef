//! Programs of the test host as fixture content, so that a bootstrapped root can run real scripts and a real dpkg.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file or a symlink of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFile {
    /// Absolute, with every parent directory resolved: `/usr/bin/x` where `/bin` is a link to `usr/bin`.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Content; empty for a link.
    pub content: Vec<u8>,
    /// The target, if it is a symlink.
    pub link: Option<String>,
}

/// The directories that usr-merge turned into links.
const TOP: [&str; 7] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32", "libo32"];

/// Returns everything that these programs need to run, sorted by path: the programs, the links that lead to them, their
/// shared libraries and ELF interpreter, and the host's top-level links such as `/lib64`.
///
/// # Errors
/// The host lacks one of them. The text names it.
pub fn programs(names: &[&str]) -> Result<Vec<HostFile>, String> {
    let tops: Vec<PathBuf> = TOP.iter().map(|top| Path::new("/").join(top)).filter(|top| top.is_symlink()).collect();
    let mut files = BTreeMap::new();
    for path in tops {
        let link = link(&path)?;
        files.insert(link.path.clone(), link);
    }
    for name in names {
        let program = find(name).ok_or_else(|| format!("the host has no program {name}"))?;
        for path in libraries(&program)?.into_iter().chain([program]) {
            for file in chain(&path)? {
                files.insert(file.path.clone(), file);
            }
        }
    }
    Ok(files.into_values().collect())
}

/// Looks a program up in the directories that a root shell searches. The PATH of the test is not read.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    ["/bin", "/usr/bin", "/sbin", "/usr/sbin"].iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file())
}

/// The shared libraries and the interpreter of a program, as `ldd` names them; none for a script or a static program.
pub(crate) fn libraries(program: &Path) -> Result<Vec<PathBuf>, String> {
    let bytes = fs::read(program).map_err(|e| format!("cannot read {}: {e}", program.display()))?;
    if !bytes.starts_with(b"\x7fELF") {
        return Ok(Vec::new());
    }
    let output = Command::new("ldd").env("LC_ALL", "C").arg(program).output();
    let output = output.map_err(|e| format!("cannot run ldd: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if let Some(line) = text.lines().find(|line| line.contains("not found")) {
        return Err(format!("{}: {}", program.display(), line.trim()));
    }
    // Either "name => /path (address)" or, for the interpreter, "/path (address)".
    let path = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
    Ok(text.lines().filter(|line| line.contains("(0x")).filter_map(path).collect())
}

/// Returns the file at a path. If links lead to the file, returns the links first, in their order.
pub(crate) fn chain(path: &Path) -> Result<Vec<HostFile>, String> {
    let mut out = Vec::new();
    let mut path = resolve_parent(path)?;
    // The kernel follows at most forty links.
    for _ in 0..40 {
        if !path.is_symlink() {
            out.push(read(&path)?);
            return Ok(out);
        }
        let link = link(&path)?;
        let target = path.parent().unwrap_or(&path).join(link.link.as_deref().unwrap_or_default());
        out.push(link);
        path = resolve_parent(&target)?;
    }
    Err(format!("{} is a loop of links", path.display()))
}

fn resolve_parent(path: &Path) -> Result<PathBuf, String> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(format!("{} names no file", path.display()));
    };
    let parent = parent.canonicalize().map_err(|e| format!("cannot resolve {}: {e}", parent.display()))?;
    Ok(parent.join(name))
}

fn link(path: &Path) -> Result<HostFile, String> {
    let target = fs::read_link(path).map_err(|e| format!("cannot read the link {}: {e}", path.display()))?;
    Ok(HostFile { path: text(path)?, mode: 0o777, content: Vec::new(), link: Some(text(&target)?) })
}

/// A host file that is no link.
pub(crate) fn read(path: &Path) -> Result<HostFile, String> {
    let told = |e: std::io::Error| format!("cannot read {}: {e}", path.display());
    let mode = fs::metadata(path).map_err(told)?.permissions().mode() & 0o7777;
    Ok(HostFile { path: text(path)?, mode, content: fs::read(path).map_err(told)?, link: None })
}

fn text(path: &Path) -> Result<String, String> {
    path.to_str().map(str::to_string).ok_or_else(|| format!("{} is not UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_comes_with_all_it_needs() {
        let files = match programs(&["sh"]) {
            Ok(files) => files,
            Err(why) => return crate::skip(why),
        };
        let has = |path: &str| files.iter().any(|file| file.path == path);
        assert!(has("/usr/bin/sh") || has("/bin/sh"));
        assert!(files.iter().any(|f| f.link.is_none() && f.content.starts_with(b"\x7fELF")));
        assert_eq!(has("/bin"), Path::new("/bin").is_symlink());
        assert!(programs(&["no-such-program"]).unwrap_err().contains("no-such-program"));
    }
}
