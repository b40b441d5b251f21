//! Why a plugin process cannot serve.

use std::io;
use std::path::PathBuf;

/// Why a plugin process could not serve.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServeError {
    #[error(
        "This binary is a plugin. These are not meant to be executed directly.\n\
         Please execute the program that consumes these plugins, which will load any plugins automatically.\n\
         To debug it, start it with --debug."
    )]
    Cookie,
    #[error("PLUGIN_CLIENT_CERT holds no certificate as PEM")]
    ClientCertificate(#[source] rustls::pki_types::pem::Error),
    #[error("cannot make a certificate for the connection with Terraform")]
    Certificate(#[source] rcgen::Error),
    #[error("cannot set up TLS for the connection with Terraform")]
    Tls(#[source] rustls::Error),
    #[error("cannot listen at {address}")]
    Listen { address: String, source: io::Error },
    #[error("cannot set who may connect to {}", socket.display())]
    Restrict { socket: PathBuf, source: io::Error },
    #[error("PLUGIN_UNIX_SOCKET_GROUP names the group {0:?}, which is not in /etc/group")]
    Group(String),
    #[error("cannot start threads or handle signals")]
    Start(#[source] io::Error),
    #[error("cannot write to standard output")]
    Print(#[source] io::Error),
    #[error("the connection with Terraform failed")]
    Transport(#[source] tonic::transport::Error),
}
