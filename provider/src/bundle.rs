//! The data source and the ephemeral resource `mesh_vm_bundle`, for a machine that joins by itself. Both take the same
//! description; they differ in where the token comes from.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use cluster::Cluster;
use mesh::desired::Bundle;
use mesh::names::{EnvName, Id, LabelKey, LabelValue, Name, Namespace, Network, PortName};
use mesh::workload::Workload;
use plugin::{
    DataSource, Diagnostic, Diagnostics, EphemeralResource, Found, Lease, Opened, Paths,
    SecretText, Text, Value, object,
};
use secrecy::ExposeSecret as _;
use tokio::time::Instant;
use vm::program::{Offload, Token};

use crate::context::Context;
use crate::declared::bundle::{BundleOutput, EphemeralOutput};
use crate::declared::health_check::HealthCheckInput;
use crate::declared::proxy::{ProxyInput, check_proxy, check_token_command};
use crate::declared::scalars::PortNumber;
use crate::messages::{self, Code, Message};
use crate::workload::input::WorkloadInput;

const NAME: &str = "mesh_vm_bundle";

/// Declares the attributes that both have, and those of one of them.
macro_rules! described {
    ($(#[doc = $about:literal])+ $Name:ident { $($own:tt)* }) => {
        object! {
            $(#[doc = $about])+
            pub struct $Name {
                /// Namespace of the workload.
                Required namespace: Text<Namespace>,
                /// Name of the workload, as in its `mesh_vm_workload`.
                Required name: Text<Name>,
                /// The IP address by which istiod knows the proxy: the workload's `address` if that is an IP address,
                /// otherwise its `instance_ip`. If unset, the VM uses the local address of its connection to the
                /// control plane, which must then be the workload's `address`.
                Optional instance_ip: IpAddr,
                /// Labels of the workload.
                Optional labels: BTreeMap<Text<LabelKey>, Text<LabelValue>>,
                /// Kubernetes service account in the VM's certificate. Default: `default`.
                Optional service_account: Text<Name>,
                /// Network of the VM. Default: that of the pods.
                Optional network: Text<Network>,
                /// Ports of the workload by name. If unset, every inbound port is captured.
                Optional ports: BTreeMap<Text<PortName>, PortNumber>,
                /// Additional environment variables for the proxy. They must not contain secrets.
                Optional env: BTreeMap<Text<EnvName>, String>,
                /// The `id` of the `mesh_vm_fleet` that the workload is a member of.
                Optional fleet: Text<Id>,
                /// Health probe of the application.
                Optional health_check: HealthCheckInput,
                /// How the proxy runs on the VM. Without `install` or `version`, a VM that has no package yet
                /// downloads Istio's release of the control plane's version.
                Optional proxy: ProxyInput,
                $($own)*
            }
        }

        impl $Name {
            /// Returns the workload as far as the VM is concerned; `None` while its name is unknown.
            fn workload(&self) -> Option<Workload> {
                WorkloadInput {
                    namespace: self.namespace.clone(),
                    name: self.name.clone(),
                    instance_ip: self.instance_ip,
                    labels: self.labels.clone(),
                    service_account: self.service_account.clone(),
                    network: self.network.clone(),
                    ports: self.ports.clone(),
                    env: self.env.clone(),
                    fleet: self.fleet.clone(),
                    health_check: self.health_check.clone(),
                    proxy: self.proxy.clone(),
                    ..WorkloadInput::default()
                }
                .workload()
            }
        }
    };
}

described! {
    /// Files, archive and cloud-init user data that join a machine to the mesh when it boots. They contain no token:
    /// the machine obtains one by running `token_command`. They do contain the mesh's `defaultConfig.proxyMetadata`
    /// and your `env`; if these are secret, use the ephemeral resource. Use it for the `user_data` of a VM that is
    /// created in the same apply; the VM's address need not be known.
    ///
    /// The outputs change with the mesh (its root certificate, its control plane) and with the provider. If a change
    /// of `user_data` replaces the machine, set `lifecycle { ignore_changes = [user_data] }`.
    BundleInput {
        /// Shell command that prints the token: a JWT of the workload's service account for the audience `istio-ca`.
        /// The VM runs it as root, bypassing the proxy: when it joins, at each start of the proxy, and every five
        /// minutes. It is in the state and in the user data. It must not contain secrets.
        Required token_command: String,
    }
}

described! {
    /// Files, archive and cloud-init user data that join a machine to the mesh, with a token created for it. They are
    /// in no state and no plan. Write them to where the machine gets them from, or pass them to a write-only
    /// attribute.
    EphemeralInput {
        /// Lifetime of the token in seconds; less than 600 counts as 600. The server may shorten it. Default: 3600.
        Optional token_seconds: u32,
    }
}

/// Returns whether a URL may contain a password or a signature.
fn may_hold_a_secret(url: &str) -> bool {
    url.contains(['@', '?'])
}

/// The data source.
pub(crate) struct VmBundle;

impl DataSource for VmBundle {
    const NAME: &'static str = NAME;

    type Input = BundleInput;
    type Output = BundleOutput;
    type Context = Context;

    fn check(input: &BundleInput, unknown: &Paths) -> Diagnostics {
        let mut diagnostics = check(input.workload(), unknown);
        diagnostics.extend(check_token_command(&input.token_command, "token_command"));
        diagnostics.extend(check_proxy(&input.proxy));
        diagnostics.extend(other_token_command(input));
        let install = input.workload().and_then(|workload| workload.proxy.install);
        if install.is_some_and(|install| may_hold_a_secret(&install.url)) {
            let text = "The package's URL has a user or a query, which may be a password or a signature. All outputs \
                        of this data source are in the state and in the machine's user data. Use a URL without them, \
                        or the ephemeral resource mesh_vm_bundle.";
            let message = Message::new(Code::BundleUrl).text(text);
            diagnostics.push(message.at("proxy").error());
        }
        diagnostics
    }

    async fn read(
        context: &Context,
        input: &BundleInput,
        _: Instant,
    ) -> Result<Found<BundleOutput>, Diagnostics> {
        let (bundle, warning) = bundle(context.cluster().await?, input.workload()).await?;
        let command = input.token_command.known().map_or("", String::as_str);
        let offload = Offload::new(&bundle, Token::Command(command));
        Ok(Found {
            output: BundleOutput::new(&bundle, &offload)?,
            diagnostics: warning.into_iter().collect(),
        })
    }
}

/// Refuses two commands: the VM would join by one, and renew its token by the other.
fn other_token_command(input: &BundleInput) -> Option<Diagnostic> {
    let proxy = input.proxy.known()?.token_command.known()?;
    let own = input.token_command.known()?;
    (own != proxy).then(|| {
        let text = format!(
            "proxy.token_command must be the same as token_command, got {proxy:?}. Remove it: the VM renews its token by token_command."
        );
        let message = Message::new(Code::TokenCommand).text(text);
        message.at("proxy.token_command").error()
    })
}

/// The ephemeral resource.
pub(crate) struct EphemeralBundle;

impl EphemeralResource for EphemeralBundle {
    const NAME: &'static str = NAME;

    type Input = EphemeralInput;
    type Output = EphemeralOutput;
    type Context = Context;

    fn check(input: &EphemeralInput, unknown: &Paths) -> Diagnostics {
        let mut diagnostics = check(input.workload(), unknown);
        diagnostics.extend(check_proxy(&input.proxy));
        diagnostics
    }

    async fn open(
        context: &Context,
        input: &EphemeralInput,
        _: Instant,
    ) -> Result<Opened<EphemeralOutput>, Diagnostics> {
        let cluster = context.cluster().await?;
        let (bundle, warning) = bundle(cluster, input.workload()).await?;
        let seconds = input.token_seconds.known().copied().unwrap_or(3600);
        let ttl = Duration::from_secs(seconds.into());
        let token = cluster.mint(&bundle.identity, ttl).await;
        let token = token.map_err(|error| messages::cluster(&error))?;
        let offload = Offload::new(&bundle, Token::Enclosed(&token.secret));
        let output = EphemeralOutput {
            token: Value::Known(SecretText::from(token.secret.expose_secret())),
            token_expires_at: Value::Known(token.expires.to_string()),
            ..EphemeralOutput::new(&bundle, &offload)?
        };
        // The token outlives the run, because the machine uses it later.
        let lease = Lease::default();
        Ok(Opened {
            output,
            lease,
            diagnostics: warning.into_iter().collect(),
        })
    }
}

fn check(workload: Option<Workload>, unknown: &Paths) -> Diagnostics {
    let Some(workload) = workload else {
        return Diagnostics::none();
    };
    let problems = mesh::validate::validate_bundle(&workload);
    let mut diagnostics = messages::problems(problems, unknown);
    diagnostics.extend(messages::of_pods_in_env(&workload));
    diagnostics
}

/// Renders the bundle from the facts of the cluster, with a warning about what it leaves out.
async fn bundle(
    cluster: &Cluster,
    workload: Option<Workload>,
) -> Result<(Bundle, Option<Diagnostic>), Diagnostics> {
    let workload = workload.ok_or_else(messages::incomplete)?;
    let facts = cluster.facts(&workload.id, &workload.service_account).await;
    let facts = facts.map_err(|error| messages::cluster(&error))?;
    let mut problems = mesh::conflicts::conflicts(&workload, &facts, &[]);
    match mesh::render::render_bundle(&workload, &facts) {
        Ok(bundle) if problems.is_empty() => Ok((bundle, messages::of_pods_in_mesh(&facts))),
        rendered => {
            problems.extend(rendered.err().unwrap_or_default());
            Err(messages::problems(problems, &Paths::default()))
        }
    }
}
