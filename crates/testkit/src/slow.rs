//! Answers that take long.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Returns when the client closes, or when the dropped server shuts the socket down.
pub(crate) fn wait_for_the_end(mut stream: &TcpStream) -> io::Result<()> {
    while stream.read(&mut [0; 64])? > 0 {}
    Ok(())
}

/// Sends a byte whenever the client has been silent for `interval`; ends when it closes.
pub(crate) fn trickle(mut stream: &TcpStream, body: &[u8], interval: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(interval))?;
    for byte in body.chunks(1) {
        match stream.read(&mut [0; 64]) {
            Ok(0) => return Ok(()),
            Err(error) if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(error);
            }
            _ => stream.write_all(byte)?,
        }
    }
    Ok(())
}
