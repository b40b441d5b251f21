//! The provider block. Nothing of it is stored; ephemeral values may be used everywhere.

use std::collections::BTreeMap;

use mesh::Address;
use mesh::names::{Fqdn, Name, Namespace, ReleaseUrl};
use plugin::{SecretText, Text, object};

use crate::workload::input::BastionInput;
use crate::workload::leaf::{CheckOnRefresh, PortNumber};

object! {
    /// Makes virtual machines members of an Istio mesh.
    pub struct ProviderBlock {
        /// Connection to the cluster, named as in the kubernetes provider. Unset: `KUBE_CONFIG_PATH`, `KUBECONFIG`,
        /// then the service account of the pod that Terraform runs in.
        Optional kubernetes: KubernetesBlock,
        /// What cannot be read from the cluster, or should not be.
        Optional istio: IstioBlock,
        /// Credentials for the VMs, and defaults for their `ssh`.
        Optional ssh: SshBlock,
    }
}

object! {
    /// Connection to the cluster.
    pub struct KubernetesBlock {
        /// Path of a kubeconfig file.
        Optional config_path: String,
        /// Paths of kubeconfig files that are merged.
        Optional config_paths: Vec<String>,
        /// Context of the kubeconfig. Default: its current context.
        Optional config_context: String,
        /// Cluster of the kubeconfig. Default: the context's.
        Optional config_context_cluster: String,
        /// User of the kubeconfig. Default: the context's.
        Optional config_context_auth_info: String,
        /// Address of the API server, e.g. `https://k8s.example.com:6443`.
        Optional host: String,
        /// Bearer token.
        Secret token: SecretText,
        /// User name for basic authentication.
        Optional username: String,
        /// Password for basic authentication.
        Secret password: SecretText,
        /// PEM certificates that the API server's is verified with.
        Optional cluster_ca_certificate: String,
        /// PEM client certificate.
        Optional client_certificate: String,
        /// PEM key of the client certificate.
        Secret client_key: SecretText,
        /// Name that the API server's certificate carries, where it is not the host that is dialled.
        Optional tls_server_name: String,
        /// Proxy to dial the API server through; may hold a password.
        Secret proxy_url: SecretText,
        /// Do not verify the API server's certificate. Default: `false`.
        Optional insecure: bool,
        /// Command that prints a credential.
        Optional exec: ExecBlock,
    }
}

object! {
    /// Command that prints an `ExecCredential`.
    pub struct ExecBlock {
        /// `client.authentication.k8s.io/v1` or `…/v1beta1`.
        Required api_version: String,
        /// Command to run.
        Required command: String,
        /// Arguments.
        Optional args: Vec<String>,
        /// Environment added to Terraform's own.
        Secret env: BTreeMap<String, SecretText>,
    }
}

object! {
    /// What cannot be read from the cluster, or should not be.
    pub struct IstioBlock {
        /// Namespace of the control plane. Default: `istio-system`.
        Optional namespace: Text<Namespace>,
        /// Revision of the control plane, or a tag that stands for one. Default: the default one.
        Optional revision: Text<Name>,
        /// Name of the cluster as istiod knows it. Default: read from the injector's configuration.
        Optional cluster_id: String,
        /// Trust domain of the mesh. Default: read from the mesh configuration.
        Optional trust_domain: Text<Fqdn>,
        /// Name of the `ConfigMap` that holds the mesh's trust root in each namespace. Default: read from the injector's
        /// configuration, else `istio-ca-root-cert`.
        Optional trust_bundle_name: Text<Name>,
        /// Where certificates come from, `host:port`, e.g. that of istio-csr. Default: read from the injector's
        /// configuration, else istiod.
        Optional ca_address: String,
        /// Where VMs reach istiod. An IP address is written to their `/etc/hosts`, under the name that istiod's
        /// certificate carries. A domain name, such as that of a cloud's load balancer, is what they call istiod by:
        /// their name service must know it, and istiod's certificate must carry it (`ISTIOD_CUSTOM_HOST`) unless
        /// `control_plane_san` says which it carries; see the guide on control planes. Default: the mesh config's
        /// `discoveryAddress` where that is no name of the cluster's own, else the address of the gateway
        /// `istio-eastwestgateway` if there is one, else the VM's own name service is asked for istiod.
        Optional control_plane_address: Text<Address>,
        /// Name in istiod's certificate, where it is not the one that VMs call istiod by, e.g.
        /// `istiod.istio-system.svc` behind a load balancer that has a name of its own. The certificate is verified by
        /// it. Default: the name that istiod is called by.
        Optional control_plane_san: Text<Fqdn>,
        /// Where VMs fetch Istio's package, if `proxy.install` names none: a mirror that has
        /// `VERSION/deb/istio-sidecar.deb` (or `rpm/istio-sidecar.rpm`; `-arm64` before the dot) and the same with
        /// `.sha256` behind it. Default: `https://blob.istio.io/istio-release/releases`.
        Optional release_url: Text<ReleaseUrl>,
    }
}

object! {
    /// Credentials for the VMs, and defaults for their `ssh`.
    pub struct SshBlock {
        /// User to log in as. Default: `root`.
        Optional user: String,
        /// Port of sshd. Default: 22.
        Optional port: PortNumber,
        /// Private keys by name. They reach OpenSSH's agent through a pipe and are never written anywhere.
        Optional identities: BTreeMap<String, IdentityBlock>,
        /// Name of the identity for VMs that name none. Default: the only one.
        Optional identity: String,
        /// Also offer the keys of the agent at `SSH_AUTH_SOCK`. Default: only if there are no identities.
        Optional agent: bool,
        /// OpenSSH configuration file to read. Its host key settings apply where nothing else is pinned; an option that
        /// would accept a host without its key, such as `NoHostAuthenticationForLocalhost`, has no effect.
        Optional config_file: String,
        /// Text in the form of a known_hosts file.
        Optional known_hosts: String,
        /// Host that VMs are reached through.
        Optional bastion: BastionInput,
        /// Seconds that one connection may take. Default: 10.
        Optional connect_timeout: u32,
        /// Whether a refresh looks at the VMs: `always` or `never`. Default: `always`.
        Optional check_on_refresh: Text<CheckOnRefresh>,
    }
}

object! {
    /// A private key.
    pub struct IdentityBlock {
        /// Key in OpenSSH's or PEM form.
        Secret private_key: SecretText,
        /// Passphrase of the key.
        Secret passphrase: SecretText,
        /// Certificate of the key, as in `id_ed25519-cert.pub`.
        Optional certificate: String,
    }
}
