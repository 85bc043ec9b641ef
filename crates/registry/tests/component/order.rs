//! What is sent, what is not, and in which order.

use crate::fake::{Access, Fault, Registry};
use crate::image::{INDEX, Image, MANIFEST, blob_of, bytes, digest, retries};
use rootstrap_registry::{Event, Pushed};
use std::sync::atomic::Ordering;

#[test]
fn children_come_before_parents_and_the_tag_last() {
    let registry = Registry::start(Access::Open);
    let image = Image::new();
    let (pushed, events) = image.events(&registry.name());
    let [first, second, index] = &image.manifests[..] else { panic!() };
    let distinct = 5;
    let size = image.blobs.iter().map(|blob| blob.size).sum();
    assert_eq!(
        pushed.unwrap(),
        Pushed { digest: index.digest.clone(), uploaded: distinct, uploaded_bytes: size, skipped: 0 }
    );
    assert_eq!(registry.tag("latest").unwrap(), index.digest);
    let asked = registry.asked();
    let last: Vec<_> = asked.iter().rev().take(3).map(|asked| (asked.what.as_str(), &*asked.content_type)).collect();
    let by_digest = |digest: &str| format!("PUT manifests/{digest}");
    assert_eq!(
        last,
        [
            ("PUT manifests/latest", INDEX),
            (&by_digest(&second.digest), MANIFEST),
            (&by_digest(&first.digest), MANIFEST)
        ]
    );
    // The empty layer of both is one blob.
    assert_eq!((registry.count("POST blobs/uploads/"), registry.count("PUT blobs/")), (distinct, distinct));
    assert_eq!(registry.count("PUT "), distinct + 3);
    assert_eq!(bytes(&events), i64::try_from(size).unwrap());
    assert_eq!(retries(&events), 0);
    assert!(matches!(events.first(), Some(Event::Started { blobs: 5, bytes }) if *bytes == size));
    assert!(matches!(events.last(), Some(Event::Tagged { reference, .. }) if *reference == registry.name()));
}

#[test]
fn blobs_that_the_registry_has_are_not_sent() {
    let registry = Registry::start(Access::Open);
    let image = Image::new();
    registry.know(&image.blobs[1].digest);
    let (pushed, events) = image.events(&registry.name());
    let pushed = pushed.unwrap();
    assert_eq!((pushed.uploaded, pushed.skipped), (4, 1));
    assert!(pushed.uploaded_bytes < 1_000_000);
    assert_eq!(bytes(&events), i64::try_from(pushed.uploaded_bytes).unwrap());
    registry.forget();
    let again = image.push(&registry.name()).unwrap();
    assert_eq!((again.uploaded, again.uploaded_bytes, again.skipped), (0, 0, 5));
    assert_eq!((registry.count("POST "), registry.count("PUT blobs")), (0, 0));
    assert_eq!(registry.count("HEAD blobs/"), 5);
}

#[test]
fn one_image_can_have_several_tags() {
    let registry = Registry::start(Access::Open);
    let image = Image { tags: vec!["1".to_owned(), "1.0".to_owned()], ..Image::new() };
    let digest = image.push(&registry.name()).unwrap().digest;
    for tag in ["1", "1.0", "latest"] {
        assert_eq!(registry.tag(tag).as_ref(), Some(&digest), "{tag}");
    }
    let wrong = Image { tags: vec!["a/b".to_owned()], ..Image::new() };
    registry.forget();
    assert!(wrong.push(&registry.name()).is_err());
    assert_eq!(registry.asked().len(), 0);
}

/// A registry without the referrers API needs the list to be kept by the client.
#[test]
fn what_refers_to_an_image_is_listed() {
    let image = Image::attested();
    let [subject, about, _] = &image.manifests[..] else { panic!() };
    let tag = subject.digest.replace(':', "-");
    let registry = Registry::start(Access::Open);
    registry.list_referrers();
    image.push(&registry.name()).unwrap();
    assert_eq!(registry.tag(&tag), None, "the registry lists them itself");

    let registry = Registry::start(Access::Open);
    image.push(&registry.name()).unwrap();
    let listed = |registry: &Registry| registry.manifest(&registry.tag(&tag)?);
    let list = listed(&registry).unwrap();
    let value: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!((&value["mediaType"], value["manifests"].as_array().unwrap().len()), (&INDEX.into(), 1));
    let entry = &value["manifests"][0];
    assert_eq!((&entry["digest"], &entry["artifactType"]), (&about.digest.as_str().into(), &"a/b".into()));
    assert_eq!(entry["size"], about.bytes.len());
    // The tag of the image comes after it.
    let puts: Vec<_> = registry.asked().into_iter().filter(|asked| asked.what.starts_with("PUT manifests/")).collect();
    assert_eq!(puts.last().unwrap().what, "PUT manifests/latest");
    assert_eq!(puts.iter().filter(|put| put.what.ends_with(&tag)).count(), 1);
    // A second push changes nothing, and what others have listed stays.
    image.push(&registry.name()).unwrap();
    assert_eq!(listed(&registry).unwrap(), list);
    // A list that cannot be read is not replaced by an empty one.
    let registry = Registry::start(Access::Open);
    registry.fault(&format!("GET manifests/{tag}"), Fault::Answer(403, String::new(), ""), usize::MAX);
    assert!(image.push(&registry.name()).is_err());
    assert_eq!((registry.tag(&tag), registry.tag("latest")), (None, None));
}

/// 303 leads to a place where the answer can be read, by a request without content.
#[test]
fn see_other_is_followed_without_content() {
    let registry = Registry::start(Access::Open);
    let image = Image::of(blob_of(b"z"));
    let there = format!("Location: blobs-of/{}\r\n", image.blobs[0].digest);
    registry.know(&image.blobs[0].digest);
    registry.fault("HEAD blobs/", Fault::Answer(303, there, ""), 1);
    registry.fault("HEAD blobs/blobs-of/", Fault::Answer(200, String::new(), ""), 1);
    let pushed = image.push(&registry.name()).unwrap();
    assert_eq!((pushed.uploaded, pushed.skipped), (0, 1));
    let registry = Registry::start(Access::Open);
    registry.fault("PUT manifests/latest", Fault::Answer(303, "Location: done\r\n".to_owned(), ""), 1);
    registry.fault("GET manifests/done", Fault::Answer(200, String::new(), ""), 1);
    image.push(&registry.name()).unwrap();
    let last: Vec<_> = registry.asked().into_iter().rev().take(2).collect();
    assert_eq!((last[0].what.as_str(), last[0].content.len()), ("GET manifests/done", 0));
    registry.fault("HEAD blobs/", Fault::Answer(303, "Location: file:///etc/passwd\r\n".to_owned(), ""), 9);
    assert!(image.push(&registry.name()).is_err());
}

#[test]
fn a_damaged_blob_or_manifest_is_not_stored() {
    let registry = Registry::start(Access::Open);
    let content = vec![b'x'; 1_000_000];
    let mut image = Image::of(blob_of(&content));
    image.blobs[0].digest = digest(b"another");
    let text = crate::image::words(&image.push(&registry.name()).unwrap_err());
    assert!(text.contains(&format!("its content has digest {}", digest(&content))), "{text}");
    let mut image = Image::of(blob_of(&content));
    image.blobs[0].size += 1;
    assert!(crate::image::words(&image.push(&registry.name()).unwrap_err()).contains("its content does not have"));
    assert_eq!(registry.count("PUT "), 0, "no request may have come to its end");
    registry.forget();
    let mut image = Image::new();
    image.manifests[0].bytes.push(b' ');
    assert!(crate::image::words(&image.push(&registry.name()).unwrap_err()).contains("its content has digest"));
    image = Image::of(blob_of(b"x"));
    image.blobs[0].digest = "sha256:../../../other/blobs".to_owned();
    assert!(crate::image::words(&image.push(&registry.name()).unwrap_err()).contains("no digest of the form"));
    image = Image::new();
    image.manifests.clear();
    assert!(crate::image::words(&image.push(&registry.name()).unwrap_err()).contains("no manifest"));
    assert_eq!(registry.asked().len(), 0);
}

#[test]
fn an_interrupt_stops_a_push_before_the_tag_moves() {
    let registry = Registry::start(Access::Open);
    let image = Image::new();
    registry.fault("PUT blobs/", Fault::Stall, usize::MAX);
    let stop = |event| {
        if matches!(event, Event::BlobBytes { .. }) {
            image.cancel.store(true, Ordering::Relaxed);
        }
    };
    // Without the interrupt, the push would wait for minutes.
    let error = image.watch(&registry.name(), &stop).unwrap_err();
    assert_eq!(error.to_string(), "cannot go on: interrupted");
    assert_eq!((registry.tag("latest"), registry.count("PUT ")), (None, 0));
}
