//! TLS before a registry that has none, with a certificate that nobody signed.

use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Made by `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj /CN=nobody
/// -addext subjectAltName=IP:127.0.0.1`.
const CERTIFICATE: &str = "\
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
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
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
