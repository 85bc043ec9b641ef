//! Gzip on several threads: one member whose pieces are compressed independently, so the bytes do not depend on the number of
//! threads.
//!
//! The content decides where a piece ends. So if bytes are inserted or change, the pieces after them are the same ones as before, and those
//! that are known need not be compressed again.

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// The least and the largest size of a piece in bytes, and the bits of the hash that are zero where a piece ends between the two. They decide
/// the bytes of the output, so they must never change. A piece has 256 KiB on average: enough that the threads spend their time
/// compressing and not waiting, and little to compress again where one file of a layer has changed.
const LEAST: usize = 128 << 10;
const LARGEST: usize = 1 << 20;
const END: u64 = ((1 << 17) - 1) << 47;
/// The size of the window of deflate (RFC 1951): a piece may refer to the last bytes of the one before it.
const WINDOW: usize = 32 << 10;
/// The header (RFC 1952 §2.3): deflate, no name, no time, default effort, "Unix".
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
/// An empty block with fixed codes that is marked as the last.
const LAST_BLOCK: [u8; 2] = [3, 0];

type Deflated = io::Result<(Vec<u8>, Crc)>;
/// Returns the compressed form of the piece of this name, if it is known.
pub type FindPiece = dyn Fn(&[u8; 32]) -> Option<Vec<u8>> + Send + Sync;
/// Keeps the compressed form of the piece of this name.
pub type KeepPiece = dyn Fn(&[u8; 32], &[u8]) + Send + Sync;

/// Compressed pieces that are kept from one run to another. A piece is named by a digest of all that decides its bytes.
pub struct KnownPieces {
    /// Where pieces come from.
    pub find: Box<FindPiece>,
    /// Where pieces go that were compressed now.
    pub keep: Box<KeepPiece>,
}

/// A random number for each byte (SplitMix64), for the rolling hash that ends pieces.
const NUMBERS: [u64; 256] = {
    let mut numbers = [0; 256];
    let (mut at, mut state) = (0, 0u64);
    while at < 256 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        numbers[at] = mixed ^ (mixed >> 31);
        at += 1;
    }
    numbers
};

/// The last bytes before a piece, the piece, and the channel for the result.
type Job = (Vec<u8>, Vec<u8>, SyncSender<Deflated>);

/// A parallel gzip encoder.
pub(crate) struct Encoder<W: Write> {
    out: W,
    before: Vec<u8>,
    piece: Vec<u8>,
    /// The hash of the last 64 bytes of the piece (Gear, as in FastCDC).
    hash: u64,
    crc: Crc,
    // The workers end when this sender is dropped.
    jobs: Option<Sender<Job>>,
    pending: VecDeque<Receiver<Deflated>>,
    workers: Vec<JoinHandle<()>>,
}

impl<W: Write> Encoder<W> {
    pub(crate) fn new(mut out: W, level: u32, threads: usize, known: Option<Arc<KnownPieces>>) -> io::Result<Self> {
        // The header is written at once. A stream that is abandoned before its first piece then has bytes and is incomplete.
        out.write_all(&HEADER)?;
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        let workers = (0..threads.max(1))
            .map(|_| {
                let (queue, known) = (Arc::clone(&queue), known.clone());
                std::thread::Builder::new().name("gzip".into()).spawn(move || work(&queue, level, known.as_deref()))
            })
            .collect::<io::Result<Vec<_>>>()?;
        let pending = VecDeque::new();
        let before = Vec::new();
        let (piece, crc) = (Vec::with_capacity(LARGEST), Crc::new());
        Ok(Self { out, before, piece, hash: 0, crc, jobs: Some(jobs), pending, workers })
    }

    fn submit(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(LARGEST));
        self.hash = 0;
        let window = piece.get(piece.len().saturating_sub(WINDOW)..).unwrap_or_default().to_vec();
        let before = std::mem::replace(&mut self.before, window);
        let (sender, receiver) = sync_channel(1);
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send((before, piece, sender)).map_err(|_| gone())?;
        self.pending.push_back(receiver);
        // This bounds the memory. Two pieces for each worker keep all of them busy.
        if self.pending.len() > 2 * self.workers.len() { self.collect() } else { Ok(()) }
    }

    fn collect(&mut self) -> io::Result<()> {
        if let Some(receiver) = self.pending.pop_front() {
            let (bytes, crc) = receiver.recv().map_err(|_| gone())??;
            self.crc.combine(&crc);
            self.out.write_all(&bytes)?;
        }
        Ok(())
    }

    pub(crate) fn finish(&mut self) -> io::Result<()> {
        if !self.piece.is_empty() {
            self.submit()?;
        }
        while !self.pending.is_empty() {
            self.collect()?;
        }
        self.out.write_all(&LAST_BLOCK)?;
        self.out.write_all(&self.crc.sum().to_le_bytes())?;
        self.out.write_all(&self.crc.amount().to_le_bytes())?;
        self.out.flush()
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let room = LARGEST - self.piece.len();
        let data = data.get(..room).unwrap_or(data);
        // The hash needs the 64 bytes before the first place where a piece may end.
        let silent = (LEAST - 64).saturating_sub(self.piece.len()).min(data.len());
        let (mut ends, mut taken) = (false, silent);
        for &byte in data.get(silent..).unwrap_or_default() {
            taken += 1;
            self.hash = (self.hash << 1).wrapping_add(NUMBERS[usize::from(byte)]);
            if self.hash & END == 0 && self.piece.len() + taken >= LEAST {
                ends = true;
                break;
            }
        }
        self.piece.extend_from_slice(data.get(..taken).unwrap_or(data));
        if ends || self.piece.len() == LARGEST {
            self.submit()?;
        }
        Ok(taken)
    }

    /// Flushes only the finished pieces. Ending a piece early would change the bytes.
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> Drop for Encoder<W> {
    fn drop(&mut self) {
        self.jobs = None;
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

fn work(queue: &Mutex<Receiver<Job>>, level: u32, known: Option<&KnownPieces>) {
    loop {
        // The worker holds the lock while it waits for a job, not while it compresses.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((before, piece, done)) = job else { return };
        // Sending fails if the encoder has been dropped meanwhile.
        let _ = done.send(match known {
            Some(known) => deflate_unknown(&before, &piece, level, known),
            None => deflate(&before, &piece, level),
        });
    }
}

/// Compresses one piece as [`deflate`] does, unless it is known.
fn deflate_unknown(before: &[u8], piece: &[u8], level: u32, known: &KnownPieces) -> Deflated {
    let mut hasher = Sha256::new();
    hasher.update(level.to_le_bytes());
    hasher.update((before.len() as u64).to_le_bytes());
    hasher.update(before);
    hasher.update(piece);
    let name: [u8; 32] = hasher.finalize().into();
    if let Some(bytes) = (known.find)(&name) {
        let mut crc = Crc::new();
        crc.update(piece);
        return Ok((bytes, crc));
    }
    let deflated = deflate(before, piece, level)?;
    (known.keep)(&name, &deflated.0);
    Ok(deflated)
}

/// Compresses one piece to a whole number of bytes. No block is marked as the last.
fn deflate(before: &[u8], piece: &[u8], level: u32) -> Deflated {
    let mut crc = Crc::new();
    crc.update(piece);
    let mut deflater = Compress::new(Compression::new(level), false);
    if !before.is_empty() {
        deflater.set_dictionary(before).map_err(io::Error::other)?;
    }
    let mut bytes = Vec::with_capacity(piece.len() / 2 + 1024);
    loop {
        let read = usize::try_from(deflater.total_in()).unwrap_or(usize::MAX);
        let rest = piece.get(read..).unwrap_or_default();
        let status = deflater.compress_vec(rest, &mut bytes, FlushCompress::Sync).map_err(io::Error::other)?;
        // The flush is complete if the buffer has space left.
        if status == Status::StreamEnd || bytes.len() < bytes.capacity() {
            return Ok((bytes, crc));
        }
        bytes.reserve(piece.len() / 2 + 1024);
    }
}

fn gone() -> io::Error {
    io::Error::other("a compressing thread ended early")
}
