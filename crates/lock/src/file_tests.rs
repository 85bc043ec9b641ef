//! Texts that are read again, and texts that are refused.

use super::*;
use crate::fixture::{package, platform};
use crate::model::Phase;
use rootstrap_debian::digest::Digest;

fn lock() -> Lock {
    let source = Source {
        pocket: "release".into(),
        suite: "trixie".into(),
        codename: "trixie".into(),
        origin: "Debian".into(),
        architectures: vec!["amd64".into()],
        uris: vec!["http://m.example/debian".into()],
        snapshot: None,
        release_sha256: Digest::Sha256([1; 32]),
        date: 1_461_281_026,
        valid_until: Some(1_461_281_027),
        signed_by: vec!["AB".repeat(20)],
    };
    let request = Request {
        suite: "trixie".into(),
        architectures: vec!["amd64".into()],
        variant: "minbase".into(),
        include: vec!["b".into(), "a".into()],
        ..Request::default()
    };
    let mut foreign = package("a", "1", 3);
    foreign.architecture = "i386".into();
    let mut platform = platform(vec![package("b", "2", 2), package("a", "1", 1)]);
    platform.packages.push(foreign);
    platform.phases.push(Phase { name: "base".into(), packages: vec!["a:i386".into()] });
    Lock { epoch: 1_461_281_026, request, sources: vec![source], platforms: vec![platform] }
}

#[test]
fn what_is_written_is_read_again() {
    let text = lock().to_text();
    let read = Lock::parse(&text).unwrap();
    assert_eq!(read.to_text(), text);
    assert_eq!(read.request.include, ["a", "b"]);
    let names: Vec<String> = read.platforms[0].packages.iter().map(|p| read.platforms[0].label(p)).collect();
    assert_eq!(names, ["a", "a:i386", "b"]);
    assert_eq!(read.platforms[0].phases[0].packages, ["a", "b"], "the order of unpacking stays");
    assert_eq!(Lock::parse(&text.replace('\n', "\r\n")).unwrap(), read, "line ends of another system");
    assert!(text.contains("date = \"2016-04-21T23:23:46Z\"\n"), "{text}");
}

/// Every line of a lock is changed once.
#[test]
fn a_change_by_hand_is_refused() {
    let text = lock().to_text();
    let mut refused = 0;
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#') && !line.is_empty()) {
        let changed = match line.rfind(|c: char| c.is_ascii_alphanumeric()) {
            Some(at) if line.contains('=') || line.starts_with(' ') => {
                let other = if &line[at..=at] == "1" { "2" } else { "1" };
                format!("{}{other}{}", &line[..at], &line[at + 1..])
            }
            _ => continue,
        };
        let lines: Vec<&str> =
            text.lines().enumerate().map(|(at, old)| if at == number { changed.as_str() } else { old }).collect();
        assert!(Lock::parse(&lines.join("\n")).is_err(), "line {number}: {changed}");
        refused += 1;
    }
    assert!(refused > 50, "{refused}");
}

#[test]
fn what_is_no_lock_is_refused_with_its_line() {
    let text = lock().to_text();
    let message = |text: &str| Lock::parse(text).unwrap_err().to_string();
    assert!(message("").contains("missing field `version`"));
    for (version, reason) in [("2", "has format 2"), ("0", "no format 0")] {
        let other = text.replace("version = 1\ndigest", &format!("version = {version}\ndigest"));
        assert!(message(&other).contains(reason), "{version}");
    }
    let no_toml = message(&text.replace("epoch =", "epoch = x #"));
    assert!(no_toml.contains("line 4"), "{no_toml}");
    let unknown = message(&text.replace("[request]", "[request]\nfoo = 1"));
    assert!(unknown.contains("unknown field `foo`"), "{unknown}");
}

/// A text whose digest is right, because somebody computed it anew, is checked all the same.
#[test]
fn a_lock_that_contradicts_itself_is_refused() {
    let refuses = |change: &dyn Fn(&mut Lock), reason: &str| {
        let mut lock = lock();
        change(&mut lock);
        let error = Lock::parse(&lock.to_text()).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    };
    refuses(&|lock| lock.platforms[0].packages[0].name = "../x".into(), "no valid name");
    refuses(&|lock| lock.platforms[0].packages[0].pocket = "other".into(), "no valid name");
    refuses(&|lock| lock.platforms[0].phases[0].packages.push("b".into()), "in another phase");
    refuses(&|lock| _ = lock.platforms[0].phases.pop(), "no phase has the package a:i386");
    refuses(&|lock| lock.platforms[0].packages[0] = lock.platforms[0].packages[1].clone(), "twice");
    refuses(&|lock| lock.request.architectures.push("arm64".into()), "not those of its request");
    refuses(&|lock| lock.sources[0].suite = "../x".into(), "no usable address");
    refuses(&|lock| lock.sources[0].origin = "a\u{1b}b".into(), "no usable address");
    refuses(&|lock| lock.platforms[0].packages[0].version = "1\n".into(), "a field that no package has");
    refuses(&|lock| lock.platforms[0].packages[0].path = "../x".into(), "a field that no package has");
    refuses(&|lock| lock.platforms[0].packages[0].section = "x\n\nPackage: y".into(), "a field that no package has");
    refuses(&|lock| lock.request.include.push("\u{1b}[2J".into()), "a word that no request has");
    refuses(&|lock| lock.request.add_architectures.push("../x".into()), "a word that no request has");
}
