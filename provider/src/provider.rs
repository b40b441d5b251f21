//! The provider: its block and the list of what is served.

use plugin::{
    DataRegistration, Diagnostic, Diagnostics, EphemeralRegistration, Path, Paths, Provider, Raw,
    Registration, Shape as _, data_source, ephemeral_resource, importable,
};

use crate::bundle::{EphemeralBundle, VmBundle};
use crate::context::{self, Context};
use crate::declared::vm_address;
use crate::fleet::VmFleet;
use crate::messages;
use crate::network_path::NetworkPath;
use crate::provider_config::{ProviderBlock, SshBlock};
use crate::workload::VmWorkload;

/// The provider `mesh`.
pub(crate) struct Mesh;

impl Provider for Mesh {
    type Config = ProviderBlock;
    type Context = Context;

    fn check(config: &ProviderBlock, unknown: &Paths) -> Diagnostics {
        let mut diagnostics = match unset(config) {
            Some(diagnostic) => diagnostic.into(),
            None => cluster(config),
        };
        if let Some(ssh) = config.ssh.known() {
            diagnostics.extend(identities(ssh, unknown));
            diagnostics.extend(identity(ssh, unknown));
            if let Some(bastion) = ssh.bastion.known() {
                diagnostics.append(bastion.proofs_twice());
                diagnostics.append(bastion.unverified());
            }
        }
        diagnostics
    }

    fn configure(&self, config: ProviderBlock) -> Result<Context, Diagnostics> {
        Ok(Context::new(&config))
    }

    fn reference(code: &str) -> String {
        messages::place(code)
    }

    fn resources() -> Vec<Registration<Context>> {
        vec![importable::<VmWorkload>(), importable::<VmFleet>()]
    }

    fn data_sources() -> Vec<DataRegistration<Context>> {
        vec![data_source::<NetworkPath>(), data_source::<VmBundle>()]
    }

    fn ephemeral_resources() -> Vec<EphemeralRegistration<Context>> {
        vec![ephemeral_resource::<EphemeralBundle>()]
    }
}

/// Reports a `kubernetes` block in which nothing is set: the environment would choose the cluster.
fn unset(config: &ProviderBlock) -> Option<Diagnostic> {
    let Raw::Map(attributes) = config.kubernetes.known()?.write() else {
        return None;
    };
    let unset = attributes.values().all(|value| *value == Raw::Null);
    unset.then(messages::kubernetes_unset)
}

/// Checks what the block says of the cluster, without asking it.
fn cluster(config: &ProviderBlock) -> Diagnostics {
    let settings = context::settings_if_known(config);
    let checked = settings.map(|settings| cluster::check(&settings, &context::environment));
    let block = config.kubernetes.known();
    let several = block.is_some_and(|block| block.config_paths.known().is_some());
    let attribute = if several {
        "config_paths"
    } else {
        "config_path"
    };
    match checked {
        Some(Err(error)) => messages::kubernetes_block(&error, attribute),
        _ => Diagnostics::default(),
    }
}

/// Checks each identity: a key that cannot be used is reported before any plan that needs it.
fn identities(block: &SshBlock, unknown: &Paths) -> Diagnostics {
    let at = |name: &str| Path::root().name("ssh").name("identities").key(name);
    let named = block.identities.known().into_iter().flatten();
    named
        .filter(|(name, _)| !unknown.is_unknown(at(name)))
        .filter_map(|(name, identity)| {
            vm_address::parse_identity(identity)
                .err()
                .map(|error| messages::key(&error).at(at(name).name("private_key")))
        })
        .collect()
}

/// Checks that the default identity exists.
fn identity(block: &SshBlock, unknown: &Paths) -> Option<Diagnostic> {
    let name = block.identity.known()?;
    let identities = block.identities.known().into_iter().flatten();
    let mut names = identities.map(|(name, _)| name);
    let is_known = !unknown.is_unknown("ssh.identities");
    (is_known && !names.any(|known| known == name))
        .then(|| vm_address::no_such_identity(name, block))
}
