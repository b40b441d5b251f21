//! Certificates of servers and of a client, good ones and bad ones.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData as _, SigningKey as _,
    date_time_ymd,
};
use x509_cert::der::asn1::{BitString, ObjectIdentifier};
use x509_cert::der::{Decode as _, DecodePem as _, Encode as _};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::{Certificate, Version};

/// A certificate of 127.0.0.1 with its key.
pub(crate) struct Certified {
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

impl Certified {
    pub(crate) fn pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

/// A self-signed certificate that can issue others, whether it may or not.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

fn parameters(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::new(vec![name.into()]).unwrap();
    parameters
        .distinguished_name
        .push(DnType::CommonName, "a server");
    parameters
}

impl Authority {
    fn of(parameters: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(parameters, key).unwrap())
    }

    /// A CA.
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A CA whose certificate is changed before it is signed.
    pub(crate) fn with(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut ca = CertificateParams::new([]).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut ca);
        Self::of(ca)
    }

    /// CAs that may not issue a certificate of a server today, and ones that may.
    pub(crate) fn unfit_and_fit() -> [Vec<Self>; 2] {
        let unfit = vec![
            Self::with(|ca| {
                (ca.not_before, ca.not_after) =
                    (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
            }),
            Self::with(|ca| ca.not_before = date_time_ymd(2090, 1, 1)),
            Self::with(|ca| ca.key_usages = vec![KeyUsagePurpose::CrlSign]),
            Self::with(|ca| ca.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
            Self::with(|ca| {
                let mut unknown = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
                unknown.set_criticality(true);
                ca.custom_extensions = vec![unknown];
            }),
            Self::with(|ca| ca.is_ca = IsCa::NoCa),
        ];
        let fit = vec![
            Self::with(|ca| ca.key_usages = vec![KeyUsagePurpose::KeyCertSign]),
            Self::with(|ca| ca.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
            Self::with(|ca| ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))),
        ];
        [unfit, fit]
    }

    /// A CA that is a server itself, as `openssl req -x509` makes it.
    pub(crate) fn of_server() -> Self {
        let mut server = parameters("127.0.0.1");
        server.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self::of(server)
    }

    /// A server that is no CA.
    pub(crate) fn of_leaf() -> Self {
        let mut server = parameters("127.0.0.1");
        server.is_ca = IsCa::ExplicitNoCa;
        Self::of(server)
    }

    /// A server with another name.
    pub(crate) fn elsewhere() -> Self {
        Self::of(parameters("192.0.2.1"))
    }

    pub(crate) fn expired() -> Self {
        let mut server = parameters("127.0.0.1");
        server.not_before = date_time_ymd(2000, 1, 1);
        server.not_after = date_time_ymd(2001, 1, 1);
        Self::of(server)
    }

    /// A certificate that is only for clients.
    pub(crate) fn of_clients() -> Self {
        let mut server = parameters("127.0.0.1");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Self::of(server)
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn key(&self) -> String {
        self.0.key().serialize_pem()
    }

    pub(crate) fn itself(&self) -> Certified {
        Certified {
            certificate: self.0.der().to_vec(),
            key: self.0.key().serialize_der(),
        }
    }

    /// Issues a certificate for a server.
    pub(crate) fn leaf(&self) -> Certified {
        let key = KeyPair::generate().unwrap();
        let leaf = parameters("127.0.0.1").signed_by(&key, &self.0).unwrap();
        Certified {
            certificate: leaf.der().to_vec(),
            key: key.serialize_der(),
        }
    }
}

/// Issues a client's certificate of X.509 version 1, as PEM with its key.
pub(crate) fn version_1(subject: &str, ca: &str, ca_key: &str) -> (String, String) {
    let ca = Certificate::from_pem(ca).unwrap().tbs_certificate;
    let key = KeyPair::generate().unwrap();
    let ecdsa_with_sha256 = AlgorithmIdentifierOwned {
        oid: ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2"),
        parameters: None,
    };
    let mut certificate = ca.clone();
    certificate.version = Version::V1;
    certificate.signature = ecdsa_with_sha256.clone();
    certificate.issuer = ca.subject;
    certificate.subject = subject.parse().unwrap();
    certificate.subject_public_key_info =
        SubjectPublicKeyInfoOwned::from_der(&key.subject_public_key_info()).unwrap();
    certificate.extensions = None;
    let signed = certificate.to_der().unwrap();
    let signature = KeyPair::from_pem(ca_key).unwrap().sign(&signed).unwrap();
    let certificate = Certificate {
        tbs_certificate: certificate,
        signature_algorithm: ecdsa_with_sha256,
        signature: BitString::from_bytes(&signature).unwrap(),
    };
    let certificate = pem("CERTIFICATE", &certificate.to_der().unwrap());
    (certificate, key.serialize_pem())
}
