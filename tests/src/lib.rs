//! Tests of the whole: the real binary against made-up and live archives.
