//! `cargo xtask keyrings`: renew `keyrings/` from the vendors' own packages.
//!
//! The packages come through rootstrap itself, so the keys of tomorrow are verified with the keys of today. With
//! `--from DIR` they are taken from a directory that holds, for each package, `NAME_VERSION_all.deb` and, unpacked
//! beside it, `NAME/`.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use openpgp::Cert;
use openpgp::armor::{Kind, Reader, ReaderMode};
use openpgp::cert::CertParser;
use openpgp::cert::amalgamation::ValidateAmalgamation;
use openpgp::cert::amalgamation::key::PrimaryKey;
use openpgp::packet::Key;
use openpgp::packet::key::{PublicParts, UnspecifiedRole};
use openpgp::parse::Parse;
use openpgp::policy::{AsymmetricAlgorithm, StandardPolicy};
use openpgp::types::{HashAlgorithm, PublicKeyAlgorithm};
use sequoia_openpgp as openpgp;
use sha2::{Digest, Sha256};

struct Vendor {
    /// The suite whose package is newest.
    suite: &'static str,
    package: &'static str,
    keyrings: [&'static str; 2],
}

const VENDORS: [Vendor; 2] = [
    Vendor {
        suite: "stable",
        package: "debian-archive-keyring",
        keyrings: ["debian-archive-keyring", "debian-archive-removed-keys"],
    },
    Vendor {
        suite: "resolute",
        package: "ubuntu-keyring",
        keyrings: ["ubuntu-archive-keyring", "ubuntu-archive-removed-keys"],
    },
];

const HEAD: &str = "\
# Where the keys are from

Written by `cargo xtask keyrings`; do not edit. Each file comes from the vendor's package that its section names, in binary
form. A suite trusts only the files that its entry in `suites/` names. Suites that have ended need the removed keys. Dates are
in UTC.
";

/// A keyring package, unpacked.
struct Package {
    version: String,
    sha256: String,
}

/// Renews `keyrings/` under `top`.
pub fn run(top: &Path, arguments: &[String]) -> Result<(), String> {
    let scratch;
    let from = match arguments {
        [] => {
            scratch = tempfile::tempdir().map_err(|e| format!("cannot make a scratch directory: {e}"))?;
            scratch.path()
        }
        [option, directory] if option == "--from" => Path::new(directory),
        _ => return Err("usage: cargo xtask keyrings [--from DIR]".to_owned()),
    };
    let mut page = HEAD.to_owned();
    for vendor in &VENDORS {
        let package = if arguments.is_empty() { obtain(top, from, vendor)? } else { found(from, vendor)? };
        page +=
            &format!("\n## {} {}\n\nSHA256 of the package: `{}`\n", vendor.package, package.version, package.sha256);
        for name in vendor.keyrings {
            let keyring = read(&from.join(vendor.package), name)?;
            let file = format!("{name}.pgp");
            page += &describe(&file, &keyring).map_err(|e| format!("cannot read {file}: {e}"))?;
            write(&top.join("keyrings").join(&file), &keyring)?;
        }
    }
    write(&top.join("keyrings/SOURCES.md"), page.as_bytes())
}

/// Downloads, verifies and unpacks a vendor's package with rootstrap.
fn obtain(top: &Path, scratch: &Path, vendor: &Vendor) -> Result<Package, String> {
    let include = format!("--include={}", vendor.package);
    let target = scratch.join(vendor.package);
    let rootstrap = |arguments: &[&str]| -> Result<String, String> {
        let mut command = Command::new("cargo");
        command.args(["run", "-q", "--release", "-p", "rootstrap", "--", vendor.suite]).args(arguments);
        let output = command.current_dir(top).stderr(std::process::Stdio::inherit()).output();
        let output = output.map_err(|e| format!("cannot run cargo: {e}"))?;
        if !output.status.success() {
            return Err(format!("rootstrap could not fetch {}: {}", vendor.package, output.status));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let plan = rootstrap(&["--variant=extract", &include, "--print-plan=json"])?;
    rootstrap(&[&target.to_string_lossy(), "--variant=extract", &include])?;
    planned(&plan, vendor.package).ok_or_else(|| format!("the plan does not show {}", vendor.package))
}

/// Returns a package's version and digest, from a plan.
fn planned(plan: &str, package: &str) -> Option<Package> {
    let plan: serde_json::Value = serde_json::from_str(plan).ok()?;
    let mut packages = plan["phases"].as_array()?.iter().filter_map(|phase| phase["packages"].as_array()).flatten();
    let found = packages.find(|found| found["name"] == package)?;
    Some(Package { version: found["version"].as_str()?.to_owned(), sha256: found["digest"].as_str()?.to_owned() })
}

/// Returns a package's version and digest, from its `NAME_VERSION_all.deb` in a directory.
fn found(from: &Path, vendor: &Vendor) -> Result<Package, String> {
    let start = format!("{}_", vendor.package);
    let entries = fs::read_dir(from).map_err(|e| format!("cannot read {}: {e}", from.display()))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(version) = name.strip_prefix(&start).and_then(|rest| rest.strip_suffix("_all.deb")) {
            let deb = fs::read(entry.path()).map_err(|e| format!("cannot read {name}: {e}"))?;
            return Ok(Package { version: version.to_owned(), sha256: hex(&Sha256::digest(&deb)) });
        }
    }
    Err(format!("{} has no {start}VERSION_all.deb", from.display()))
}

/// Reads a keyring of an unpacked package. Returns it in binary form.
fn read(tree: &Path, name: &str) -> Result<Vec<u8>, String> {
    let directory = tree.join("usr/share/keyrings");
    let file = [".pgp", ".gpg", ".asc"].map(|end| directory.join(format!("{name}{end}")));
    let file =
        file.iter().find(|file| file.exists()).ok_or_else(|| format!("{} has no {name}", directory.display()))?;
    let keyring = fs::read(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
    dearmour(&keyring).map_err(|e| format!("cannot read {}: {e}", file.display()))
}

fn dearmour(keyring: &[u8]) -> std::io::Result<Vec<u8>> {
    if !keyring.starts_with(b"-----BEGIN") {
        return Ok(keyring.to_vec());
    }
    let mut binary = Vec::new();
    Reader::from_bytes(keyring, ReaderMode::Tolerant(Some(Kind::PublicKey))).read_to_end(&mut binary)?;
    Ok(binary)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|e| format!("cannot write {}: {e}", path.display()))
}

/// Returns the section about one keyring: each key and, below it, its subkeys.
fn describe(file: &str, keyring: &[u8]) -> openpgp::Result<String> {
    let certs = CertParser::from_bytes(keyring)?.collect::<openpgp::Result<Vec<Cert>>>()?;
    let mut page =
        format!("\n### {file}\n\n| fingerprint | user id | created | expires | algorithm |\n|---|---|---|---|---|\n");
    let policy = lenient();
    for cert in &certs {
        let names: Vec<_> = cert.userids().map(|u| String::from_utf8_lossy(u.userid().value()).into_owned()).collect();
        for key in cert.keys() {
            let name = if key.primary() { names.join(", ").replace('|', "/") } else { "its subkey".to_owned() };
            let expires = match key.clone().with_policy(&policy, None) {
                Ok(valid) => valid.key_expiration_time().map_or("never".to_owned(), date),
                Err(error) => format!("unknown ({error})"),
            };
            let (key, created) = (key.key(), date(key.key().creation_time()));
            page += &format!("| `{}` | {name} | {created} | {expires} | {} |\n", key.fingerprint(), algorithm(key));
        }
    }
    Ok(page)
}

/// Returns a policy that accepts the weak algorithms of the oldest keys. The policy serves only to read when keys
/// expire; nothing is trusted because of it.
fn lenient() -> StandardPolicy<'static> {
    let mut policy = StandardPolicy::new();
    for hash in [HashAlgorithm::MD5, HashAlgorithm::SHA1, HashAlgorithm::RipeMD] {
        policy.accept_hash(hash);
    }
    use AsymmetricAlgorithm::{DSA1024, ElGamal1024, ElGamal2048, RSA1024};
    for algorithm in [DSA1024, ElGamal1024, ElGamal2048, RSA1024] {
        policy.accept_asymmetric_algo(algorithm);
    }
    policy
}

#[allow(deprecated, reason = "old keys are what this names")]
fn algorithm(key: &Key<PublicParts, UnspecifiedRole>) -> String {
    use PublicKeyAlgorithm::{DSA, ECDSA, Ed25519, EdDSA, ElGamalEncrypt, RSAEncryptSign};
    let bits = key.mpis().bits().unwrap_or_default();
    match key.pk_algo() {
        RSAEncryptSign => format!("RSA {bits}"),
        DSA => format!("DSA {bits}"),
        ECDSA => format!("ECDSA {bits}"),
        ElGamalEncrypt => format!("ElGamal {bits}"),
        EdDSA | Ed25519 => "Ed25519".to_owned(),
        other => format!("{other:?}"),
    }
}

/// YYYY-MM-DD in UTC.
fn date(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let mut days = since.as_secs() / 86400;
    let mut year = 1970;
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, day) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_704_067_199, "2023-12-31"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), day);
        }
    }

    #[test]
    fn versions_and_digests_are_found() {
        let plan = r#"{"phases": [{"packages": []}, {"packages": [
            {"name": "b-x", "version": "1", "digest": "11"}, {"name": "b", "version": "2", "digest": "22"}]}]}"#;
        let found = planned(plan, "b").unwrap();
        assert_eq!((found.version.as_str(), found.sha256.as_str()), ("2", "22"));
        assert!(planned(plan, "c").is_none() && planned("", "b").is_none());
    }

    #[test]
    fn a_package_is_copied_dearmoured_and_described() {
        use openpgp::cert::CertBuilder;
        use openpgp::serialize::SerializeInto;
        let key = || CertBuilder::new().add_userid("Archive | Key <a@example>").add_signing_subkey();
        let valid = |days: u64| Duration::from_secs(days * 86400);
        let made = SystemTime::UNIX_EPOCH + valid(20_000);
        let (cert, _) = key().set_creation_time(made).set_validity_period(valid(10)).generate().unwrap();
        let (binary, armoured) = (cert.to_vec().unwrap(), cert.armored().to_vec().unwrap());

        let place = tempfile::tempdir().unwrap();
        let (from, top) = (place.path().join("from"), place.path().join("top"));
        fs::create_dir_all(top.join("keyrings")).unwrap();
        for vendor in &VENDORS {
            let keyrings = from.join(vendor.package).join("usr/share/keyrings");
            fs::create_dir_all(&keyrings).unwrap();
            fs::write(keyrings.join(format!("{}.gpg", vendor.keyrings[0])), &armoured).unwrap();
            fs::write(keyrings.join(format!("{}.pgp", vendor.keyrings[1])), &binary).unwrap();
            fs::write(from.join(format!("{}_1.2_all.deb", vendor.package)), "abc").unwrap();
        }
        run(&top, &["--from".to_owned(), from.to_string_lossy().into_owned()]).unwrap();

        for name in VENDORS.iter().flat_map(|vendor| vendor.keyrings) {
            assert_eq!(fs::read(top.join(format!("keyrings/{name}.pgp"))).unwrap(), binary, "{name}");
        }
        let page = fs::read_to_string(top.join("keyrings/SOURCES.md")).unwrap();
        assert!(page.contains("## ubuntu-keyring 1.2\n\nSHA256 of the package: `ba7816bf"), "{page}");
        let row =
            format!("| `{}` | Archive / Key <a@example> | 2024-10-04 | 2024-10-14 | Ed25519 |", cert.fingerprint());
        assert!(page.contains(&row), "{page}");
        assert_eq!(page.matches("its subkey").count(), 4);
    }

    #[test]
    fn what_is_missing_is_named() {
        let place = tempfile::tempdir().unwrap();
        let error = run(place.path(), &["--from".to_owned(), place.path().to_string_lossy().into_owned()]).unwrap_err();
        assert!(error.ends_with("has no debian-archive-keyring_VERSION_all.deb"), "{error}");
        assert!(run(place.path(), &["--form".to_owned()]).unwrap_err().starts_with("usage"));
    }
}
