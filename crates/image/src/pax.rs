//! The extended header of POSIX.1-2001 (PAX), for fields that do not fit into the 512 bytes of ustar.

/// The records of one entry.
#[derive(Default)]
pub(crate) struct Records {
    bytes: Vec<u8>,
}

impl Records {
    /// Adds the record `key=value`. The value may hold any bytes, including line ends.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) {
        // A record begins with its own length, which includes the digits of the length itself.
        let rest = key.len() + value.len() + 3;
        let mut length = rest;
        while rest + digits(length) != length {
            length = rest + digits(length);
        }
        self.bytes.extend_from_slice(format!("{length} ").as_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.push(b'=');
        self.bytes.extend_from_slice(value);
        self.bytes.push(b'\n');
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_includes_its_own_digits() {
        for length in 0..2000 {
            let mut records = Records::default();
            records.add(b"path", &vec![b'x'; length]);
            let text = String::from_utf8(records.bytes().to_vec()).unwrap();
            let (number, _) = text.split_once(' ').unwrap();
            assert_eq!(number.parse::<usize>().unwrap(), text.len(), "{length}");
        }
    }

    #[test]
    fn the_example_of_the_standard() {
        let mut records = Records::default();
        records.add(b"ctime", b"1123456789.5");
        assert_eq!(records.bytes(), b"22 ctime=1123456789.5\n");
    }
}
