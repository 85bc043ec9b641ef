//! Finds the addresses of hosts without the C library, which would load the modules of nsswitch.conf(5): a static program must not
//! do that, because they belong to the C library of the machine that it runs on.

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::parse_resolv_conf;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use thiserror::Error;

const CONFIGURATION: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";

/// Why the addresses of a host are not known.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LookupError {
    /// The name servers know no such host, or no address of it.
    #[error("there is no host of this name")]
    UnknownHost,
    /// No name server answered in time.
    #[error("no name server of {CONFIGURATION} answers")]
    Silent,
    /// Anything else.
    #[error("its address cannot be looked up: {0}")]
    Failed(String),
}

/// Returns the addresses of a host: those of `/etc/hosts` if it has any, and else those that the name servers of `/etc/resolv.conf` know,
/// IPv6 first. Both files are read each time, as a run may begin before the network is up. Without a name server, the one of this machine
/// is asked (resolv.conf(5)).
///
/// # Errors
/// No address is known, or no name server can be asked.
pub async fn lookup(host: &str) -> Result<Vec<IpAddr>, LookupError> {
    // A machine without this file has no such addresses.
    let known = in_hosts(&std::fs::read(HOSTS).unwrap_or_default(), host);
    if !known.is_empty() {
        return Ok(known);
    }
    let (configuration, options) = configuration(Path::new(CONFIGURATION))?;
    let names = names(host, &configuration, options.ndots);
    let resolver = TokioResolver::builder_with_config(configuration, TokioRuntimeProvider::default())
        .with_options(options)
        .build()
        .map_err(|error| of(&error))?;
    let mut failure = LookupError::UnknownHost;
    for name in names {
        let (six, four) = tokio::join!(resolver.ipv6_lookup(name.as_str()), resolver.ipv4_lookup(name.as_str()));
        let mut found = Vec::new();
        for answer in [six, four] {
            match answer {
                Ok(answer) => found.extend(answer.answers().iter().filter_map(|record| record.data.ip_addr())),
                // A server that cannot be asked is no proof that there is no such host.
                Err(error) if of(&error) != LookupError::UnknownHost => failure = of(&error),
                Err(_) => {}
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Err(failure)
}

/// Returns the addresses of a host in the text of hosts(5).
fn in_hosts(text: &[u8], host: &str) -> Vec<IpAddr> {
    let text = String::from_utf8_lossy(text);
    let host = host.trim_end_matches('.');
    let address = |line: &str| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
    };
    text.lines().filter_map(address).collect()
}

/// Returns the complete names that a name can stand for, in the order in which they are tried (resolv.conf(5), `search` and `ndots`).
fn names(host: &str, configuration: &ResolverConfig, dots: usize) -> Vec<String> {
    let absolute = format!("{}.", host.trim_end_matches('.'));
    if host.ends_with('.') {
        return vec![absolute];
    }
    // The root domain among them stands for the name as it is.
    let domains = configuration.search().iter().filter(|domain| !domain.is_root());
    let mut names: Vec<String> =
        domains.map(|domain| format!("{absolute}{}.", domain.to_string().trim_end_matches('.'))).collect();
    let at = if host.matches('.').count() >= dots { 0 } else { names.len() };
    names.insert(at, absolute);
    names
}

/// Reads a file in the form of resolv.conf(5).
fn configuration(path: &Path) -> Result<(ResolverConfig, ResolverOpts), LookupError> {
    let failed = |reason: &str| LookupError::Failed(format!("cannot read {}: {reason}", path.display()));
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        read => read.map_err(|error: io::Error| failed(&error.to_string()))?,
    };
    let names_server = text.split(|byte| *byte == b'\n').any(|line| line.trim_ascii_start().starts_with(b"nameserver"));
    let (configuration, mut options) = if names_server {
        parse_resolv_conf(&text).map_err(|error| failed(&error.to_string()))?
    } else {
        let local = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
        (ResolverConfig::from_parts(None, Vec::new(), vec![local]), ResolverOpts::default())
    };
    // This file has been read already.
    options.use_hosts_file = ResolveHosts::Never;
    Ok((configuration, options))
}

fn of(error: &NetError) -> LookupError {
    match error {
        NetError::Timeout | NetError::NoConnections | NetError::Io(_) | NetError::Busy => LookupError::Silent,
        _ if error.is_nx_domain() || error.is_no_records_found() => LookupError::UnknownHost,
        _ => LookupError::Failed(error.to_string()),
    }
}

/// Has the HTTP library look up names by [`lookup`].
pub(crate) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = lookup(name.as_str()).await?;
            Ok(Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(text: Option<&str>) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resolv.conf");
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let (configuration, _) = configuration(&path).unwrap();
        configuration.name_servers().iter().map(|server| server.ip.to_string()).collect()
    }

    #[test]
    fn name_servers_are_those_of_the_file_or_this_machine() {
        assert_eq!(servers(None), ["127.0.0.1"]);
        assert_eq!(servers(Some("# nothing\nsearch example\n")), ["127.0.0.1"]);
        let usual = "nameserver 192.0.2.1\n nameserver 2001:db8::1\noptions edns0 trust-ad ndots:0 unknown:3\n";
        assert_eq!(servers(Some(usual)), ["192.0.2.1", "2001:db8::1"]);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = configuration(directory.path()).unwrap_err().to_string();
        assert!(error.contains(&directory.path().display().to_string()), "{error}");
        let path = directory.path().join("resolv.conf");
        std::fs::write(&path, "nameserver nowhere\n").unwrap();
        let error = configuration(&path).unwrap_err().to_string();
        assert!(error.contains("resolv.conf"), "{error}");
    }

    #[test]
    fn a_host_of_the_file_has_no_other_address() {
        let text =
            b"10.0.0.5 deb.example mirror # not this\n\xff\n::1 Deb.Example\n300.1.1.1 deb.example\n10.0.0.6 other\n";
        let found = |host: &str| in_hosts(text, host).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(found("deb.example"), ["10.0.0.5", "::1"]);
        assert_eq!(found("mirror."), ["10.0.0.5"]);
        assert!(found("not").is_empty() && found("10.0.0.5").is_empty());
    }

    #[test]
    fn search_domains_come_where_ndots_says() {
        let (configuration, options) =
            parse_resolv_conf("nameserver 192.0.2.1\nsearch a.example . b.example\n").unwrap();
        let of = |host: &str, dots| names(host, &configuration, dots);
        assert_eq!(of("deb.org", options.ndots), ["deb.org.", "deb.org.a.example.", "deb.org.b.example."]);
        assert_eq!(of("deb.org", 5), ["deb.org.a.example.", "deb.org.b.example.", "deb.org."]);
        assert_eq!(of("deb.org.", 5), ["deb.org."]);
    }

    #[test]
    fn localhost_needs_no_name_server() {
        let found = crate::runtime("test", 1).unwrap().block_on(lookup("localhost")).unwrap();
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
    }
}
