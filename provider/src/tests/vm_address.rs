//! What an error of a connection says about the machine.

use std::sync::Arc;
use std::time::Duration;

use vm::{Credentials, Hop, Target, Trust, VmError};

use crate::declared::vm_address::VmAddress;

fn address(trust: Trust) -> VmAddress {
    let vm = Hop {
        host: "10.0.0.5".into(),
        port: Some(22),
        user: None,
        trust,
    };
    VmAddress {
        target: Target {
            vm,
            bastions: vec![],
            connect_timeout: Duration::from_secs(10),
        },
        credentials: Credentials::default(),
    }
}

fn wrong_key(host: &str, found: Option<&str>) -> VmError {
    VmError::HostKey {
        host: host.into(),
        expected: "ssh-ed25519 SHA256:A".into(),
        found: found.map(str::to_owned),
    }
}

/// What a destroy may leave behind: the user must fix everything else first, since the proxy still runs.
#[test]
fn only_a_machine_that_is_silent_or_not_the_pinned_one_is_away() {
    let pinned = || Trust::HostKey(super::HOST_KEY.parse().unwrap());
    let known = || Trust::KnownHosts("other ssh-ed25519 AAAA".into());
    let authority = || Trust::CertificateAuthority(super::HOST_KEY.parse().unwrap());
    let other = || wrong_key("10.0.0.5", Some("ssh-ed25519 SHA256:B"));
    let of_bastion = VmError::Bastion {
        host: "jump".into(),
        source: Arc::new(wrong_key("jump", Some("ssh-ed25519 SHA256:B"))),
    };
    let refused = VmError::Connect {
        host: "10.0.0.5".into(),
        cause: "Connection refused".into(),
    };
    for (trust, error, away) in [
        (pinned(), other(), true),
        (pinned(), wrong_key("10.0.0.5", None), false),
        (pinned(), of_bastion, false),
        (known(), other(), false),
        (authority(), other(), false),
        (known(), refused, true),
    ] {
        assert_eq!(address(trust).is_away(&error), away, "{error:?}");
    }
}
