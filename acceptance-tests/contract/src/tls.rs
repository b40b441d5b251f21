//! The client's side of go-plugin's mutual TLS.

use std::fmt;
use std::io;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    PKCS_ECDSA_P521_SHA512,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A certificate like the one that Terraform creates for each process: self-signed, P-521, marked as a CA.
pub struct ClientCertificate {
    certificate: Certificate,
    key: KeyPair,
}

impl ClientCertificate {
    /// Creates a key and its certificate.
    ///
    /// # Errors
    /// Fails if the system cannot provide randomness.
    pub fn new() -> io::Result<Self> {
        let make = || {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512)?;
            let mut params = CertificateParams::new(["localhost".to_owned()])?;
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.extended_key_usages = vec![
                ExtendedKeyUsagePurpose::ClientAuth,
                ExtendedKeyUsagePurpose::ServerAuth,
            ];
            Ok(Self {
                certificate: params.self_signed(&key)?,
                key,
            })
        };
        make().map_err(io::Error::other::<rcgen::Error>)
    }

    /// Returns the certificate, without the key.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}

/// Establishes TLS over `stream` with the owner of the certificate `server`, and negotiates HTTP/2.
pub(crate) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    server: &[u8],
    certificate: Option<&ClientCertificate>,
) -> io::Result<TlsStream<S>> {
    let pinned = Pinned::new(CertificateDer::from(server.to_vec())).map_err(io::Error::other)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned));
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let key = rustls::pki_types::PrivatePkcs8KeyDer::from(own.key.serialize_der());
            builder
                .with_client_auth_cert(vec![own.certificate.der().clone()], key.into())
                .map_err(io::Error::other)?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Ok(stream),
        _ => Err(io::Error::other("the server did not agree on h2")),
    }
}

/// Trusts one certificate if it is currently valid and issued for a server with the expected name.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    usual: Arc<WebPkiServerVerifier>,
}

impl Pinned {
    fn new(certificate: CertificateDer<'static>) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone())?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Self {
            certificate,
            usual: usual.map_err(|error| Error::General(error.to_string()))?,
        })
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity != self.certificate {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        match self
            .usual
            .verify_server_cert(end_entity, intermediates, name, ocsp, now)
        {
            // Plugins in Go present a CA certificate, which only the default verifier rejects.
            Err(Error::InvalidCertificate(CertificateError::Other(_))) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}
