//! Names that docker accepts, and names that it refuses.

use super::*;

#[test]
fn names_are_completed_as_docker_does() {
    for (text, full, host) in [
        ("base", "docker.io/library/base:latest", DEFAULT_HOST),
        ("base:1.0", "docker.io/library/base:1.0", DEFAULT_HOST),
        ("me/base", "docker.io/me/base:latest", DEFAULT_HOST),
        ("docker.io/base", "docker.io/library/base:latest", DEFAULT_HOST),
        ("index.docker.io/me/base:x", "docker.io/me/base:x", DEFAULT_HOST),
        ("localhost/base", "localhost/base:latest", "localhost"),
        ("localhost:5000/a/b/c:t", "localhost:5000/a/b/c:t", "localhost:5000"),
        ("ghcr.io/me/base", "ghcr.io/me/base:latest", "ghcr.io"),
        ("Registry/base", "Registry/base:latest", "Registry"),
        ("127.0.0.1:5000/base", "127.0.0.1:5000/base:latest", "127.0.0.1:5000"),
        ("[::1]:5000/base:t", "[::1]:5000/base:t", "[::1]:5000"),
        ("[::1]/base", "[::1]/base:latest", "[::1]"),
        ("r.example/a__b/c.d/e---f:A_b.c-d", "r.example/a__b/c.d/e---f:A_b.c-d", "r.example"),
    ] {
        let reference: Reference = text.parse().unwrap();
        assert_eq!(reference.to_string(), full, "{text}");
        assert_eq!(reference.host(), host, "{text}");
        // The full form means the same.
        assert_eq!(full.parse::<Reference>().unwrap(), reference, "{text}");
    }
}

#[test]
fn names_that_docker_refuses_are_refused() {
    for (text, part) in [
        ("", "its name"),
        ("base:", "its tag"),
        ("base:-x", "its tag"),
        ("base:a/b", "its registry"),
        ("r.example/base:a:b", "its tag"),
        ("Base", "lower case"),
        ("r.example/", "its name"),
        ("r.example//a", "its name"),
        ("r.example/a/", "its name"),
        ("r.example/-a", "its name"),
        ("r.example/a..b", "its name"),
        ("r.example/a___b", "its name"),
        ("r.example/a._b", "its name"),
        ("r.example/../a", "its name"),
        ("r.example/a?b", "its name"),
        ("-r.example/a", "its registry"),
        ("r..example/a", "its registry"),
        ("r.example:port/a", "its registry"),
        ("r.example:99999/a", "its registry"),
        ("[::g]/a", "its registry"),
        ("r.example:+80/a", "its registry"),
        ("user:secret@r.example/a", "\"r.example/a\": a user name"),
        ("base@sha256:0000000000000000000000000000000000000000000000000000000000000000", "it has a digest"),
    ] {
        let error = text.parse::<Reference>().unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
    assert!(format!("r.example/{}", "a".repeat(246)).parse::<Reference>().is_err());
    assert!(format!("r.example/{}", "a".repeat(245)).parse::<Reference>().is_ok());
    assert!(format!("a:{}", "t".repeat(129)).parse::<Reference>().is_err());
}

#[test]
fn registries_on_this_machine_are_local() {
    for (text, local) in [
        ("localhost/a", true),
        ("localhost:5000/a", true),
        ("127.0.0.1:5000/a", true),
        ("127.1.2.3/a", true),
        ("[::1]:5000/a", true),
        ("localhost.example/a", false),
        ("128.0.0.1/a", false),
        ("[::2]/a", false),
        ("a", false),
    ] {
        assert_eq!(text.parse::<Reference>().unwrap().is_local(), local, "{text}");
    }
}

#[test]
fn the_tag_can_be_replaced() {
    let reference: Reference = "r.example/a:b".parse().unwrap();
    assert_eq!(reference.with_tag("c").unwrap().to_string(), "r.example/a:c");
    assert!(reference.with_tag("../c").is_err());
}
