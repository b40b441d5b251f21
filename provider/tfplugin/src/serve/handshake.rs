//! The handshake of go-plugin: environment variables, and the line that answers them.
//!
//! **Invariant**: nothing is written to standard output before the handshake line.

use std::ffi::OsString;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rustls::pki_types::CertificateDer;

use super::error::ServeError;
use super::listen::{Address, Place};

const COOKIE: &str = "TF_PLUGIN_MAGIC_COOKIE";
const COOKIE_VALUE: &str = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";

/// The plugin's environment as Terraform sets it.
#[derive(Debug)]
pub(super) struct Environment {
    /// Where to listen.
    pub(super) place: Place,
    /// Certificate of the client, as PEM. Present: only this client may connect, and only by TLS.
    pub(super) client_certificate: Option<String>,
    /// Whether the client supports multiplexing, which adds a field to the line.
    requests_multiplexing: bool,
}

impl Environment {
    /// Reads the variables that `get` knows.
    ///
    /// `PLUGIN_PROTOCOL_VERSIONS` is not needed: only version 6 is served, and a client that
    /// does not speak it reports that itself, best.
    ///
    /// # Errors
    /// [`ServeError::Cookie`] if a person, not Terraform, started the process.
    pub(super) fn read(get: impl Fn(&str) -> Option<OsString>) -> Result<Self, ServeError> {
        if get(COOKIE).is_none_or(|value| value != COOKIE_VALUE) {
            return Err(ServeError::Cookie);
        }
        let text = |name: &str| {
            let value = get(name).filter(|value| !value.is_empty())?;
            Some(value.to_string_lossy().into_owned())
        };
        Ok(Self {
            place: Place::read(&get),
            client_certificate: text("PLUGIN_CLIENT_CERT"),
            requests_multiplexing: text("PLUGIN_MULTIPLEX_GRPC").is_some(),
        })
    }

    /// Returns the one line that Terraform waits for, without its end.
    pub(super) fn line(
        &self,
        address: &Address,
        certificate: Option<&CertificateDer<'_>>,
    ) -> String {
        let network = address.network();
        // go-plugin decodes without padding and refuses any.
        let certificate = certificate
            .map(|der| STANDARD_NO_PAD.encode(der))
            .unwrap_or_default();
        let multiplexing = if self.requests_multiplexing {
            "|false"
        } else {
            ""
        };
        format!("1|6|{network}|{address}|grpc|{certificate}{multiplexing}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Environment, ServeError> {
        Environment::read(|name| {
            let found = variables.iter().find(|(key, _)| *key == name)?;
            Some(found.1.into())
        })
    }

    #[test]
    fn only_the_right_cookie_is_accepted() {
        assert!(matches!(read(&[]), Err(ServeError::Cookie)));
        assert!(matches!(
            read(&[(COOKIE, "cookie")]),
            Err(ServeError::Cookie)
        ));
        assert!(read(&[(COOKIE, COOKIE_VALUE)]).is_ok());
    }

    #[test]
    fn the_line_has_six_fields_and_an_unpadded_certificate() {
        let address = Address::Tcp(([127, 0, 0, 1], 10_000).into());
        let line = |extra: &[(&str, &str)], certificate: Option<&[u8]>| {
            let variables = [&[(COOKIE, COOKIE_VALUE)], extra].concat();
            read(&variables)
                .unwrap()
                .line(&address, certificate.map(CertificateDer::from).as_ref())
        };
        assert_eq!(line(&[], None), "1|6|tcp|127.0.0.1:10000|grpc|");
        assert_eq!(line(&[], Some(b"a")), "1|6|tcp|127.0.0.1:10000|grpc|YQ");
        assert_eq!(
            line(&[("PLUGIN_MULTIPLEX_GRPC", "true")], None),
            "1|6|tcp|127.0.0.1:10000|grpc||false"
        );
    }
}
