//! A table holds what was parsed from any text, and no stored parts make it panic.

use super::*;
use crate::package::parse;

/// Pseudo-random numbers, the same in every run (Knuth's MMIX constants).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    /// Text that resembles an index.
    fn index(&mut self) -> String {
        let names =
            ["Package", "version", "Depends", "SHA256", "Description", "Maintainer", "Multi-Arch", "X", "", "é"];
        let values = ["a", " b (>= 1)", "é\u{1f600}", "", " ", "x\n y\n\tz", "\u{0}\u{7f}\r", "::", "no\nfield"];
        let ends = ["\n", "\n\n", "\n\n\n", "\n \n", "\r\n", "\r\n\r\n", ""];
        let mut text = String::new();
        for _ in 0..self.roll(40) {
            let value = values[self.roll(9) as usize].repeat(1 << self.roll(11).saturating_sub(5));
            text += &format!("{}:{value}{}", names[self.roll(10) as usize], ends[self.roll(7) as usize]);
        }
        text
    }
}

fn assert_same(table: &Table, text: &str) {
    let parsed = parse(text);
    assert_eq!(format!("{:?}", table.packages().collect::<Vec<_>>()), format!("{parsed:?}"), "{text:?}");
    for (position, package) in parsed.iter().enumerate() {
        let Head { name, architecture, version, essential, priority, provides } = table.head(position);
        let head = [name, architecture, version, essential, priority, provides];
        let Package { name, architecture, version, essential, priority, provides, .. } = *package;
        assert_eq!(head, [name, architecture, version, essential, priority, provides], "{text:?}");
    }
    let (texts, numbers) = table.parts();
    assert_eq!(&Table::from_parts(texts.map(str::to_owned), &numbers), table);
}

#[test]
fn a_table_holds_what_is_parsed() {
    let mut packages = 0;
    for seed in 0..500 {
        let text = Dice(seed).index();
        let table = Table::parse(&text);
        packages += table.len();
        assert_same(&table, &text);
    }
    assert!(packages > 500, "{packages}");
}

#[test]
fn every_field_has_its_own_place_and_any_length() {
    for length in [0, 1, 63, 64, 4095, 4096, 262_143, 262_144] {
        let all = [
            "Package",
            "Version",
            "Architecture",
            "Multi-Arch",
            "Essential",
            "Priority",
            "Section",
            "Source",
            "Depends",
            "Pre-Depends",
            "Recommends",
            "Suggests",
            "Enhances",
            "Provides",
            "Conflicts",
            "Breaks",
            "Replaces",
            "Filename",
            "Size",
            "Installed-Size",
            "SHA256",
            "SHA512",
            "Maintainer",
            "Original-Maintainer",
            "Homepage",
            "Description",
        ];
        let text: String = all.iter().map(|name| format!("{name}: {name}{}\n", "x".repeat(length))).collect();
        let table = Table::parse(&text);
        assert_same(&table, &text);
        assert!(table.package(0).description.len() == "Description".len() + length);
    }
}

#[test]
fn an_index_may_come_in_pieces_that_end_with_an_empty_line() {
    for seed in 0..500 {
        let text = Dice(seed).index();
        let mut table = Table::default();
        let mut rest = text.as_str();
        while let Some(at) = rest.find("\n\n") {
            let (piece, after) = rest.split_at(at + 2);
            table.extend(piece);
            rest = after;
        }
        table.extend(rest);
        assert_same(&table, &text);
    }
}

#[test]
fn damaged_parts_make_no_panic() {
    let mut dice = Dice(1);
    for _ in 0..2000 {
        let mut text = || -> String {
            (0..dice.roll(60)).map(|_| ["\u{0}", "\u{1}", "a", "\u{7f}", "é"][dice.roll(5) as usize]).collect()
        };
        let texts = [text(), text()];
        let mut number = || [dice.roll(64), u64::MAX, dice.roll(1 << 30) << 32][dice.roll(3) as usize];
        let numbers: Vec<u8> = (0..6).flat_map(|_| number().to_le_bytes()).collect();
        let table = Table::from_parts(texts, &numbers);
        assert_eq!(table.packages().count(), 3);
        (0..4).for_each(|position| assert!(table.head(position).name.len() < 130));
    }
    let texts = || ["\u{1}a".repeat(6), "\u{1}b".repeat(30)];
    assert!(Table::from_parts(texts(), &[0; 15]).is_empty());
    let package = Table::from_parts(texts(), &[0; 16]);
    assert_eq!((package.package(0).name, package.package(0).description), ("a", "b"));
    assert_eq!((package.package(1).name, package.head(1).provides), ("", ""));
}
