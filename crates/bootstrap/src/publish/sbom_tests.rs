//! Names of SBOMs, and which package meets which dependency.

use super::*;
use crate::request::Target;
use rootstrap_debian::digest::Digest;

#[test]
fn names_say_the_format() {
    for (name, expect) in [
        ("x.spdx.json", Some(SbomFormat::Spdx)),
        ("dir.cdx/x.spdx", Some(SbomFormat::Spdx)),
        ("x.cdx.json", Some(SbomFormat::CycloneDx)),
        ("x.cdx", Some(SbomFormat::CycloneDx)),
        ("bom.json", Some(SbomFormat::CycloneDx)),
        ("x-sbom.json", Some(SbomFormat::CycloneDx)),
        ("x.json", None),
        ("spdx.json", None),
        ("x.spdx.xml", None),
        ("", None),
        ("/", None),
    ] {
        assert_eq!(SbomFormat::from_name(Path::new(name)), expect, "{name}");
    }
}

#[test]
fn names_without_a_format_and_impossible_places_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let said = |name: &str| resolve(&[dir.path().join(name)]).unwrap_err();
    let error = said("x.json");
    assert!(error.to_string().ends_with("x.json: its name does not say in which format"), "{error}");
    assert_eq!((error.exit_code(), error.hint().unwrap().contains("spdx.json")), (2, true));
    assert!(said("none/x.cdx").to_string().ends_with("none/x.cdx: its parent directory does not exist"));
    let mut output = Output::new(Target::Directory(dir.path().join("root")));
    let mut check = |names: &[&str]| {
        output.sboms = resolve(&names.iter().map(|name| dir.path().join(name)).collect::<Vec<_>>()).unwrap();
        check(&output, &Janitor::default()).map_err(|error| error.to_string())
    };
    std::fs::create_dir_all(dir.path().join("d.cdx")).unwrap();
    std::fs::create_dir_all(dir.path().join("root")).unwrap();
    check(&["a.cdx", "a.spdx"]).unwrap();
    for (names, reason) in [
        (&["a.cdx", "a.cdx"][..], "it is named twice"),
        (&["root/a.cdx"], "it would be in the target"),
        (&["d.cdx"], "it exists and is not a regular file"),
    ] {
        assert!(check(names).unwrap_err().ends_with(reason), "{names:?}");
    }
}

fn planned(name: &str, version: &str, architecture: &str) -> Planned {
    Planned {
        name: name.into(),
        version: version.into(),
        architecture: architecture.into(),
        size: 1,
        installed_size: 0,
        pocket: 0,
        component: "main".into(),
        path: format!("pool/{name}.deb"),
        digest: Digest::Sha256([0; 32]),
        essential: false,
        automatic: false,
        multi_arch: String::new(),
        priority: String::new(),
        section: String::new(),
        source: String::new(),
        why: String::new(),
        choice: String::new(),
    }
}

#[test]
fn dependencies_are_met_as_dpkg_meets_them() {
    let plan = [
        planned("a", "1", "amd64"),
        planned("lib", "2", "i386"),
        planned("lib", "2", "amd64"),
        planned("mailer", "1", "all"),
    ];
    let plan: Vec<&Planned> = plan.iter().collect();
    let depends = |field: &'static str| {
        let mut entries = [packages::Package { architecture: "amd64", ..Default::default() }; 4];
        entries[0].depends = field;
        entries[1].provides = "lib-abi (= 5)";
        entries[3].provides = "mta, a";
        Graph::new(&plan, &entries).depends(0)
    };
    for (field, expect) in [
        ("lib", &[2][..]),
        ("lib (>= 2), mta", &[2, 3]),
        ("lib (>= 3)", &[]),
        ("gone | mta | lib", &[3]),
        ("lib-abi (= 5)", &[1]),
        ("lib-abi (= 6)", &[]),
        ("mta (>= 1)", &[]),
        ("a", &[]),
        ("lib, lib, lib:any", &[2]),
        ("no ( field", &[]),
    ] {
        assert_eq!(depends(field), expect, "{field}");
    }
}
