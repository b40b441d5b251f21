//! The provider block. Nothing of it is stored; ephemeral values may be used everywhere.

use std::collections::BTreeMap;

use mesh::names::Address;
use mesh::names::{Fqdn, HostPort, Name, Namespace, ReleaseUrl};
use plugin::{SecretText, Text, object};

use crate::declared::hop::BastionInput;
use crate::declared::scalars::{CheckOnRefresh, PortNumber};

object! {
    /// Joins virtual machines to an Istio mesh.
    pub struct ProviderBlock {
        /// Connection to the cluster. The attributes are named as in the kubernetes provider. An empty text counts as
        /// unset. If the block is left out, the provider uses `KUBE_CONFIG_PATH`, `KUBE_CONFIG_PATHS` or
        /// `KUBECONFIG`, in this order, then the service account of the pod that Terraform runs in. It reads no other
        /// environment variable of the kubernetes provider. A block in which each attribute is null is an error.
        Optional kubernetes: KubernetesBlock,
        /// Mesh settings to override, or to supply when they cannot be read from the cluster.
        Optional istio: IstioBlock,
        /// Credentials for the VMs, and defaults for the `ssh` of each workload.
        Optional ssh: SshBlock,
    }
}

object! {
    /// Connection to the cluster.
    pub struct KubernetesBlock {
        /// Path of a kubeconfig file.
        Optional config_path: String,
        /// Paths of kubeconfig files to merge.
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
        /// PEM certificates to verify the API server's certificate with: of its CA, or the server's own.
        Optional cluster_ca_certificate: String,
        /// PEM client certificate.
        Optional client_certificate: String,
        /// PEM key of the client certificate.
        Secret client_key: SecretText,
        /// Name in the API server's certificate, if it differs from the host in the API server's address.
        Optional tls_server_name: String,
        /// Proxy for connections to the API server: an `http://`, `https://` or `socks5://` URL. It may contain a
        /// password. Default: the kubeconfig's `proxy-url`, then `HTTPS_PROXY` with the exceptions of `NO_PROXY`.
        Secret proxy_url: SecretText,
        /// Do not verify the API server's certificate. Default: `false`.
        Optional insecure: bool,
        /// Command that prints a credential. It is run again before the credential ends, and where the API server no
        /// longer accepts it.
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
        /// Environment variables to add to Terraform's own.
        Secret env: BTreeMap<String, SecretText>,
    }
}

object! {
    /// Mesh settings to override, or to supply when they cannot be read from the cluster.
    pub struct IstioBlock {
        /// Namespace of the control plane. Default: `istio-system`.
        Optional namespace: Text<Namespace>,
        /// Revision of the control plane, or a tag that points to one. Default: the default revision.
        Optional revision: Text<Name>,
        /// Name by which istiod knows the cluster. Default: read from the injector's configuration.
        Optional cluster_id: String,
        /// Trust domain of the mesh. Default: read from the mesh configuration.
        Optional trust_domain: Text<Fqdn>,
        /// Name of the `ConfigMap` that holds the mesh's root certificate in each namespace. Default: read from the
        /// injector's configuration, otherwise `istio-ca-root-cert`. If istiod writes a `ClusterTrustBundle` instead,
        /// the last part of its name; see the guide on control planes.
        Optional trust_bundle_name: Text<Name>,
        /// Address of the certificate authority, `host:port`, e.g. that of istio-csr. The VM must reach it, and its
        /// certificate must contain the host; see the guide on control planes. Default: `CA_ADDR` in the mesh
        /// config's `proxyMetadata`, otherwise `global.caAddress` in the injector's configuration, otherwise istiod.
        Optional ca_address: Text<HostPort>,
        /// Address at which VMs reach istiod. An IP address is added to the VM's `/etc/hosts` under the name in
        /// istiod's certificate. A domain name, such as that of a cloud load balancer, is used as is: the VM must be
        /// able to resolve it, and istiod's certificate must include it (`ISTIOD_CUSTOM_HOST`) unless
        /// `control_plane_san` gives the name to verify; see the guide on control planes. Default: the first of these
        /// that applies: the mesh config's `discoveryAddress`, if it is a name outside the cluster; the address of
        /// the gateway `istio-eastwestgateway`, if there is one; istiod's name, which the VM must then be able to
        /// resolve. That name is the mesh config's, if it names another Service of the cluster or another port.
        Optional control_plane_address: Text<Address>,
        /// Name in istiod's certificate, if it differs from the name that VMs connect to, e.g.
        /// `istiod.istio-system.svc` behind a load balancer with its own name. The certificate is verified against
        /// it. Default: the name that VMs connect to.
        Optional control_plane_san: Text<Fqdn>,
        /// Where VMs download Istio's package if `proxy.install` names none. A mirror must contain
        /// `VERSION/deb/istio-sidecar.deb` (or `rpm/istio-sidecar.rpm`; for arm64, `-arm64` before the dot) and its
        /// digest under the same name with `.sha256` appended. Default:
        /// `https://blob.istio.io/istio-release/releases`.
        Optional release_url: Text<ReleaseUrl>,
    }
}

object! {
    /// Credentials for the VMs, and defaults for the `ssh` of each workload.
    pub struct SshBlock {
        /// User to log in as. Default: `User` in `config_file`, otherwise `root`.
        Optional user: String,
        /// Port of sshd. Default: `Port` in `config_file`, otherwise 22.
        Optional port: PortNumber,
        /// Private keys by name. They reach OpenSSH's agent through a pipe and are never written to disk.
        Optional identities: BTreeMap<String, IdentityBlock>,
        /// Name of the identity for VMs that do not name one. Default: the only one.
        Optional identity: String,
        /// Also offer the keys of the agent at `SSH_AUTH_SOCK`. Default: only if there are no identities.
        Optional agent: bool,
        /// OpenSSH configuration file to read. Attributes that are set win over it. Its host key settings apply where no
        /// other proof of the host is given. An option that would accept a host without its key, such as
        /// `NoHostAuthenticationForLocalhost`, has no effect.
        Optional config_file: String,
        /// Content of a known_hosts file.
        Optional known_hosts: String,
        /// Bastion (jump host) in front of the VMs.
        Optional bastion: BastionInput,
        /// Time limit for one connection attempt, in seconds. Default: 10.
        Optional connect_timeout: u32,
        /// Whether a refresh checks the VMs: `always` or `never`. Default: `always`.
        Optional check_on_refresh: Text<CheckOnRefresh>,
    }
}

object! {
    /// A private key.
    pub struct IdentityBlock {
        /// Key in OpenSSH or PEM format.
        Secret private_key: SecretText,
        /// Passphrase of the key.
        Secret passphrase: SecretText,
        /// Certificate of the key, as in `id_ed25519-cert.pub`.
        Optional certificate: String,
    }
}
