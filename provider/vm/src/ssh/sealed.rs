//! Opens encrypted keys in OpenSSH's form (`PROTOCOL.key` in its sources).
//!
//! Only the envelope is read here, never the key inside: `ssh-key` 0.6 refuses the one ECDSA key in
//! 256 whose number begins with a zero byte, and knows fewer types than OpenSSH.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use ssh_key::PrivateKey;

use crate::KeyError;

const MAGIC: &[u8] = b"openssh-key-v1\0";

/// Returns the key without its encryption, in OpenSSH's form.
pub(super) fn open(key: &PrivateKey, passphrase: &SecretString) -> Result<SecretString, KeyError> {
    let damaged = |error: ssh_key::Error| KeyError::Damaged(error.to_string());
    if key.cipher().has_tag() {
        // ssh-keygen writes these only on request; the tag shows a wrong passphrase.
        let open = key.decrypt(passphrase.expose_secret());
        let open = open.map_err(|_| KeyError::Passphrase)?;
        let text = open.to_openssh(ssh_key::LineEnding::LF).map_err(damaged)?;
        return Ok(text.as_str().into());
    }
    let cipher = key.cipher();
    let derived = key
        .kdf()
        .derive_key_and_iv(cipher, passphrase.expose_secret());
    let (secret, iv) = derived.map_err(damaged)?;
    let mut private = key.key_data().encrypted().unwrap_or_default().to_vec();
    let opened = cipher.decrypt(&secret, &iv, &mut private, None);
    opened.map_err(|_| KeyError::Damaged("its length is wrong".into()))?;
    // It begins with the same four bytes twice, for this very check.
    if private.len() < 8 || private[..4] != private[4..8] {
        return Err(KeyError::Passphrase);
    }
    let public = key.public_key().to_bytes().map_err(damaged)?;
    Ok(unencrypted(&public, &private))
}

fn unencrypted(public: &[u8], private: &[u8]) -> SecretString {
    let mut wire = MAGIC.to_vec();
    for part in [b"none".as_slice(), b"none", b""] {
        push(&mut wire, part);
    }
    wire.extend(1_u32.to_be_bytes());
    push(&mut wire, public);
    push(&mut wire, private);
    let mut text = String::from("-----BEGIN OPENSSH PRIVATE KEY-----\n");
    for (at, sign) in STANDARD.encode(wire).chars().enumerate() {
        if at > 0 && at % 70 == 0 {
            text.push('\n');
        }
        text.push(sign);
    }
    text.push_str("\n-----END OPENSSH PRIVATE KEY-----\n");
    text.into()
}

/// A part of a key is far below 4 GiB; were it not, OpenSSH would refuse what comes out.
fn push(wire: &mut Vec<u8>, part: &[u8]) {
    wire.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
    wire.extend(part);
}

/// Whether this is an unencrypted key with nothing missing: what it holds is OpenSSH's to judge.
pub(super) fn is_whole(pem: &str) -> bool {
    let body: String = pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let wire = STANDARD.decode(body).unwrap_or_default();
    let Some(mut rest) = wire.strip_prefix(MAGIC) else {
        return false;
    };
    let header = [take(&mut rest), take(&mut rest), take(&mut rest)];
    let one = rest.split_off(..4);
    let keys = [take(&mut rest), take(&mut rest)];
    header[0] == Some(b"none")
        && one == Some(&[0, 0, 0, 1])
        && keys.iter().all(Option::is_some)
        && rest.is_empty()
}

/// Takes a string: four bytes of length, then as many.
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_first_chunk::<4>()?;
    let (part, behind) = behind.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = behind;
    Some(part)
}
