//! The provider: its block and the list of what is served.

use mesh::Effect;
use tfplugin::{Diagnostics, Path, Paths, Provider, Registration, importable};

use crate::block::{ProviderBlock, SshBlock};
use crate::context::Context;
use crate::workload::VmWorkload;
use crate::{diagnose, ssh};

/// The provider `mesh`.
pub(crate) struct Mesh;

impl Provider for Mesh {
    const ADDRESS: &'static str = "registry.terraform.io/vm-mesh/mesh";

    type Effect = Effect;
    type Config = ProviderBlock;
    type Context = Context;

    fn check(config: &ProviderBlock, unknown: &Paths) -> Diagnostics {
        config
            .ssh
            .known()
            .map(|ssh| {
                let mut told = identities(ssh, unknown);
                let bastion = ssh.bastion.known();
                told.extend(
                    bastion.and_then(|bastion| ssh::unverified_bastion(bastion, "ssh.bastion")),
                );
                told
            })
            .unwrap_or_default()
    }

    fn configure(&self, config: ProviderBlock) -> Result<Context, Diagnostics> {
        Ok(Context::new(&config))
    }

    fn resources() -> Vec<Registration<Context>> {
        vec![importable::<VmWorkload>()]
    }
}

/// Checks each identity: a key that cannot be used is told before anything is planned with it.
fn identities(block: &SshBlock, unknown: &Paths) -> Diagnostics {
    let at = |name: &str| Path::root().name("ssh").name("identities").key(name);
    let named = block.identities.known().into_iter().flatten();
    named
        .filter(|(name, _)| !unknown.is_unknown(at(name)))
        .filter_map(|(name, identity)| {
            ssh::parse_identity(identity)
                .err()
                .map(|error| diagnose::key(&error).at(at(name).name("private_key")))
        })
        .collect()
}
