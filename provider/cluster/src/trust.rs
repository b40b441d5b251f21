//! Which certificates of the API server are accepted, where its CAs are configured.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::oid::db::rfc5280::{ANY_EXTENDED_KEY_USAGE, ID_KP_SERVER_AUTH};
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage};
use x509_cert::{Certificate, Version};

/// The configured CAs, by the rules of Go's `crypto/x509`, by which kubectl goes.
///
/// A server whose own certificate is one of them is accepted without a chain: self-signed or issued by somebody else,
/// and whether or not it is a CA's. webpki knows no such case. Name, validity, purpose and the proof of the key are
/// checked as for every other certificate. What is no CA accepts nothing but itself.
#[derive(Debug)]
pub(crate) struct Authorities {
    themselves: Vec<CertificateDer<'static>>,
    /// `None`: none of them is a CA.
    chains: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Authorities {
    /// # Errors
    /// None of the certificates can be used. As in Go, one that cannot is passed over beside others.
    pub(crate) fn new(certificates: &[Vec<u8>]) -> Result<Self, Error> {
        let themselves: Vec<_> = certificates
            .iter()
            .map(|der| CertificateDer::from(der.clone()))
            .collect();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(themselves.iter().filter(|of| may_issue(of)).cloned());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let chains = (!roots.is_empty()).then(|| {
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()
        });
        let chains = chains.transpose();
        let chains = chains.map_err(|error| Error::General(error.to_string()))?;
        if chains.is_none()
            && !themselves
                .iter()
                .any(|of| Certificate::from_der(of).is_ok())
        {
            return Err(Error::General("no CA certificate can be used".into()));
        }
        Ok(Self {
            themselves,
            chains,
            algorithms,
        })
    }
}

/// Whether a certificate may issue others. One of version 1 cannot say.
fn may_issue(certificate: &[u8]) -> bool {
    let Ok(parsed) = Certificate::from_der(certificate) else {
        return true;
    };
    let certificate = parsed.tbs_certificate;
    certificate.version == Version::V1
        || matches!(certificate.get::<BasicConstraints>(), Ok(Some((_, of))) if of.ca)
}

impl ServerCertVerifier for Authorities {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.themselves.iter().any(|known| known == end_entity) {
            return verify_itself(end_entity, server_name, now);
        }
        let Some(chains) = &self.chains else {
            return Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        };
        chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Verifies a certificate that is trusted by itself.
fn verify_itself(
    certificate: &CertificateDer<'_>,
    server_name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, Error> {
    // It also refuses critical extensions that nobody understands.
    verify_server_name(&ParsedCertificate::try_from(certificate)?, server_name)?;
    let wrong = |error: CertificateError| Err(Error::InvalidCertificate(error));
    let Ok(parsed) = Certificate::from_der(certificate) else {
        return wrong(CertificateError::BadEncoding);
    };
    let validity = &parsed.tbs_certificate.validity;
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return wrong(CertificateError::NotValidYet);
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return wrong(CertificateError::Expired);
    }
    let serves =
        |purpose: &ObjectIdentifier| [ID_KP_SERVER_AUTH, ANY_EXTENDED_KEY_USAGE].contains(purpose);
    match parsed.tbs_certificate.get::<ExtendedKeyUsage>() {
        Ok(None) => Ok(ServerCertVerified::assertion()),
        Ok(Some((_, purposes))) if purposes.0.iter().any(serves) => {
            Ok(ServerCertVerified::assertion())
        }
        Ok(Some(_)) => wrong(CertificateError::InvalidPurpose),
        Err(_) => wrong(CertificateError::BadEncoding),
    }
}
