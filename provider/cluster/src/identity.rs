//! The client's certificate.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::spki::SubjectPublicKeyInfoRef;

/// A certificate with its chain and its key.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) key: Arc<CertifiedKey>,
    /// When the certificate ends.
    pub(crate) until: Option<Timestamp>,
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }
}

impl Identity {
    /// Reads a certificate and its key from PEM.
    ///
    /// rustls itself refuses certificates of X.509 version 1, as `openssl x509 -req` and `MicroK8s` make them. It is
    /// the server that decides about a client's certificate, so its version does not matter here.
    ///
    /// # Errors
    /// What is wrong, without a part of either.
    pub(crate) fn new(certificate: &[u8], key: &[u8]) -> Result<Self, String> {
        let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|_| "the client certificate is not PEM")?;
        let leaf = chain
            .first()
            .ok_or("the client certificate is no PEM certificate")?;
        let key = PrivateKeyDer::from_pem_slice(key);
        let key = key.map_err(|_| "the client key is no PEM private key")?;
        let key = any_supported_type(&key).map_err(|_| {
            "the client key is no RSA key of at least 2048 bits, and no ECDSA or Ed25519 key either"
        })?;
        let parsed = Certificate::from_der(leaf).ok();
        if parsed.as_ref().is_some_and(|of| !fits(of, key.as_ref())) {
            return Err("the client key is not the key of the client certificate".into());
        }
        let until = parsed.and_then(|of| {
            let end = of.tbs_certificate.validity.not_after.to_unix_duration();
            Timestamp::from_second(i64::try_from(end.as_secs()).ok()?).ok()
        });
        let key = Arc::new(CertifiedKey::new(chain, key));
        Ok(Self { key, until })
    }
}

/// Whether a private key belongs to a certificate, if both can be compared.
fn fits(certificate: &Certificate, key: &dyn SigningKey) -> bool {
    let Some(public) = key.public_key() else {
        return true;
    };
    SubjectPublicKeyInfoRef::from_der(&public).is_ok_and(|public| {
        let of_certificate = &certificate.tbs_certificate.subject_public_key_info;
        public.subject_public_key.raw_bytes() == of_certificate.subject_public_key.raw_bytes()
    })
}
