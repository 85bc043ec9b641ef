//! A blob on its way: read, hashed, and never sent whole unless it is the right one.

use crate::error::Fault;
use crate::{Blob, Body, limits};
use futures_util::Stream;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use tokio::sync::mpsc::UnboundedSender;

/// What the reader of a blob tells meanwhile.
pub(crate) enum Note {
    /// So many more bytes were handed to the network.
    Sent(usize),
    /// The blob is not what it is said to be; the request must not succeed.
    Wrong(Fault),
}

/// `sha256:HEX` of some bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    named(Sha256::new_with_prefix(bytes))
}

fn named(hash: Sha256) -> String {
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Whether this is a digest as registries write it. Anything else could lead an address elsewhere.
pub(crate) fn is_digest(text: &str) -> bool {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(is_hex))
}

/// The content of a blob, from its beginning. Its last piece comes only when all of it has the right digest, so a wrong
/// one stays a request without an end.
///
/// # Errors
/// It has not the size it should have, or is empty and should not be.
pub(crate) fn stream(
    blob: &Blob,
    notes: UnboundedSender<Note>,
) -> Result<impl Stream<Item = io::Result<Vec<u8>>> + Send + use<>, Fault> {
    let (source, size) = match &blob.body {
        Body::Bytes(bytes) => (Source::Bytes(bytes.clone()), u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
        Body::File(file) => {
            let file = file.try_clone().map_err(Fault::Unreadable)?;
            let size = file.metadata().map_err(Fault::Unreadable)?.len();
            (Source::File(file), size)
        }
    };
    if size != blob.size {
        return Err(Fault::Size(blob.size));
    }
    if size == 0 && digest(&[]) != blob.digest {
        return Err(Fault::Damaged(digest(&[])));
    }
    let reader = Reader { source, size, at: 0, hash: Sha256::new(), digest: blob.digest.clone(), notes };
    Ok(futures_util::stream::unfold(reader, |mut reader| async move { Some((reader.next()?, reader)) }))
}

enum Source {
    Bytes(Vec<u8>),
    File(File),
}

struct Reader {
    source: Source,
    size: u64,
    at: u64,
    hash: Sha256,
    digest: String,
    notes: UnboundedSender<Note>,
}

impl Reader {
    fn next(&mut self) -> Option<io::Result<Vec<u8>>> {
        if self.at >= self.size {
            return None;
        }
        let (note, piece) = match self.piece() {
            Ok(piece) => (Note::Sent(piece.len()), Ok(piece)),
            Err(fault) => {
                self.at = self.size;
                (Note::Wrong(fault), Err(io::Error::other("the blob is not what it should be")))
            }
        };
        // Nobody listens any more once the request is given up.
        let _ = self.notes.send(note);
        Some(piece)
    }

    fn piece(&mut self) -> Result<Vec<u8>, Fault> {
        let left = usize::try_from(self.size - self.at).unwrap_or(usize::MAX);
        let mut piece = vec![0; left.min(limits::CHUNK)];
        // At a position, for the file is the caller's and may be read by others.
        let read = match &self.source {
            Source::Bytes(bytes) => {
                let mut rest = bytes.get(usize::try_from(self.at).unwrap_or(usize::MAX)..).unwrap_or_default();
                rest.read_exact(&mut piece)
            }
            Source::File(file) => file.read_exact_at(&mut piece, self.at),
        };
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Fault::Size(self.size),
            _ => Fault::Unreadable(error),
        })?;
        self.hash.update(&piece);
        self.at += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        if self.at == self.size {
            let got = named(std::mem::take(&mut self.hash));
            if got != self.digest {
                return Err(Fault::Damaged(got));
            }
        }
        Ok(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;
    use std::io::Write;
    use tokio::sync::mpsc::unbounded_channel;

    /// What is handed to the network, and what is said against it.
    fn read(blob: &Blob) -> (usize, Option<String>) {
        let (notes, mut heard) = unbounded_channel();
        let stream = match stream(blob, notes) {
            Ok(stream) => stream,
            Err(fault) => return (0, Some(fault.to_string())),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let pieces: Vec<_> = runtime.block_on(stream.collect());
        let mut wrong = None;
        while let Ok(note) = heard.try_recv() {
            if let Note::Wrong(fault) = note {
                wrong = Some(fault.to_string());
            }
        }
        (pieces.into_iter().flatten().map(|piece| piece.len()).sum(), wrong)
    }

    fn blob(content: &[u8], digest: String, size: u64) -> [Blob; 2] {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let bytes = Body::Bytes(content.to_vec());
        [bytes, Body::File(file)].map(|body| Blob { digest: digest.clone(), size, body })
    }

    #[test]
    fn only_the_right_bytes_are_all_sent() {
        let content = vec![7; 3 * limits::CHUNK + 5];
        let size = content.len() as u64;
        for blob in blob(&content, digest(&content), size) {
            assert_eq!(read(&blob), (content.len(), None));
        }
        for blob in blob(&content, digest(b"x"), size) {
            let (sent, wrong) = read(&blob);
            assert_eq!(sent, 3 * limits::CHUNK, "the last piece must not be sent");
            assert!(wrong.unwrap().contains(&digest(&content)));
        }
        for wrong in [size - 1, size + 1] {
            for blob in blob(&content, digest(&content), wrong) {
                assert_eq!(read(&blob).0, 0);
            }
        }
        for blob in blob(b"", digest(b""), 0) {
            assert_eq!(read(&blob), (0, None));
        }
        for blob in blob(b"", digest(b"x"), 0) {
            assert!(read(&blob).1.is_some());
        }
    }

    #[test]
    fn a_digest_is_nothing_else() {
        assert_eq!(digest(b""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert!(is_digest(&digest(b"x")));
        for text in ["", "sha256:", "sha256:../../x", "md5:00", &digest(b"x").to_uppercase(), &digest(b"x")[1..]] {
            assert!(!is_digest(text), "{text}");
        }
    }
}
