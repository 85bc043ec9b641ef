//! Marshalled objects, written by hand and by compilers: which become equal, and which stay as they are.

use super::*;

/// A file of Python 3.6 with one object made of `parts`.
fn file(parts: &[&[u8]]) -> Vec<u8> {
    [&b"\x33\x0d\r\ntimesize"[..], &parts.concat()].concat()
}

fn normalize(file: &[u8]) -> Option<Vec<u8>> {
    normalized(file, 6)
}

/// Returns the reproducible form of the file, which may be the file itself.
fn final_form(file: &[u8], version: u8) -> Vec<u8> {
    normalized(file, version).unwrap_or_else(|| file.to_vec())
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

const SET2: &[u8] = b">\x02\0\0\0";
const SET3: &[u8] = b">\x03\0\0\0";
const A: &[u8] = b"z\x01a";
const B: &[u8] = b"z\x01b";
const C: &[u8] = b"z\x01c";

#[test]
fn all_orders_of_a_set_become_one() {
    let one = file(&[SET3, A, B, C]);
    assert_eq!(normalize(&one), None, "in order already");
    for order in [[A, C, B], [B, A, C], [B, C, A], [C, A, B], [C, B, A]] {
        assert_eq!(normalize(&file(&[SET3, &order.concat()])), Some(one.clone()));
    }
    assert_eq!(normalize(&file(&[b"<\x02\0\0\0", B, A])), Some(file(&[b"<\x02\0\0\0", A, B])));
}

#[test]
fn references_are_renumbered() {
    // ({b, a}, b, a): both are defined in the set and referenced after it.
    let given = file(&[b")\x03", SET2, b"\xfa\x01b", b"\xfa\x01a", b"r\0\0\0\0", b"r\x01\0\0\0"]);
    let expected = file(&[b")\x03", SET2, b"\xfa\x01a", b"\xfa\x01b", b"r\x01\0\0\0", b"r\0\0\0\0"]);
    assert_eq!(normalize(&given), Some(expected));
    // (b, {b, (a, b)}, a): one element is a reference. Its place comes from the value of the object that it names.
    let given =
        file(&[b")\x03", b"\xfa\x01b", SET2, b"r\0\0\0\0", b")\x02", b"\xfa\x01a", b"r\0\0\0\0", b"r\x01\0\0\0"]);
    let expected =
        file(&[b")\x03", b"\xfa\x01b", SET2, b")\x02", b"\xfa\x01a", b"r\0\0\0\0", b"r\0\0\0\0", b"r\x01\0\0\0"]);
    assert_eq!(normalize(&given), Some(expected));
    // An object is numbered before its parts: ({a, (b,)}, the tuple, a, the set).
    let with = |one: &[u8], other: &[u8], tuple: &[u8], text: &[u8]| {
        file(&[b")\x04\xbe\x02\0\0\0", one, other, b"r", tuple, b"\0\0\0r", text, b"\0\0\0r\0\0\0\0"])
    };
    let (tuple, text) = (&b"\xa9\x01z\x01b"[..], &b"\xfa\x01a"[..]);
    assert_eq!(normalize(&with(text, tuple, b"\x02", b"\x01")), Some(with(tuple, text, b"\x01", b"\x02")));
    assert_eq!(normalize(&with(tuple, text, b"\x01", b"\x02")), None);
}

#[test]
fn inner_sets_are_sorted_before_outer_ones() {
    let inner = |one: &[u8], other: &[u8]| [b")\x01", SET2, one, other].concat();
    let expected = file(&[SET2, &inner(A, B), &inner(A, C)]);
    for given in [
        file(&[SET2, &inner(B, A), &inner(A, C)]),
        file(&[SET2, &inner(C, A), &inner(A, B)]),
        file(&[SET2, &inner(C, A), &inner(B, A)]),
    ] {
        assert_eq!(normalize(&given), Some(expected.clone()));
    }
}

/// An object of each type that can be marked. Some types are here in two sizes.
const EVERY: &[&[u8]] = &[
    b"i\xff\xff\xff\xff",
    b"I12345678",
    b"f\x033.5",
    b"g12345678",
    b"x\x011\x0222",
    b"y1234567812345678",
    b"l\x02\0\0\0aabb",
    b"l\xfd\xff\xff\xffaabbcc",
    b"s\x02\0\0\0\0\xff",
    b"t\x01\0\0\0x",
    b"u\x02\0\0\0\xc3\xa4",
    b"a\x01\0\0\0y",
    b"A\x01\0\0\0z",
    b"z\0",
    b"Z\x02ss",
    b"(\x01\0\0\0N",
    b")\x05NFTS.",
    b"[\0\0\0\0",
    b"[\x01\0\0\0i0000",
    b"{0",
    b"{z\x01kNTi00000",
    b"<\0\0\0\0",
    b">\x02\0\0\0z\x01az\x01b",
    b"cargskwonlocastacflagNNNNNNNN\x80\x81\x82\x83N",
];

#[test]
fn only_referenced_objects_are_marked() {
    for object in EVERY {
        let (unmarked, mut marked) = (object.to_vec(), object.to_vec());
        marked[0] |= FLAG_REF;
        // Another marked object follows, so its number depends on whether the first object is marked.
        let with = |object: &[u8], text: &[u8]| file(&[b")\x03", object, b"\xfa\x01q", b"r", text, b"\0\0\0"]);
        assert_eq!(normalize(&with(&marked, b"\x01")), Some(with(&unmarked, b"\0")), "{object:?}");
        assert_eq!(normalize(&with(&unmarked, b"\0")), None);
        let named = file(&[b")\x02", &marked, b"r\0\0\0\0"]);
        assert_eq!(normalize(&named), None);
        for length in 0..named.len() {
            assert_eq!(normalize(&named[..length]), None, "{object:?} cut at {length}");
        }
    }
}

#[test]
fn objects_of_all_other_types_stay() {
    let count = u8::try_from(EVERY.len()).unwrap() + 1;
    let with = |set: &[u8]| file(&[&[b')', count], &EVERY.concat(), set]);
    let given = with(&[SET2, B, A].concat());
    assert_eq!(normalize(&given), Some(with(&[SET2, A, B].concat())));
    for length in 0..given.len() {
        assert_eq!(normalize(&given[..length]), None, "cut at {length}");
    }
    assert_eq!(normalize(&[&given[..], b"N"].concat()), None, "bytes after the end");
}

/// `def f(x): return x in {"f", "x", ("y", "f"), b"z", None, 7}`, compiled with two seeds by 3.6.15, 3.7.16, 3.8.18 and
/// 3.9.18.
const COMPILED: &[(u8, &str, &str)] = &[
    (
        6,
        "e30000000000000000000000000200000040000000730c0000006400640184005a006402530029036301000000000000\
         0001000000070000004300000073080000007c0064076b06530029084eda0166da0178da0179f3010000007ae9070000\
         00a902720300000072010000003e06000000720200000072050000004e720600000072010000007204000000a9002901\
         720200000072070000007207000000fa046d2e70797201000000010000007302000000000172010000004e2901720100\
         00007207000000720700000072070000007208000000da083c6d6f64756c653e010000007300000000",
        "e30000000000000000000000000200000040000000730c0000006400640184005a006402530029036301000000000000\
         0001000000070000004300000073080000007c0064076b06530029084eda0166da0178da0179f3010000007ae9070000\
         00a902720300000072010000003e0600000072050000007204000000720600000072020000004e7201000000a9002901\
         720200000072070000007207000000fa046d2e70797201000000010000007302000000000172010000004e2901720100\
         00007207000000720700000072070000007208000000da083c6d6f64756c653e010000007300000000",
    ),
    (
        7,
        "e30000000000000000000000000200000040000000730c0000006400640184005a006402530029036301000000000000\
         0001000000020000004300000073080000007c0064016b06530029024e3e06000000da0178e9070000004ea902da0179\
         da01667205000000f3010000007aa9002901720100000072070000007207000000fa046d2e7079720500000001000000\
         7302000000000172050000004e290172050000007207000000720700000072070000007208000000da083c6d6f64756c\
         653e01000000f300000000",
        "e30000000000000000000000000200000040000000730c0000006400640184005a006402530029036301000000000000\
         0001000000020000004300000073080000007c0064016b06530029024e3e06000000e907000000f3010000007aa902da\
         0179da0166da01784e7205000000a9002901720600000072070000007207000000fa046d2e7079720500000001000000\
         7302000000000172050000004e290172050000007207000000720700000072070000007208000000da083c6d6f64756c\
         653e01000000f300000000",
    ),
    (
        8,
        "e3000000000000000000000000000000000200000040000000730c0000006400640184005a0064025300290363010000\
         00000000000000000001000000020000004300000073080000007c0064016b06530029024e3e060000004eda0178a902\
         da0179da0166e9070000007204000000f3010000007aa9002901720100000072070000007207000000fa046d2e707972\
         04000000010000007302000000000172040000004e290172040000007207000000720700000072070000007208000000\
         da083c6d6f64756c653e01000000f300000000",
        "e3000000000000000000000000000000000200000040000000730c0000006400640184005a0064025300290363010000\
         00000000000000000001000000020000004300000073080000007c0064016b06530029024e3e060000004ee907000000\
         f3010000007ada0178da0166a902da01797204000000a9002901720300000072070000007207000000fa046d2e707972\
         04000000010000007302000000000172040000004e290172040000007207000000720700000072070000007208000000\
         da083c6d6f64756c653e01000000f300000000",
    ),
    (
        9,
        "e3000000000000000000000000000000000200000040000000730c0000006400640184005a0064025300290363010000\
         00000000000000000001000000020000004300000073080000007c0064017600530029024e3e060000004eda01782902\
         da0179da0166e9070000007203000000f3010000007aa9002901720100000072060000007206000000fa046d2e707972\
         03000000010000007302000000000172030000004e290172030000007206000000720600000072060000007207000000\
         da083c6d6f64756c653e01000000f300000000",
        "e3000000000000000000000000000000000200000040000000730c0000006400640184005a0064025300290363010000\
         00000000000000000001000000020000004300000073080000007c0064017600530029024e3e060000004ee907000000\
         f3010000007ada0178da01662902da01797204000000a9002901720300000072060000007206000000fa046d2e707972\
         04000000010000007302000000000172040000004e290172040000007206000000720600000072060000007207000000\
         da083c6d6f64756c653e01000000f300000000",
    ),
];

fn compiled(version: u8, body: &str) -> Vec<u8> {
    let rest = if version < 7 { 8 } else { 12 };
    [&b"??\r\n"[..], &vec![0; rest], &unhex(body)].concat()
}

#[test]
fn files_compiled_with_two_seeds_become_equal() {
    for &(version, one, other) in COMPILED {
        let (one, other) = (compiled(version, one), compiled(version, other));
        assert_ne!(one, other);
        let new = final_form(&one, version);
        assert_eq!(new, final_form(&other, version), "3.{version}");
        assert_eq!((new.len(), normalized(&new, version)), (one.len(), None));
        for length in 0..other.len() {
            assert_eq!(normalized(&other[..length], version), None, "3.{version} cut at {length}");
        }
    }
    let (_, _, code) = COMPILED[2];
    assert_eq!(normalized(&compiled(8, code), 7), None, "as of another version");
}

#[test]
fn damaged_files_do_no_harm() {
    for &(version, _, body) in COMPILED {
        let good = compiled(version, body);
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, b'(', b'<', b'c', b'l', b'r', b'{', good[at] ^ 0x80] {
                let mut bad = good.clone();
                bad[at] = value;
                let Some(new) = normalized(&bad, version) else { continue };
                assert_eq!(new.len(), bad.len());
                assert_eq!(normalized(&new, version), None, "byte {at} {value}: not the same when done again");
            }
        }
    }
}

#[test]
fn files_that_no_compiler_writes_stay() {
    let unsorted = &[SET2, B, A].concat()[..];
    let with = |object: &[u8]| file(&[b")\x02", unsorted, object]);
    assert!(normalize(&with(b"N")).is_some());
    for (object, what) in [
        (&b"?"[..], "unknown type"),
        (b"R\0\0\0\0", "type of Python 2"),
        (b"0", "null that is no key"),
        (b"{N0", "null that is a value"),
        (b"\xceN", "marked singleton"),
        (b"\xe9\x01\0\0\0\xf2\0\0\0\0", "marked reference"),
        (b"r\0\0\0\0", "reference to nothing"),
        (b"r\xff\xff\xff\xff", "negative reference"),
        (b"\xa9\x01r\0\0\0\0", "tuple in itself"),
        (b"\xbe\x01\0\0\0r\0\0\0\0", "set in itself"),
        (b"s\xff\xff\xff\xff", "negative length"),
        (b"s\xff\xff\xff\x7f", "length beyond the end"),
        (b"(\xff\xff\xff\x7fN", "count beyond the end"),
        (b"l\0\0\0\x80", "digits beyond any number"),
    ] {
        assert_eq!(normalize(&with(object)), None, "{what}");
    }
    let mut other = with(b"N");
    other[2] = b'\n';
    assert_eq!(normalize(&other), None, "no magic number");
}

#[test]
fn depth_and_work_are_bounded() {
    let unsorted = &[SET2, B, A].concat()[..];
    let nested = |levels: usize| file(&[&b")\x01".repeat(levels), unsorted]);
    assert!(normalize(&nested(MAX_DEPTH - 1)).is_some());
    assert_eq!(normalize(&nested(MAX_DEPTH)), None);
    assert_eq!(normalize(&nested(3_000_000)), None);
    // Each tuple refers to the one before: the file is shallow, but following the references is deep.
    let chain = |levels: u32| {
        let links: Vec<u8> = (0..levels).flat_map(|n| [&b"\xa9\x01r"[..], &n.to_le_bytes()].concat()).collect();
        file(&[b"(", &(levels + 2).to_le_bytes(), b"\xa9\0", &links, unsorted])
    };
    assert!(normalize(&chain(150)).is_some());
    assert_eq!(normalize(&chain(250)), None);
    // Each tuple holds the one before twice: the value of the last one is 2^levels bytes.
    let laughs = |levels: u32| {
        let twice = |n: u32| [&b"\xa9\x02r"[..], &n.to_le_bytes(), b"r", &n.to_le_bytes()].concat();
        let links: Vec<u8> = (0..levels).flat_map(twice).collect();
        file(&[b"<", &(levels + 2).to_le_bytes(), A, b"\xa9\0", &links])
    };
    assert!(normalize(&laughs(10)).is_some());
    assert_eq!(normalize(&laughs(60)), None);
    // The tuple, the set and its two elements are objects as well.
    let many = |count: usize| {
        let more = u32::try_from(count - 3).unwrap().to_le_bytes();
        file(&[b"(", &more, &b"N".repeat(count - 4), unsorted])
    };
    assert!(normalize(&many(MAX_OBJECTS)).is_some());
    assert_eq!(normalize(&many(MAX_OBJECTS + 1)), None);
}

#[test]
fn file_names_have_the_version() {
    for (path, expected) in [
        ("usr/lib/python3.8/__pycache__/a.cpython-38.pyc", Some(8)),
        ("__pycache__/a.b.cpython-33.opt-1.pyc", Some(3)),
        ("x/__pycache__/a.cpython-310.opt-2.pyc", Some(10)),
        ("x/__pycache__/a.cpython-32.pyc", None),
        ("x/__pycache__/a.cpython-3.pyc", None),
        ("x/__pycache__/a.cpython-311.pyc", None),
        ("x/__pycache__/a.cpython-38.py", None),
        ("x/__pycache__/a.pypy36.pyc", None),
        ("x/a.cpython-38.pyc", None),
        ("x/my__pycache__/a.cpython-38.pyc", None),
        ("__pycache__/.pyc", None),
        ("a.cpython-38.pyc", None),
        ("", None),
    ] {
        assert_eq!(version(path.as_bytes()), expected, "{path}");
    }
}
