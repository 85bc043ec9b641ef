//! Gzip on several threads: one member whose pieces are compressed independently, so the bytes do not depend on the number of
//! threads.

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// The size of a piece in bytes. It decides the bytes of the output, so it must never change. It is large enough that the
/// threads spend their time compressing and not waiting.
const PIECE: usize = 1 << 20;
/// The size of the window of deflate (RFC 1951): a piece may refer to the last bytes of the one before it.
const WINDOW: usize = 32 << 10;
/// The header (RFC 1952 §2.3): deflate, no name, no time, default effort, "Unix".
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
/// An empty block with fixed codes that is marked as the last.
const LAST_BLOCK: [u8; 2] = [3, 0];

type Deflated = io::Result<(Vec<u8>, Crc)>;
/// The last bytes before a piece, the piece, and the channel for the result.
type Job = (Vec<u8>, Vec<u8>, SyncSender<Deflated>);

/// A parallel gzip encoder.
pub(crate) struct Encoder<W: Write> {
    out: W,
    before: Vec<u8>,
    piece: Vec<u8>,
    crc: Crc,
    // The workers end when this sender is dropped.
    jobs: Option<Sender<Job>>,
    pending: VecDeque<Receiver<Deflated>>,
    workers: Vec<JoinHandle<()>>,
}

impl<W: Write> Encoder<W> {
    pub(crate) fn new(mut out: W, level: u32, threads: usize) -> io::Result<Self> {
        // The header is written at once. A stream that is abandoned before its first piece then has bytes and is incomplete.
        out.write_all(&HEADER)?;
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        let workers = (0..threads.max(1))
            .map(|_| {
                let queue = Arc::clone(&queue);
                std::thread::Builder::new().name("gzip".into()).spawn(move || work(&queue, level))
            })
            .collect::<io::Result<Vec<_>>>()?;
        let pending = VecDeque::new();
        let before = Vec::new();
        Ok(Self { out, before, piece: Vec::with_capacity(PIECE), crc: Crc::new(), jobs: Some(jobs), pending, workers })
    }

    fn submit(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
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
        let room = PIECE - self.piece.len();
        let taken = data.get(..room).unwrap_or(data);
        self.piece.extend_from_slice(taken);
        if self.piece.len() == PIECE {
            self.submit()?;
        }
        Ok(taken.len())
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

fn work(queue: &Mutex<Receiver<Job>>, level: u32) {
    loop {
        // The worker holds the lock while it waits for a job, not while it compresses.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((before, piece, done)) = job else { return };
        // Sending fails if the encoder has been dropped meanwhile.
        let _ = done.send(deflate(&before, &piece, level));
    }
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
