//! A blob, and the stream of its bytes: the stream hashes them and ends only if they have the right digest.

use crate::error::Fault;
use crate::limits;
use futures_util::Stream;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use tokio::sync::mpsc::UnboundedSender;

/// Something that manifests name by its digest: a layer, a configuration.
#[derive(Debug)]
pub struct Blob {
    /// `sha256:` and 64 digits.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its content, in a file that need not have a name. It is read from its beginning; its position is neither used nor changed. The
    /// file must not change during the push.
    pub file: File,
}

/// What happens while a blob is read.
pub(crate) enum ReadEvent {
    /// So many more bytes were handed to the network.
    Sent(usize),
    /// The blob differs from its description, so the request must not succeed.
    Failed(Fault),
}

/// `sha256:HEX` of some bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    named(Sha256::new_with_prefix(bytes))
}

/// `sha256:HEX` of what was hashed.
pub(crate) fn named(hash: Sha256) -> String {
    format!("sha256:{}", base16ct::lower::encode_string(&hash.finalize()))
}

/// Whether this is a digest as registries write it. Any other text could change the address of which it becomes a part.
pub(crate) fn is_digest(text: &str) -> bool {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(is_hex))
}

/// Returns the content of a blob, from its beginning. The stream ends with an error instead of the last piece if the digest is
/// wrong. The request is then incomplete and cannot succeed.
///
/// # Errors
/// The content does not have the size of the blob, or it is empty and the digest is not the digest of an empty file.
pub(crate) fn stream(
    blob: &Blob,
    events: UnboundedSender<ReadEvent>,
) -> Result<impl Stream<Item = io::Result<Vec<u8>>> + Send + use<>, Fault> {
    let file = blob.file.try_clone().map_err(Fault::Unreadable)?;
    let size = file.metadata().map_err(Fault::Unreadable)?.len();
    if size != blob.size {
        return Err(Fault::Size(blob.size));
    }
    if size == 0 && digest(&[]) != blob.digest {
        return Err(Fault::Damaged(digest(&[])));
    }
    let reader = Reader { file, size, at: 0, hash: Sha256::new(), digest: blob.digest.clone(), events };
    Ok(futures_util::stream::unfold(reader, |mut reader| async move { Some((reader.next()?, reader)) }))
}

struct Reader {
    file: File,
    size: u64,
    at: u64,
    hash: Sha256,
    digest: String,
    events: UnboundedSender<ReadEvent>,
}

impl Reader {
    fn next(&mut self) -> Option<io::Result<Vec<u8>>> {
        if self.at >= self.size {
            return None;
        }
        let (event, piece) = match self.piece() {
            Ok(piece) => (ReadEvent::Sent(piece.len()), Ok(piece)),
            Err(fault) => {
                self.at = self.size;
                (ReadEvent::Failed(fault), Err(io::Error::other("the blob is not what it should be")))
            }
        };
        // This fails when the request was given up, because then nobody receives events.
        let _ = self.events.send(event);
        Some(piece)
    }

    fn piece(&mut self) -> Result<Vec<u8>, Fault> {
        let left = usize::try_from(self.size - self.at).unwrap_or(usize::MAX);
        let mut piece = vec![0; left.min(limits::CHUNK)];
        // Read without moving the position: another upload may read the same file at the same time.
        self.file.read_exact_at(&mut piece, self.at).map_err(|error| match error.kind() {
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

    /// How many bytes are handed to the network, and why the rest is not.
    fn read(blob: &Blob) -> (usize, Option<String>) {
        let (sender, mut events) = unbounded_channel();
        let stream = match stream(blob, sender) {
            Ok(stream) => stream,
            Err(fault) => return (0, Some(fault.to_string())),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let pieces: Vec<_> = runtime.block_on(stream.collect());
        let mut wrong = None;
        while let Ok(event) = events.try_recv() {
            if let ReadEvent::Failed(fault) = event {
                wrong = Some(fault.to_string());
            }
        }
        (pieces.into_iter().flatten().map(|piece| piece.len()).sum(), wrong)
    }

    fn blob(content: &[u8], digest: String, size: u64) -> Blob {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        Blob { digest, size, file }
    }

    #[test]
    fn only_the_right_bytes_are_all_sent() {
        let content = vec![7; 3 * limits::CHUNK + 5];
        let size = content.len() as u64;
        assert_eq!(read(&blob(&content, digest(&content), size)), (content.len(), None));
        let (sent, wrong) = read(&blob(&content, digest(b"x"), size));
        assert_eq!(sent, 3 * limits::CHUNK, "the last piece must not be sent");
        assert!(wrong.unwrap().contains(&digest(&content)));
        for wrong in [size - 1, size + 1] {
            assert_eq!(read(&blob(&content, digest(&content), wrong)).0, 0);
        }
        assert_eq!(read(&blob(b"", digest(b""), 0)), (0, None));
        assert!(read(&blob(b"", digest(b"x"), 0)).1.is_some());
    }

    #[test]
    fn only_sha256_digests_are_digests() {
        assert_eq!(digest(b""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert!(is_digest(&digest(b"x")));
        for text in ["", "sha256:", "sha256:../../x", "md5:00", &digest(b"x").to_uppercase(), &digest(b"x")[1..]] {
            assert!(!is_digest(text), "{text}");
        }
    }
}
