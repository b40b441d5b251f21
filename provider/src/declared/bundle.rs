//! What a machine receives that joins by itself: the outputs of the data source and the ephemeral resource.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mesh::desired::Bundle;
use plugin::{Diagnostic, SecretText, Value, object};
use vm::program::Offload;

use crate::messages::{Code, Message};

/// Declares the outputs that both have, some of them secret in one, and those of one of them.
macro_rules! received {
    ($(#[doc = $about:literal])+ $Name:ident of $Content:ty {
        $(#[doc = $archive:literal])+ archive_base64,
        $(#[doc = $user_data:literal])+ user_data,
        $($own:tt)*
    }) => {
        object! {
            $(#[doc = $about])+
            pub struct $Name {
                /// The proxy's files, by their path on the VM.
                Computed files: BTreeMap<String, String>,
                /// The line for the VM's `/etc/hosts` that gives the control plane's address, if there is one.
                Computed hosts_line: String,
                $(#[doc = $archive])+
                Computed archive_base64: $Content,
                $(#[doc = $user_data])+
                Computed user_data: $Content,
                /// The same, compressed and in base64, for clouds with a small size limit.
                Computed user_data_base64: $Content,
                /// SHA-256 of the VM's files, without secrets. It equals the workload's `bundle_digest` if
                /// `instance_ip` is set.
                Computed digest: String,
                /// SPIFFE ID of the VM: `spiffe://trust-domain/ns/namespace/sa/account`.
                Computed spiffe_id: String,
                /// Address at which the VM reaches istiod, `host:port`.
                Computed control_plane: String,
                $($own)*
            }
        }

        impl $Name {
            /// Returns the outputs that both have.
            #[allow(
                clippy::needless_update,
                reason = "one of them has no outputs of its own"
            )]
            pub(crate) fn new(bundle: &Bundle, offload: &Offload) -> Result<Self, Diagnostic> {
                let content = |text: String| Value::Known(<$Content>::from(text.as_str()));
                Ok(Self {
                    files: files(bundle),
                    hosts_line: bundle.hosts_line.clone().into(),
                    archive_base64: content(archive(offload)?),
                    user_data: content(offload.user_data()),
                    user_data_base64: content(offload.user_data_base64()),
                    digest: Value::Known(bundle.digest().to_string()),
                    spiffe_id: Value::Known(bundle.identity.to_string()),
                    control_plane: Value::Known(bundle.control_plane.clone()),
                    ..Self::default()
                })
            }
        }
    };
}

received! {
    /// What the VM receives.
    BundleOutput of String {
        /// The archive, a `.tar.gz` in base64. Run as root, its `sh install.sh` joins the VM, and `sh install.sh
        /// remove` removes it.
        archive_base64,
        /// User data for cloud-init: it writes the archive's files to `/var/lib/mesh-vm` and joins the VM.
        user_data,
    }
}

received! {
    /// What the VM receives, with its token.
    EphemeralOutput of SecretText {
        /// The archive with the token, a `.tar.gz` in base64. Run as root, its `sh install.sh` joins the VM, and `sh
        /// install.sh remove` removes it.
        archive_base64,
        /// User data for cloud-init, with the token: it writes the archive's files to `/var/lib/mesh-vm` and joins
        /// the VM.
        user_data,
        /// The token.
        Computed token: SecretText,
        /// When the token expires, RFC 3339.
        Computed token_expires_at: String,
    }
}

fn files(bundle: &Bundle) -> Value<BTreeMap<String, String>> {
    let files = bundle.files.iter().map(|file| {
        let text = String::from_utf8_lossy(&file.content).into_owned();
        (file.path.clone(), text)
    });
    Value::Known(files.collect())
}

fn archive(offload: &Offload) -> Result<String, Diagnostic> {
    let archive = offload.archive();
    let archive = archive.map_err(|error| {
        Message::new(Code::ArchiveNotWritten)
            .text(format!("{error}."))
            .error()
    })?;
    Ok(STANDARD.encode(archive))
}
