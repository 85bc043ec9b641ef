//! The frames that the processes of this program exchange: a length in 4 bytes (little-endian), then words separated by
//! NUL.

use std::io::{self, Read, Write};

/// The longest frame, in bytes: the size that execve(2) takes at most for arguments and environment.
const LONGEST: usize = 1 << 21;

/// Sends one frame of `words`. No word may contain a NUL.
///
/// # Errors
/// The frame is too long, or cannot be written.
pub(crate) fn send(out: &mut impl Write, words: &[&str]) -> io::Result<()> {
    let body = words.join("\0");
    let length = u32::try_from(body.len()).ok().filter(|&n| n as usize <= LONGEST);
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the command is too long"))?;
    out.write_all(&[&length.to_le_bytes(), body.as_bytes()].concat())
}

/// Receives the next frame; `None` when the other side has closed.
///
/// # Errors
/// The frame is too long, cut off, or not UTF-8; or it cannot be read.
pub(crate) fn receive(input: &mut impl Read) -> io::Result<Option<Vec<String>>> {
    let mut length = [0; 4];
    match input.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too long"));
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    let text = String::from_utf8(body).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok(Some(text.split('\0').map(str::to_owned).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_as_sent() {
        let mut bytes = Vec::new();
        send(&mut bytes, &["run", "", "a b"]).unwrap();
        send(&mut bytes, &["x"]).unwrap();
        let mut input = &bytes[..];
        assert_eq!(receive(&mut input).unwrap().unwrap(), ["run", "", "a b"]);
        assert_eq!(receive(&mut input).unwrap().unwrap(), ["x"]);
        assert_eq!(receive(&mut input).unwrap(), None);
        assert!(receive(&mut &[0xff, 0xff, 0xff, 0xff][..]).is_err());
        assert!(receive(&mut &[4, 0, 0, 0, b'x'][..]).is_err());
    }
}
