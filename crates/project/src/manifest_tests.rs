//! What manifests mean, and what is refused.

use crate::{Error, Image, Key, Kind, TEMPLATE, images};

fn keys() -> Vec<Key> {
    let key = |(name, kind): &(&str, Kind)| Key { name: (*name).to_owned(), kind: *kind };
    [
        ("suite", Kind::One),
        ("variant", Kind::One),
        ("arch", Kind::Many),
        ("include", Kind::Many),
        ("hook", Kind::Many),
        ("label", Kind::Pairs),
        ("attest", Kind::Switch),
        ("target", Kind::One),
        ("push", Kind::Many),
        ("tag", Kind::Many),
        ("script-timeout", Kind::One),
    ]
    .iter()
    .map(key)
    .collect()
}

fn parse(text: &str) -> Result<Vec<Image>, Error> {
    images(text, &keys(), "amd64")
}

fn shown(images: &[Image]) -> Vec<String> {
    let options = |image: &Image| {
        let settings = image.settings.iter().map(|setting| format!("{}={}", setting.key, setting.values.join("|")));
        format!("{}: {}", image.name, settings.collect::<Vec<_>>().join(" "))
    };
    images.iter().map(options).collect()
}

#[test]
fn images_have_the_options_of_defaults_and_of_what_they_extend() {
    let text = r#"
        [defaults]
        suite = "trixie"
        include = ["a"]
        label = { x = "1", y = "2" }
        attest = true

        [image.base]
        include = ["...", "b"]
        script-timeout = 60

        [image.web]
        extends = "base"
        include = ["c", "...", "d"]
        label = { y = "3" }
        attest = false
        push = "r.example/{name}:{suite}-{arch}"
        hook = "customize=echo {name} ${suite}"

        [image.plain]
        include = []
    "#;
    assert_eq!(
        shown(&parse(text).unwrap()),
        [
            "base: suite=trixie label=x=1|y=2 attest=true include=a|b script-timeout=60",
            "web: suite=trixie script-timeout=60 include=c|a|b|d label=x=1|y=3 attest=false \
             push=r.example/web:trixie-amd64 hook=customize=echo {name} ${suite}",
            "plain: suite=trixie label=x=1|y=2 attest=true include=",
        ]
    );
}

#[test]
fn a_matrix_is_one_image_for_each_combination() {
    let text = r#"
        [image.tools]
        target = "{name}.tar"
        [image.tools.matrix]
        suite = ["trixie", "noble"]
        arch = ["amd64", ["arm64", "riscv64"]]

        [image.db]
        name = "{include}-{suite}"
        suite = "sid"
        matrix.include = ["mariadb-server", "postgresql"]
    "#;
    let found = parse(text).unwrap();
    let names: Vec<&str> = found.iter().map(|image| image.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "tools-trixie-amd64",
            "tools-trixie-arm64-riscv64",
            "tools-noble-amd64",
            "tools-noble-arm64-riscv64",
            "mariadb-server-sid",
            "postgresql-sid"
        ]
    );
    assert_eq!(found[1].values("arch"), ["arm64", "riscv64"]);
    assert_eq!(found[2].value("target"), Some("tools-noble-amd64.tar"));
}

/// Each is refused at its line, with the way out.
#[test]
fn mistakes_are_named_with_their_line() {
    for (text, line, reason) in [
        ("[image.a]\nsuite = \"x\"\ninclud = []", 3, "unknown key `includ`"),
        ("[images.a]", 1, "unknown key `images`"),
        ("[image.a]\nsuite = \"x\"\n[image.a]", 3, "duplicate key"),
        ("[image.a]\nsuite = x", 2, ""),
        ("[image.a]\nattest = \"yes\"", 2, "`attest` must be true or false"),
        ("[image.a]\nsuite = [\"x\"]", 2, "`suite` must be a string"),
        ("[image.a]\ninclude = [[\"x\"]]", 2, "`include` must be a string or a list of strings"),
        ("[image.a]\nlabel = { x = [] }", 2, "`label` must be a table of strings"),
        ("[image.a]\n", 1, "the image `a` has no suite"),
        ("[defaults]\nsuite = \"\"\n[image.a]\n", 3, "the image `a` has no suite"),
        ("image = 1", 1, "`image` must be a table"),
        ("[image]\na = 1", 2, "the image `a` must be a table"),
        ("[image.\"a b\"]", 1, "`a b` cannot be the name of an image"),
        ("[image.a]\nname = \"b\"", 2, "`name` names the images of a `matrix`"),
        ("[image.a]\nmatrix = { suite = [] }", 2, "`matrix.suite` must be a list of alternatives"),
        ("[image.a]\nmatrix = { suite = [\"x\", \"x\"] }", 2, "`matrix.suite` has x twice"),
        ("[image.a]\nextends = \"b\"\n[image.b]\nextends = \"a\"", 4, "an image extends itself: a -> b -> a"),
        ("[image.a]\nextends = \"c\"", 2, "there is no image `c` to extend"),
        (
            "[image.a]\nmatrix.suite = [\"x\", \"y\"]\nname = \"n\"",
            1,
            "two images have the name `n`; the other is of line 1",
        ),
        (
            "[defaults]\nsuite = \"x\"\n[image.a]\ntarget = \"o/x.tar\"\n[image.b]\ntarget = \"o//x.tar\"",
            6,
            "the images `a` and `b` have one target: o//x.tar",
        ),
        (
            "[defaults]\nsuite = \"x\"\npush = \"r/n\"\n[image.a]\n[image.b]\npush = \"r/n:latest\"",
            6,
            "the images `a` and `b` have one name: r/n:latest",
        ),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.line == line && error.reason.starts_with(reason), "{text}: {error:?}");
    }
    let hint = |text: &str| parse(text).unwrap_err().hint.unwrap_or_default();
    assert_eq!(hint("[image.a]\nincldue = 1"), "did you mean `include`?");
    assert!(hint("[image.a]\njobs = 1").contains("rootstrap build"));
}

#[test]
fn the_template_is_a_manifest_with_and_without_its_comments() {
    assert_eq!(parse(TEMPLATE).unwrap(), []);
    let uncommented = |line: &str| {
        let code = line.strip_prefix("# ").filter(|rest| rest.starts_with('[') || rest.contains(" = "));
        code.unwrap_or(line).to_owned() + "\n"
    };
    let mut all = keys();
    all.push(Key { name: "cmd".to_owned(), kind: Kind::One });
    let found = images(&TEMPLATE.lines().map(uncommented).collect::<String>(), &all, "amd64").unwrap();
    assert_eq!(found.len(), 6, "{found:?}");
    assert_eq!(found[1].values("include"), ["ca-certificates", "nginx"]);
}
