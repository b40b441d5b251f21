//! Small servers in front of the API server.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::bed::server;
use crate::certificates::Certified;

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Serves plain HTTP, as `kubectl proxy` does. Returns the port.
pub(crate) async fn in_plain(url: &str) -> u16 {
    let (listener, port) = listen().await;
    let address = url.trim_start_matches("https://").to_owned();
    tokio::spawn(async move {
        while let Ok((from, _)) = listener.accept().await {
            tokio::spawn(relay(from, address.clone()));
        }
    });
    port
}

/// Serves with a certificate. Returns the port.
pub(crate) async fn in_tls(url: &str, served: &Certified) -> u16 {
    let (listener, port) = listen().await;
    let address = url.trim_start_matches("https://").to_owned();
    let certificate = CertificateDer::from(served.certificate.clone());
    let key = PrivateKeyDer::try_from(served.key.clone()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    tokio::spawn(async move {
        while let Ok((from, _)) = listener.accept().await {
            let (acceptor, address) = (acceptor.clone(), address.clone());
            tokio::spawn(async move {
                if let Ok(from) = acceptor.accept(from).await {
                    relay(from, address).await;
                }
            });
        }
    });
    port
}

/// Connects a stream with the API server, as nobody.
async fn relay(mut from: impl AsyncRead + AsyncWrite + Unpin, address: String) {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(server().file("ca.crt"));
    roots.add(ca.unwrap()).unwrap();
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let to = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let to = TlsConnector::from(Arc::new(config)).connect(name, to).await;
    // Who has read enough hangs up.
    let _ = copy_bidirectional(&mut from, &mut to.unwrap()).await;
}

/// A SOCKS5 proxy without a login. Returns the port.
pub(crate) async fn socks() -> u16 {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((from, _)) = listener.accept().await {
            tokio::spawn(speak_socks(from));
        }
    });
    port
}

/// RFC 1928, for a connection to an address of IPv4.
async fn speak_socks(mut from: TcpStream) -> std::io::Result<()> {
    let mut greeting = [0; 2];
    from.read_exact(&mut greeting).await?;
    let mut methods = vec![0; greeting[1].into()];
    from.read_exact(&mut methods).await?;
    from.write_all(&[5, 0]).await?;
    let mut request = [0; 10];
    from.read_exact(&mut request).await?;
    let [5, 1, 0, 1, a, b, c, d, high, low] = request else {
        panic!("{request:?}")
    };
    let port = u16::from_be_bytes([high, low]);
    let mut to = TcpStream::connect((std::net::Ipv4Addr::new(a, b, c, d), port)).await?;
    from.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    copy_bidirectional(&mut from, &mut to).await.map(drop)
}
