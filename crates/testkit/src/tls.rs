//! TLS before a server that has none, on the loopback interface.

use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// A certificate that nobody signed. Made by `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj /CN=nobody
/// -addext subjectAltName=IP:127.0.0.1`.
pub const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBijCCATCgAwIBAgIUa6uaxvk8vyJP9Lhd9eHc9Cyp30owCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGbm9ib2R5MCAXDTI2MTEyODIwMzEzM1oYDzIxMjYxMTA0MjAz
MTMzWjARMQ8wDQYDVQQDDAZub2JvZHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AATzLfLUpt70RhJlcliLCFaivYjMONyQH9iWNqfDmFWlkQSC4E7Gv5ZML9m5kQT3
i0ObCt6uRLcB7nW7U6hPsgXdo2QwYjAdBgNVHQ4EFgQUCEvtumRsSMPaCoHcE0cN
h6WMTG4wHwYDVR0jBBgwFoAUCEvtumRsSMPaCoHcE0cNh6WMTG4wDwYDVR0TAQH/
BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMCA0gAMEUCIHK/OGIV
3Ge8UBUTJ55otuGigmbA1rKnLn3WBRLsNbrfAiEAoQ2hdRy8jINw3ZAHSNh+bpv+
GDY3PIEXF0J84+116HU=
-----END CERTIFICATE-----";

/// Its key, which protects nothing.
const KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgW/RRJheFm/yfu59n
36K/XNVTLNUo6givL0pLchCV9vahRANCAATzLfLUpt70RhJlcliLCFaivYjMONyQ
H9iWNqfDmFWlkQSC4E7Gv5ZML9m5kQT3i0ObCt6uRLcB7nW7U6hPsgXd
-----END PRIVATE KEY-----";

/// Decrypts for another server of this machine, until it is dropped.
pub struct Terminator {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Terminator {
    /// Starts one before the server at `target`.
    pub fn start(target: &str) -> Terminator {
        Terminator::with(target, CERTIFICATE)
    }

    /// Starts one that shows this certificate.
    pub fn with(target: &str, certificate: &str) -> Terminator {
        Terminator::run(target, certificate, false)
    }

    /// Starts one that shows [`certificates::GOOD`] and wants a certificate of [`certificates::CLIENT_AUTHORITY`].
    pub fn asking(target: &str) -> Terminator {
        Terminator::run(target, certificates::GOOD, true)
    }

    fn run(target: &str, certificate: &str, is_asking: bool) -> Terminator {
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = match is_asking {
            false => config.with_no_client_auth(),
            true => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(certificates::CLIENT_AUTHORITY.as_bytes()).unwrap()).unwrap();
                let provider = Arc::new(ring::default_provider());
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
                config.with_client_cert_verifier(verifier)
            }
        };
        let config = config.with_single_cert(vec![certificate], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let target: SocketAddr = target.parse().unwrap();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that does not trust the certificate leaves here.
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut server = TcpStream::connect(target).await.unwrap();
                    tokio::io::copy_bidirectional(&mut stream, &mut server).await.ok();
                });
            }
        });
        Terminator { address, _runtime: runtime }
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }
}

/// Made by `openssl ca` for these tests alone: an authority, and certificates that it has signed for the key above.
pub mod certificates {
    /// The authority.
    pub const AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBZjCCAQugAwIBAgIBEjAKBggqhkjOPQQDAjAZMRcwFQYDVQQDDA50ZXN0IGF1
dGhvcml0eTAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowGTEXMBUG
A1UEAwwOdGVzdCBhdXRob3JpdHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASE
BWA7dDwre6oXY2EP2lgsGiQwfEj9g9zO0rChxIKaXam+efNvLqz/286Vh3uqghZe
kLXJVlNNf1W5eDNhj6fYo0IwQDAPBgNVHRMBAf8EBTADAQH/MA4GA1UdDwEB/wQE
AwICBDAdBgNVHQ4EFgQU0jz6kiG8VdZIVp89WfWysnltbp8wCgYIKoZIzj0EAwID
SQAwRgIhAPV+NSmnkPOjrMmqzEzfccyUYTIS3/vtStK/yNemRmHBAiEAkumkd2Hm
sxaKvrlRjz2ci7pfK3DGMnp3xtf3zzWTPVY=
-----END CERTIFICATE-----";
    /// For this machine, until 2120.
    pub const GOOD: &str = "\
-----BEGIN CERTIFICATE-----
MIIBiDCCAS6gAwIBAgIBEzAKBggqhkjOPQQDAjAZMRcwFQYDVQQDDA50ZXN0IGF1
dGhvcml0eTAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowFjEUMBIG
A1UEAwwLdGVzdCBzZXJ2ZXIwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATzLfLU
pt70RhJlcliLCFaivYjMONyQH9iWNqfDmFWlkQSC4E7Gv5ZML9m5kQT3i0ObCt6u
RLcB7nW7U6hPsgXdo2gwZjAPBgNVHREECDAGhwR/AAABMBMGA1UdJQQMMAoGCCsG
AQUFBwMBMB0GA1UdDgQWBBQIS+26ZGxIw9oKgdwTRw2HpYxMbjAfBgNVHSMEGDAW
gBTSPPqSIbxV1khWnz1Z9bKyeW1unzAKBggqhkjOPQQDAgNIADBFAiEAthuAKizz
QRizTcN1Z9/7QPolJ+jdkZX99JiA/WKpwGkCIENbSbla+/kofCx4AtBQBCHkXEuy
lkeNfvmyIQUx7LZ3
-----END CERTIFICATE-----";
    /// For another name.
    pub const OTHER_NAME: &str = "\
-----BEGIN CERTIFICATE-----
MIIBkjCCATegAwIBAgIBFDAKBggqhkjOPQQDAjAZMRcwFQYDVQQDDA50ZXN0IGF1
dGhvcml0eTAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowFjEUMBIG
A1UEAwwLdGVzdCBzZXJ2ZXIwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATzLfLU
pt70RhJlcliLCFaivYjMONyQH9iWNqfDmFWlkQSC4E7Gv5ZML9m5kQT3i0ObCt6u
RLcB7nW7U6hPsgXdo3EwbzAYBgNVHREEETAPgg1vdGhlci5leGFtcGxlMBMGA1Ud
JQQMMAoGCCsGAQUFBwMBMB0GA1UdDgQWBBQIS+26ZGxIw9oKgdwTRw2HpYxMbjAf
BgNVHSMEGDAWgBTSPPqSIbxV1khWnz1Z9bKyeW1unzAKBggqhkjOPQQDAgNJADBG
AiEAi73pko1RR84zWQ2pXW08qfXurAKbmMjsqe9/0jPrHkICIQD47Wz+xKeWMiww
1k6fyMylemWqwtKmCzxMvN5O2Du7Yg==
-----END CERTIFICATE-----";
    /// For this machine, until 2020.
    pub const EXPIRED: &str = "\
-----BEGIN CERTIFICATE-----
MIIBhTCCASygAwIBAgIBFTAKBggqhkjOPQQDAjAZMRcwFQYDVQQDDA50ZXN0IGF1
dGhvcml0eTAeFw0yMDAxMDEwMDAwMDBaFw0yMDAyMDEwMDAwMDBaMBYxFDASBgNV
BAMMC3Rlc3Qgc2VydmVyMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8y3y1Kbe
9EYSZXJYiwhWor2IzDjckB/Yljanw5hVpZEEguBOxr+WTC/ZuZEE94tDmwrerkS3
Ae51u1OoT7IF3aNoMGYwDwYDVR0RBAgwBocEfwAAATATBgNVHSUEDDAKBggrBgEF
BQcDATAdBgNVHQ4EFgQUCEvtumRsSMPaCoHcE0cNh6WMTG4wHwYDVR0jBBgwFoAU
0jz6kiG8VdZIVp89WfWysnltbp8wCgYIKoZIzj0EAwIDRwAwRAIgQH2jeQHbevGD
RwJl8kvYY66mjaRycG0rhlnOdMbN1QMCICp7gE06JTBsCVPmq9zKnYPeBTozK0PD
m4S+ZwEnFzdm
-----END CERTIFICATE-----";
    /// For this machine, from 2090 on.
    pub const FUTURE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBijCCATCgAwIBAgIBFjAKBggqhkjOPQQDAjAZMRcwFQYDVQQDDA50ZXN0IGF1
dGhvcml0eTAiGA8yMDkwMDEwMTAwMDAwMFoYDzIwOTEwMTAxMDAwMDAwWjAWMRQw
EgYDVQQDDAt0ZXN0IHNlcnZlcjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABPMt
8tSm3vRGEmVyWIsIVqK9iMw43JAf2JY2p8OYVaWRBILgTsa/lkwv2bmRBPeLQ5sK
3q5EtwHudbtTqE+yBd2jaDBmMA8GA1UdEQQIMAaHBH8AAAEwEwYDVR0lBAwwCgYI
KwYBBQUHAwEwHQYDVR0OBBYEFAhL7bpkbEjD2gqB3BNHDYeljExuMB8GA1UdIwQY
MBaAFNI8+pIhvFXWSFafPVn1srJ5bW6fMAoGCCqGSM49BAMCA0gAMEUCIELTe+N+
8JBAzh9b6BF75jiyICuomqICN/Ttgo8Ig5o7AiEAknBx0CGErFqimmT0gSOdU1+S
b4tTqguJgoEZ/LB/Ccs=
-----END CERTIFICATE-----";
    /// Another authority, for clients.
    pub const CLIENT_AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBjTCCATOgAwIBAgIUUC4G/6iiEii4koZhsPsTf0AtzFswCgYIKoZIzj0EAwIw
GzEZMBcGA1UEAwwQY2xpZW50IGF1dGhvcml0eTAgFw0yNjExMzAwMjMwNTRaGA8y
MTI2MTEwNjAyMzA1NFowGzEZMBcGA1UEAwwQY2xpZW50IGF1dGhvcml0eTBZMBMG
ByqGSM49AgEGCCqGSM49AwEHA0IABG6SRWMs+5N62X8Nd5R3PqrG+gdh8d8lGnGe
9116Ic3OV+ZgOEOOot4Mg9jItSPfD2THn8f/l+oltLkdRUErmQ2jUzBRMB0GA1Ud
DgQWBBSCM6tbY+2/UWzbTRzULz65v9yg9zAfBgNVHSMEGDAWgBSCM6tbY+2/UWzb
TRzULz65v9yg9zAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIQCH
wqOGKeAMBHLU5JmJ6c8l9me+9pu3FDBARyN2uVJrWAIgUqchdBdPq6vJars/xu2w
1mG6Vl79FiHXY/KLX+kXkWI=
-----END CERTIFICATE-----";
    /// The certificate of a client.
    pub const CLIENT: &str = "\
-----BEGIN CERTIFICATE-----
MIIBhjCCAS2gAwIBAgIUeVqVLoQ7we+4mY4djvqhmrBLO7AwCgYIKoZIzj0EAwIw
GzEZMBcGA1UEAwwQY2xpZW50IGF1dGhvcml0eTAgFw0yNjExMzAwMjMwNTRaGA8y
MTI2MTEwNjAyMzA1NFowETEPMA0GA1UEAwwGY2xpZW50MFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAEWpBoptwn5QpGtnItIo+7wjn8XZubhiGvuZm/ItBWz7u6Gt5L
fdm6rKLnNKJ5QTVa/0X48hVz5MDYcqlWJ4oMp6NXMFUwEwYDVR0lBAwwCgYIKwYB
BQUHAwIwHQYDVR0OBBYEFCe4alhuZu8h2cVqoxShUSLGvjaGMB8GA1UdIwQYMBaA
FIIzq1tj7b9RbNtNHNQvPrm/3KD3MAoGCCqGSM49BAMCA0cAMEQCIEJQywXKsX2w
uqJeiAq/WhihN0PXg+kC6iHW9qkvoCE1AiAFv/McvEAT7LuAmKAXJsT1WdEGtsiv
OFIaoiC1TS0rDQ==
-----END CERTIFICATE-----";
    /// Its key, which protects nothing.
    pub const CLIENT_KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgqQnpAzbQcrC4dYDx
jNldma2D93sVMJEi3H5ylXlSDmyhRANCAARakGim3CflCka2ci0ij7vCOfxdm5uG
Ia+5mb8i0FbPu7oa3kt92bqsouc0onlBNVr/RfjyFXPkwNhyqVYnigyn
-----END PRIVATE KEY-----";
}
