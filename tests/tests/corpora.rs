//! The inputs that fuzzing found, and those it began with: each parser reads each file of its corpus without a panic.

use rootstrap_tests::parsers::PARSERS;
use std::fs;
use std::path::Path;

/// Reads the files of `fuzz/corpus/NAME`.
#[test]
fn the_parsers_read_their_corpora() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, parser) in PARSERS {
        let mut files: Vec<_> = fs::read_dir(corpora.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            println!("{}", file.display());
            parser(&fs::read(&file).unwrap());
        }
    }
}

/// Reads all that is left of each file after its beginning or its end is cut off, at 16 places each.
#[test]
fn the_parsers_read_pieces_of_their_corpora() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, parser) in PARSERS {
        for entry in fs::read_dir(corpora.join(name)).unwrap().take(20) {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            for part in 1..16 {
                let (head, rest) = bytes.split_at(bytes.len() * part / 16);
                parser(head);
                parser(rest);
            }
        }
    }
}
