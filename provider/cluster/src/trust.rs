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
use x509_cert::der::oid::db::rfc5280 as oid;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};
use x509_cert::time::Validity;
use x509_cert::{Certificate, TbsCertificate, Version};

/// Extensions that Go knows: a CA with another one that is critical is none.
const KNOWN: [ObjectIdentifier; 12] = [
    oid::ID_CE_SUBJECT_KEY_IDENTIFIER,
    oid::ID_CE_KEY_USAGE,
    oid::ID_CE_SUBJECT_ALT_NAME,
    oid::ID_CE_BASIC_CONSTRAINTS,
    oid::ID_CE_NAME_CONSTRAINTS,
    oid::ID_CE_CRL_DISTRIBUTION_POINTS,
    oid::ID_CE_CERTIFICATE_POLICIES,
    oid::ID_CE_POLICY_MAPPINGS,
    oid::ID_CE_AUTHORITY_KEY_IDENTIFIER,
    oid::ID_CE_POLICY_CONSTRAINTS,
    oid::ID_CE_EXT_KEY_USAGE,
    oid::ID_CE_INHIBIT_ANY_POLICY,
];

/// The configured CAs, by the rules of Go's `crypto/x509`, by which kubectl goes.
///
/// A server whose own certificate is one of them is accepted without a chain: self-signed or issued by somebody else,
/// and whether or not it is a CA's. webpki knows no such case. Name, validity, purpose and the proof of the key are
/// checked as for every other certificate. What is no CA accepts nothing but itself. webpki asks nothing of the CAs that
/// it is given, so they are checked here: usage and purpose once, validity at each handshake.
#[derive(Debug)]
pub(crate) struct Authorities {
    themselves: Vec<CertificateDer<'static>>,
    issuers: Vec<Issuer>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// A CA.
#[derive(Debug)]
struct Issuer {
    certificate: CertificateDer<'static>,
    validity: Validity,
    /// Whether it may issue certificates of servers only, and none of another CA.
    is_last: IsLast,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IsLast {
    Yes,
    No,
}

impl Authorities {
    /// # Errors
    /// None of the certificates can be used. As in Go, one that cannot is passed over beside others.
    pub(crate) fn new(certificates: &[Vec<u8>]) -> Result<Self, Error> {
        let themselves: Vec<_> = certificates
            .iter()
            .map(|der| CertificateDer::from(der.clone()))
            .collect();
        let parsed = |of: &CertificateDer<'_>| Certificate::from_der(of).ok();
        if !themselves.iter().any(|of| parsed(of).is_some()) {
            return Err(Error::General("no CA certificate can be used".into()));
        }
        let issuers = themselves.iter().filter_map(|of| {
            let parsed = parsed(of)?.tbs_certificate;
            may_issue(&parsed).then(|| Issuer {
                certificate: of.clone(),
                validity: parsed.validity,
                is_last: is_last(&parsed),
            })
        });
        Ok(Self {
            issuers: issuers.collect(),
            themselves,
            algorithms: aws_lc_rs::default_provider().signature_verification_algorithms,
        })
    }

    /// Returns webpki's verifier for the CAs that are valid now.
    fn chains(
        &self,
        is_last: IsLast,
        now: UnixTime,
    ) -> Result<Option<Arc<WebPkiServerVerifier>>, Error> {
        let issuers = self.issuers.iter().filter(|of| of.is_last == is_last);
        let issuers = issuers.filter(|of| check_validity(&of.validity, now).is_ok());
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(issuers.map(|of| of.certificate.clone()));
        if roots.is_empty() {
            return Ok(None);
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let built = built.map_err(|error| Error::General(error.to_string()))?;
        Ok(Some(built))
    }
}

/// Whether a certificate may issue others. One of version 1 cannot say.
fn may_issue(certificate: &TbsCertificate) -> bool {
    let extensions = certificate.extensions.iter().flatten();
    let mut critical = extensions.filter(|of| of.critical);
    let is_ca = match certificate.get::<BasicConstraints>() {
        Ok(Some((_, of))) => of.ca,
        Ok(None) => certificate.version != Version::V3,
        Err(_) => false,
    };
    is_ca
        && critical.all(|of| KNOWN.contains(&of.extn_id))
        && may_sign(certificate)
        && check_purpose(certificate).is_ok()
}

/// Whether the usage of a key, if one is named, includes certificates.
fn may_sign(certificate: &TbsCertificate) -> bool {
    match certificate.get::<KeyUsage>() {
        Ok(Some((_, usage))) => usage.0.is_empty() || usage.key_cert_sign(),
        Ok(None) => true,
        Err(_) => false,
    }
}

fn is_last(certificate: &TbsCertificate) -> IsLast {
    match certificate.get::<BasicConstraints>() {
        Ok(Some((_, of))) if of.path_len_constraint == Some(0) => IsLast::Yes,
        _ => IsLast::No,
    }
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
        let intermediates: Vec<_> = intermediates
            .iter()
            .filter(|of| Certificate::from_der(of).is_ok_and(|of| may_sign(&of.tbs_certificate)))
            .cloned()
            .collect();
        let mut wrong = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let ways = [(IsLast::Yes, &[][..]), (IsLast::No, &intermediates)];
        for (is_last, intermediates) in ways {
            let Some(chains) = self.chains(is_last, now)? else {
                continue;
            };
            match chains.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ) {
                Err(error) => wrong = error,
                verified => return verified,
            }
        }
        Err(wrong)
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
    let Ok(parsed) = Certificate::from_der(certificate) else {
        return Err(Error::InvalidCertificate(CertificateError::BadEncoding));
    };
    check_validity(&parsed.tbs_certificate.validity, now)
        .and_then(|()| check_purpose(&parsed.tbs_certificate))
        .map_err(Error::InvalidCertificate)?;
    Ok(ServerCertVerified::assertion())
}

fn check_validity(validity: &Validity, now: UnixTime) -> Result<(), CertificateError> {
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet);
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired);
    }
    Ok(())
}

/// Checks that the purposes, if any are named, include servers.
fn check_purpose(certificate: &TbsCertificate) -> Result<(), CertificateError> {
    let serves = |purpose: &ObjectIdentifier| {
        [oid::ID_KP_SERVER_AUTH, oid::ANY_EXTENDED_KEY_USAGE].contains(purpose)
    };
    match certificate.get::<ExtendedKeyUsage>() {
        Ok(None) => Ok(()),
        Ok(Some((_, purposes))) if purposes.0.iter().any(serves) => Ok(()),
        Ok(Some(_)) => Err(CertificateError::InvalidPurpose),
        Err(_) => Err(CertificateError::BadEncoding),
    }
}
