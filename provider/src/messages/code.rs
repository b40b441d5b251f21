//! The codes of the provider's diagnostics.

use mesh::rule::Rule;

macro_rules! codes {
    ($($code:ident $name:literal $title:literal;)*) => {
        /// What a diagnostic reports. Its name is the anchor in the troubleshooting guide.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code {
            /// A declaration breaks a rule of the mesh.
            Rule(Rule),
            $(
                #[doc = concat!("`", $name, "`")]
                $code,
            )*
        }

        impl Code {
            /// Every code but those of the rules, which `Rule::ALL` lists.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$code),*];

            /// Returns the name that ends a diagnostic. It stays the same in every version.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    Self::Rule(rule) => rule.name(),
                    $(Self::$code => $name,)*
                }
            }

            /// Returns the title. It has no values in it, so that Terraform groups warnings by it.
            pub(crate) fn title(self) -> &'static str {
                match self {
                    Self::Rule(_) => "Invalid workload",
                    $(Self::$code => $title,)*
                }
            }
        }
    };
}

codes! {
    Incomplete "incomplete" "The namespace or the name is missing";
    ProviderUnknown "provider-unknown" "The provider's configuration is not known yet";
    ClusterNone "cluster-none" "No cluster is configured";
    KubernetesUnset "kubernetes-unset" "The kubernetes block sets nothing";
    ClusterSettings "cluster-settings" "The kubernetes block cannot be used";
    ClusterKubeconfig "cluster-kubeconfig" "The kubeconfig cannot be used";
    ClusterCredentials "cluster-credentials" "The cluster's credentials cannot be used";
    ClusterUnreachable "cluster-unreachable" "The API server is not reachable";
    ClusterUnauthorized "cluster-unauthorized" "The API server rejects the credentials";
    ClusterForbidden "cluster-forbidden" "The API server forbids the call";
    ClusterQuota "cluster-quota" "A quota of the namespace is exhausted";
    ClusterNamespaceTerminating "cluster-namespace-terminating" "The namespace is being deleted";
    ClusterBlocked "cluster-blocked" "Something in front of the API server refuses the call";
    ClusterNotFound "cluster-not-found" "An object of the mesh is missing";
    ClusterRootMissing "cluster-root-missing" "istiod has not written the root certificate";
    ClusterNoIstio "cluster-no-istio" "The cluster does not know Istio's kinds";
    ClusterConflict "cluster-conflict" "Another owner holds these fields";
    ClusterExists "cluster-exists" "The object already exists";
    ClusterTerminating "cluster-terminating" "An object is still being deleted";
    ClusterInvalid "cluster-invalid" "The API server rejects the object";
    ClusterDenied "cluster-denied" "Admission rejects the object";
    ClusterServer "cluster-server" "The API server failed";
    ClusterAnswer "cluster-answer" "The cluster's answer cannot be used";
    ClusterExcess "cluster-excess" "The cluster's answer is too large";
    NotHealthy "not-healthy" "The application's health check fails";
    IstiodSilent "istiod-silent" "istiod has not reported the proxy";
    MeshUnchecked "mesh-unchecked" "The workload was not checked against the mesh";
    ClusterOther "cluster-other" "The cluster is another one";
    NamespaceUnseen "namespace-unseen" "The cluster was not identified";
    EntriesUnseen "entries-unseen" "Other namespaces were not checked";
    VmShared "vm-shared" "Two workloads share a VM";
    ObjectForeign "object-foreign" "An object was not deleted";
    FleetExists "fleet-exists" "The fleet already exists";
    RolloutStopped "rollout-stopped" "The rollout has stopped";
    RolloutWaits "rollout-waits" "The turn of the member has not come";
    FleetMembers "fleet-members" "Members of the fleet are left without services";
    WorkloadExists "workload-exists" "The workload already exists";
    WorkloadBusy "workload-busy" "Another run is working on the workload";
    WorkloadTaken "workload-taken" "Another run has taken the workload over";
    ImportId "import-id" "The import ID is not valid";
    ImportPartial "import-partial" "The import leaves something out";
    ImportMissing "import-missing" "There is nothing to import";
    SshCoordinate "ssh-coordinate" "The VM's SSH settings are not valid";
    SshClient "ssh-client" "OpenSSH's client is missing";
    SshLocal "ssh-local" "The SSH connection cannot be set up";
    SshIdentity "ssh-identity" "The SSH identity cannot be used";
    SshIdentityName "ssh-identity-name" "There is no such SSH identity";
    SshInsecure "ssh-insecure" "Host keys are not verified";
    SshHost "ssh-host" "The VM's address is missing";
    HostKeyOrCa "host-key-or-ca" "host_key and host_ca are both set";
    HostKeyUnknown "host-key-unknown" "No host key is configured";
    SshConfig "ssh-config" "OpenSSH rejects its configuration";
    SshConnect "ssh-connect" "The VM is not reachable over SSH";
    SshHostKey "ssh-host-key" "The VM's host key is not the expected one";
    SshAuth "ssh-auth" "The VM rejects the login";
    SshSudo "ssh-sudo" "The user may not become root on the VM";
    SshLost "ssh-lost" "The connection to the VM was lost";
    SshBastion "ssh-bastion" "The connection through the bastion failed";
    SudoLog "sudo-log" "The VM's sudo records the token";
    Token "token" "The service account token could not be created";
    VmAnswer "vm-answer" "The VM's answer cannot be used";
    VmProgram "vm-program" "The program on the VM failed";
    VmUnchecked "vm-unchecked" "The VM was not checked";
    VmReverted "vm-reverted" "The VM could not be bootstrapped";
    VmLockedOut "vm-locked-out" "The VM could not be reached through the new rules";
    VmForeign "vm-foreign" "The VM belongs to another workload";
    VmBusy "vm-busy" "Another run is working on the VM";
    VmLost "vm-lost" "The VM was restarted during the bootstrap";
    VmHalfway "vm-halfway" "The VM is partly changed and could not be restored";
    VmNotRemoved "vm-not-removed" "The proxy could not be removed from the VM";
    VmKept "vm-kept" "The VM is left as it is";
    VmLeft "vm-left" "The VM was not cleaned";
    VmFilesLeft "vm-files-left" "Files are left on the VM";
    DestroyBlocked "destroy-blocked" "The VM could not be cleaned, so nothing was deleted";
    NotIntercepted "not-intercepted" "IPv6 traffic bypasses the proxy";
    EverythingBypasses "everything-bypasses" "All outbound traffic bypasses the proxy";
    PortsBypass "ports-bypass" "Ports of containers bypass the proxy";
    FirewallBlocks "firewall-blocks" "The VM's firewall keeps pods from the proxy";
    HeldBack "held-back" "A bootstrap is held back";
    MeshChanged "mesh-changed" "The mesh changed after the plan";
    EnvOfPods "env-of-pods" "Variables of pods are left out";
    ObjectsOnly "objects-only" "objects_only excludes ssh and bundle";
    NothingJoins "nothing-joins" "Nothing joins the VM to the mesh";
    SshOrBundle "ssh-or-bundle" "ssh and bundle are both set";
    ArchiveNotWritten "archive-not-written" "The archive could not be written";
    ArchiveTaken "archive-taken" "The archive's path is already in use";
    ArchiveLeft "archive-left" "The archive was not removed";
    TokenCommand "token-command" "The token command cannot be used";
    BundleUrl "bundle-url" "The package's URL may contain a password";
    NoWorkload "no-workload" "No such workload";
}
