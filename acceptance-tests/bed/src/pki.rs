//! Certificates and keys of a Kubernetes control plane, as files.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use crate::{Error, Result};

/// Writes `ca.{crt,key}`, `server.{crt,key}`, `admin.{crt,key}` and `sa.{pub,key}` into a folder.
/// `names` are the host names and addresses of the API server.
pub(crate) fn write(folder: &Path, names: Vec<String>) -> Result<()> {
    let files = generate(names)
        .map_err(|error| Error::Refused(format!("cannot create certificates: {error}")))?;
    for (name, content) in files {
        write_private(&folder.join(name), content.as_bytes())?;
    }
    Ok(())
}

/// Writes a file that only its owner can read.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    let file = options
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(content))
        .map_err(Error::at("write", path))
}

fn generate(names: Vec<String>) -> std::result::Result<Vec<(&'static str, String)>, rcgen::Error> {
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.distinguished_name.push(DnType::CommonName, "test bed");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;

    let mut server = CertificateParams::new(names)?;
    server
        .distinguished_name
        .push(DnType::CommonName, "kube-apiserver");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let server_key = KeyPair::generate()?;
    let server = server.signed_by(&server_key, &ca)?;

    let mut admin = CertificateParams::new(Vec::new())?;
    admin.distinguished_name.push(DnType::CommonName, "admin");
    admin
        .distinguished_name
        .push(DnType::OrganizationName, "system:masters");
    admin.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let admin_key = KeyPair::generate()?;
    let admin = admin.signed_by(&admin_key, &ca)?;

    let accounts = KeyPair::generate()?;
    Ok(vec![
        ("ca.crt", ca.pem()),
        ("ca.key", ca.key().serialize_pem()),
        ("server.crt", server.pem()),
        ("server.key", server_key.serialize_pem()),
        ("admin.crt", admin.pem()),
        ("admin.key", admin_key.serialize_pem()),
        ("sa.pub", accounts.public_key_pem()),
        ("sa.key", accounts.serialize_pem()),
    ])
}
