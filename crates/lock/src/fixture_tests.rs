//! Packages and roots for tests.

use crate::model::{Package, Phase, Platform};
use rootstrap_debian::digest::Digest;

pub(crate) fn package(name: &str, version: &str, byte: u8) -> Package {
    Package {
        name: name.into(),
        version: version.into(),
        architecture: "amd64".into(),
        source: name.into(),
        pocket: "release".into(),
        component: "main".into(),
        path: format!("pool/main/{name}_{version}.deb"),
        size: 10,
        sha256: Digest::Sha256([byte; 32]),
        installed_size: 1024,
        priority: "required".into(),
        section: String::new(),
        multi_arch: String::new(),
        essential: true,
        automatic: false,
        why: "essential".into(),
    }
}

pub(crate) fn platform(packages: Vec<Package>) -> Platform {
    let names = packages.iter().map(|package| package.name.clone()).rev().collect();
    let phases = vec![Phase { name: "required".into(), packages: names }];
    Platform { architecture: "amd64".into(), without: Vec::new(), phases, packages }
}
