//! Mutual TLS as go-plugin sets it up: two self-signed certificates, each pinned by the other side.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};
use tokio_rustls::TlsAcceptor;

use super::error::ServeError;

/// Longer than any run of Terraform.
const LIFETIME: Duration = Duration::from_hours(365 * 24);
/// Clocks of client and server may differ: both run on one machine, but in different namespaces of time.
const BACKDATE: Duration = Duration::from_secs(30);

/// The server's side of mutual TLS.
pub(super) struct Tls {
    /// The certificate in the handshake line, which the client trusts.
    pub(super) certificate: CertificateDer<'static>,
    /// Accepts exactly one client: the one whose certificate was given.
    pub(super) acceptor: TlsAcceptor,
}

impl Tls {
    /// Makes a key and a certificate, for the client that owns the certificate `client_pem`.
    ///
    /// # Errors
    /// [`ServeError::ClientCertificate`] if the PEM holds none, [`ServeError::Certificate`], [`ServeError::Tls`].
    pub(super) fn new(client_pem: &str) -> Result<Self, ServeError> {
        let client = CertificateDer::from_pem_slice(client_pem.as_bytes())
            .map_err(ServeError::ClientCertificate)?;
        let (certificate, key) = self_signed().map_err(ServeError::Certificate)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Arc::new(OneClient {
            certificate: client,
            provider: provider.clone(),
        });
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                let builder = builder.with_client_cert_verifier(verifier);
                builder.with_single_cert(vec![certificate.clone()], key.into())
            })
            .map_err(ServeError::Tls)?;
        // grpc-go from 1.67 on refuses a server that does not agree on this.
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            certificate,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }
}

/// Go checks the name `localhost`, the validity and the purpose.
fn self_signed() -> Result<(CertificateDer<'static>, PrivatePkcs8KeyDer<'static>), rcgen::Error> {
    let now = rcgen::date_time_ymd(1970, 1, 1)
        + SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
    let mut params = CertificateParams::new(["localhost".to_owned()])?;
    params.not_before = now - BACKDATE;
    params.not_after = now + LIFETIME;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.der().clone(), key.serialize_der().into()))
}

/// Accepts one certificate, byte by byte.
///
/// go-plugin's client certificate is a self-signed CA with a P-521 key. The usual verifiers refuse a CA
/// as end entity, and of the usual providers only aws-lc-rs checks P-521.
#[derive(Debug)]
struct OneClient {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for OneClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if *end_entity == self.certificate {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
