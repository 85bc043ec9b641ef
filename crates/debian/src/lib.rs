//! The vocabulary: parse and compare what Debian's files say.
