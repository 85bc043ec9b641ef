//! Snapshots: the archive as it was at a moment, as the vendor's services have it.

use crate::archive::at_pocket::at_pocket;
use crate::archive::served::ServedPocket;
use crate::error::Error;
use crate::request::{Snapshot, Sources};
use rootstrap_debian::release::{format_date, parse_moment};
use rootstrap_suites::{Pocket, Suite};

/// What stands in the address of a service in the place of the moment.
const PLACE: &str = "{timestamp}";

/// How long after the date of a Release a service may need to have it, in seconds: usually some hours. A package that was replaced stays
/// in the archive for longer than a day.
const DELAYS: [i64; 2] = [6 * 3600, 24 * 3600];

/// How much earlier than what was asked for a snapshot may be before that is worth a warning, in seconds.
pub(crate) const FAR: i64 = 2 * 86400;

/// Returns a moment as services write it: `20260901T000000Z`.
pub(crate) fn timestamp(at: i64) -> String {
    format_date(at).replace(['-', ':'], "")
}

/// Refuses a moment that no service has.
pub(crate) fn check(snapshot: &Snapshot, suite: &Suite, now: i64) -> Result<(), Error> {
    let refuse = |reason: String, hint| Err(Error::Combination { option: "--snapshot".to_owned(), reason, hint });
    if snapshot.at > now {
        return refuse(format!("{} lies in the future", format_date(snapshot.at)), "name a moment that has passed");
    }
    if !snapshot.services.is_empty() {
        return Ok(());
    }
    let services = suite.vendor().map(|vendor| vendor.snapshots.as_slice()).unwrap_or_default();
    let since = services.iter().filter_map(|service| parse_moment(&service.since)).min();
    match since {
        None => refuse(
            format!("no service is known that has snapshots of {}", suite.codename),
            "name one with --mirror, with {timestamp} in its address in the place of the moment",
        ),
        Some(since) if snapshot.at < since => {
            refuse(format!("the service begins on {}", &format_date(since)[..10]), "name a later moment")
        }
        Some(_) => Ok(()),
    }
}

/// Returns where a snapshot of a pocket is, in the order in which the services are tried.
pub(crate) fn uris(snapshot: &Snapshot, suite: &Suite, pocket: Pocket) -> Vec<String> {
    let moment = timestamp(snapshot.at);
    if !snapshot.services.is_empty() {
        return snapshot.services.iter().flat_map(|service| of_service(service, &moment, suite, pocket)).collect();
    }
    let services = suite.vendor().map(|vendor| vendor.snapshots.as_slice()).unwrap_or_default();
    services.iter().map(|service| service.base(pocket).replace(PLACE, &moment)).collect()
}

/// Returns where a service that the user named may have a pocket: as with a mirror, the security archive is beside the main one.
fn of_service(service: &str, moment: &str, suite: &Suite, pocket: Pocket) -> Vec<String> {
    let Some((archive, rest)) = service.split_once(&format!("/{PLACE}")) else {
        return vec![service.replace(PLACE, moment)];
    };
    at_pocket(archive, suite, pocket).iter().map(|archive| format!("{archive}/{moment}{rest}")).collect()
}

/// Takes note of the moment that a service has resolved a snapshot to. `moved_to` is where it led. Returns what to say about that.
pub(crate) fn settle(served: &mut ServedPocket, moved_to: Option<&str>, snapshot: &Snapshot) -> Option<String> {
    let asked = timestamp(snapshot.at);
    let moment = moved_to.and_then(moment_of).unwrap_or(&asked).to_owned();
    if let Some(first) = served.mirrors.first_mut() {
        // The address keeps its user and password, which the one that the service led to does not have.
        *first = at_moment(first, &moment);
    }
    let said = (moment != asked).then(|| {
        let early = snapshot.at - parse_moment(&moment).unwrap_or(snapshot.at);
        let days = if early >= FAR { format!(", {} days earlier", early / 86400) } else { String::new() };
        format!("the snapshot of {} is that of {moment}{days}", served.suite)
    });
    served.snapshot = Some(moment);
    said
}

/// Returns where services may have a package of a Release of this date after the archive has dropped it. Nothing is there
/// yet while the Release is new.
pub(crate) fn fallbacks(sources: &Sources, suite: &Suite, name: &str, date: i64, now: i64) -> Vec<String> {
    let Some(pocket) = Pocket::ALL.into_iter().find(|pocket| pocket.name() == name) else { return Vec::new() };
    let moments = DELAYS.into_iter().map(|delay| date.saturating_add(delay)).filter(|moment| *moment <= now);
    let of_moment = |at| {
        let of_vendor = uris(&Snapshot { at, services: Vec::new() }, suite, pocket).into_iter().take(1);
        let moment = timestamp(at);
        let named = sources.services.iter().flat_map(|service| of_service(service, &moment, suite, pocket));
        named.chain(of_vendor).collect::<Vec<_>>()
    };
    moments.flat_map(of_moment).collect()
}

/// Returns how the addresses of all services that may be asked begin.
pub(crate) fn servers(sources: &Sources, suite: &Suite) -> Vec<String> {
    let services = suite.vendor().map(|vendor| vendor.snapshots.as_slice()).unwrap_or_default();
    let of_vendor = services.iter().flat_map(|service| [&service.uri, &service.security]);
    let named = sources.snapshot.iter().flat_map(|snapshot| &snapshot.services).chain(&sources.services);
    let start = |uri: &String| uri.split_once(PLACE).map_or(uri.clone(), |(start, _)| start.to_owned());
    let starts = of_vendor.chain(named).map(start);
    // The security archive of a service that the user named is beside the main one.
    starts.map(|start| start.trim_end_matches('/').to_owned()).collect()
}

/// Returns an address with another moment in the place of its own, if it has one.
pub(crate) fn at_moment(uri: &str, moment: &str) -> String {
    moment_of(uri).map_or_else(|| uri.to_owned(), |own| uri.replace(own, moment))
}

/// Returns the moment in the address of a snapshot.
pub(crate) fn moment_of(uri: &str) -> Option<&str> {
    uri.split('/').find(|part| {
        let is_digits = |range: std::ops::Range<usize>| {
            part.get(range).is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        };
        part.len() == 16 && is_digits(0..8) && part.get(8..9) == Some("T") && is_digits(9..15) && part.ends_with('Z')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rootstrap_suites::lookup;

    const AT: i64 = 1_788_220_800;

    fn snapshot(services: &[&str]) -> Snapshot {
        Snapshot { at: AT, services: services.iter().map(|&text| text.to_owned()).collect() }
    }

    #[test]
    fn a_moment_becomes_part_of_the_address() {
        let trixie = lookup("trixie").unwrap();
        let first = |pocket| uris(&snapshot(&[]), trixie, pocket).swap_remove(0);
        assert_eq!(first(Pocket::Release), "https://snapshot-cloudflare.debian.org/archive/debian/20260901T000000Z");
        assert_eq!(
            first(Pocket::Security),
            "https://snapshot-cloudflare.debian.org/archive/debian-security/20260901T000000Z"
        );
        let noble = lookup("noble").unwrap();
        let ubuntu = "https://snapshot.ubuntu.com/ubuntu/20260901T000000Z";
        assert_eq!(uris(&snapshot(&[]), noble, Pocket::Security), [ubuntu]);
        let own = snapshot(&["http://s.example/debian/{timestamp}/"]);
        let places =
            ["http://s.example/debian-security/20260901T000000Z/", "http://s.example/debian/20260901T000000Z/"];
        assert_eq!(uris(&own, trixie, Pocket::Security), places);
        assert_eq!(uris(&own, trixie, Pocket::Updates), places[1..]);
        assert_eq!(moment_of(places[0]), Some("20260901T000000Z"));
        assert_eq!(moment_of("http://s.example/debian/20260901T00000Z/x"), None);
        assert_eq!(
            at_moment("http://me:pw@s.example/20260901T000000Z/x", "20260831T010203Z"),
            "http://me:pw@s.example/20260831T010203Z/x"
        );
    }

    #[test]
    fn moments_that_no_service_has_are_refused() {
        let trixie = lookup("trixie").unwrap();
        let refused = |at: &str, suite| {
            let snapshot = Snapshot { at: parse_moment(at).unwrap(), services: Vec::new() };
            check(&snapshot, suite, AT).map_err(|error| error.to_string())
        };
        assert_eq!(refused("2026-08-31", trixie), Ok(()));
        assert!(refused("2026-09-02", trixie).unwrap_err().contains("lies in the future"));
        assert!(refused("2005-01-01", trixie).unwrap_err().contains("the service begins on 2005-03-12"));
        assert!(refused("2023-01-01", lookup("noble").unwrap()).unwrap_err().contains("begins on 2023-03-01"));
        let unlisted = rootstrap_suites::unlisted("duke", None);
        assert!(refused("2026-08-31", &unlisted).unwrap_err().contains("no service is known"));
        assert!(check(&snapshot(&["http://s.example/{timestamp}"]), &unlisted, AT).is_ok());
    }

    #[test]
    fn services_are_asked_for_old_packages_only() {
        let trixie = lookup("trixie").unwrap();
        let mut sources = Sources::new("trixie");
        let at = |now| fallbacks(&sources, trixie, "release", AT, now);
        assert_eq!(at(AT + 3600), [""; 0]);
        let first = "https://snapshot-cloudflare.debian.org/archive/debian/20260901T060000Z";
        assert_eq!(at(AT + 7 * 3600), [first]);
        assert_eq!(
            at(AT + 48 * 3600),
            [first, "https://snapshot-cloudflare.debian.org/archive/debian/20260902T000000Z"]
        );
        sources.services.push("http://s.example/{timestamp}".to_owned());
        let own = "http://s.example/20260901T060000Z";
        assert_eq!(fallbacks(&sources, trixie, "release", AT, AT + 7 * 3600), [own, first]);
    }
}
