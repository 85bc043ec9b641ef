//! The files that the archive and the Debian package share, below `usr/`.

use super::release::{MAINTAINER, Release};
use crate::oracle::build::output;
use flate2::Compression;
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// A file: its path below the root, its mode, and its bytes.
pub struct File {
    pub path: String,
    pub mode: u32,
    pub bytes: Vec<u8>,
}

/// Returns the program, its manual pages and completions, and what is said about it.
pub fn files(release: &Release, top: &Path, sbom: &[u8]) -> Result<Vec<File>, String> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
    let file = |path: &str, bytes: Vec<u8>| File { path: path.to_owned(), mode: 0o644, bytes };
    let mut files = vec![File { path: "usr/bin/rootstrap".to_owned(), mode: 0o755, bytes: read(&release.program)? }];
    let pages = tempfile::tempdir().map_err(|error| error.to_string())?;
    output(Command::new(&release.program).arg("man-pages").arg(pages.path()))?;
    let names = pages.path().read_dir().map_err(|error| error.to_string())?;
    let mut names: Vec<_> = names.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    for name in names {
        let page = gzip(&read(&pages.path().join(&name))?)?;
        files.push(file(&format!("usr/share/man/man1/{}.gz", name.to_string_lossy()), page));
    }
    for (shell, path) in [
        ("bash", "usr/share/bash-completion/completions/rootstrap"),
        ("zsh", "usr/share/zsh/vendor-completions/_rootstrap"),
        ("fish", "usr/share/fish/vendor_completions.d/rootstrap.fish"),
    ] {
        files.push(file(path, output(Command::new(&release.program).args(["completions", shell]))?.into_bytes()));
    }
    let document = |name: &str| format!("usr/share/doc/rootstrap/{name}");
    files.push(file(&document("README.md.gz"), gzip(&read(&top.join("README.md"))?)?));
    files.push(file(&document("CHANGELOG.md.gz"), gzip(&read(&top.join("CHANGELOG.md"))?)?));
    files.push(file(&document("changelog.gz"), gzip(changelog(release).as_bytes())?));
    files.push(file("usr/share/lintian/overrides/rootstrap", include_bytes!("files/lintian").to_vec()));
    files.push(file(&document("sbom.cdx.json.gz"), gzip(sbom)?));
    files.push(file(&document("copyright"), include_bytes!("files/copyright").to_vec()));
    Ok(files)
}

/// Returns the changelog in Debian's form (policy 4.4), which leads to the one for readers.
fn changelog(release: &Release) -> String {
    let date =
        httpdate::HttpDate::from(std::time::UNIX_EPOCH + std::time::Duration::from_secs(release.epoch)).to_string();
    let (version, date) = (&release.version, date.replace("GMT", "+0000"));
    format!(
        "rootstrap ({version}) unstable; urgency=medium\n\n  * CHANGELOG.md.gz has the changes.\n\n -- {MAINTAINER}  {date}\n"
    )
}

/// Returns an archive of the files below a directory of its own.
pub fn archive(release: &Release, base: &str, files: &[File]) -> Result<Vec<u8>, String> {
    let mut tar = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.bytes.len() as u64);
        header.set_mode(file.mode);
        header.set_mtime(release.epoch);
        tar.append_data(&mut header, format!("{base}/{}", file.path), &*file.bytes)
            .map_err(|error| error.to_string())?;
    }
    let tar = tar.into_inner().map_err(|error| error.to_string())?;
    zstd::encode_all(&*tar, 19).map_err(|error| error.to_string())
}

/// Compresses without a name and a time (policy 12.1, 12.3).
fn gzip(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).map_err(|error| error.to_string())
}
