//! Opens an object store with a client that looks up names as ours does.

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::{DnsFuture, DnsResolver};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{ClientOptions, Error, ObjectStore, ObjectStoreScheme};
use rootstrap_http::{self as http, Url};
use std::sync::Arc;

/// Opens the object store at an address, as [`object_store::parse_url_opts`] does with the same options: a name that no option of this
/// store has is skipped.
///
/// # Errors
/// The address names no object store, or an option cannot be used.
pub(crate) fn open(url: &Url, options: &[(String, String)]) -> Result<(Box<dyn ObjectStore>, Path), Error> {
    /// Builds one kind of store. The builders have the same methods and no trait in common.
    macro_rules! build {
        ($builder:ty) => {{
            let client = ClientOptions::new().with_dns_resolver(Arc::new(Resolver));
            let empty = <$builder>::new().with_url(url.as_str()).with_client_options(client);
            let all = options.iter().fold(empty, |builder, (name, value)| match name.parse() {
                Ok(option) => builder.with_config(option, value),
                Err(_) => builder,
            });
            Box::new(all.build()?) as Box<dyn ObjectStore>
        }};
    }
    let (scheme, path) = ObjectStoreScheme::parse(url)?;
    let store = match scheme {
        ObjectStoreScheme::AmazonS3 => build!(AmazonS3Builder),
        ObjectStoreScheme::GoogleCloudStorage => build!(GoogleCloudStorageBuilder),
        ObjectStoreScheme::MicrosoftAzure => build!(MicrosoftAzureBuilder),
        other => return Err(Error::NotSupported { source: format!("{other:?} is no object store").into() }),
    };
    Ok((store, path))
}

#[derive(Debug)]
struct Resolver;

impl DnsResolver for Resolver {
    fn resolve(&self, host: &str) -> DnsFuture {
        let host = host.to_owned();
        Box::pin(async move { Ok(http::lookup(&host).await?) })
    }
}
