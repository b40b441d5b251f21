//! Rules that a declaration must follow, and their names.

use std::fmt::{self, Display, Formatter};

macro_rules! rules {
    ($($rule:ident $name:literal;)*) => {
        /// A rule that a declaration must follow, either by itself or in combination with the cluster.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Rule {
            $(
                #[doc = concat!("`", $name, "`")]
                $rule,
            )*
        }

        impl Rule {
            /// All rules.
            pub const ALL: &[Self] = &[$(Self::$rule),*];

            /// Returns the name, which is stable across versions.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$rule => $name,)*
                }
            }
        }
    };
}

rules! {
    AddressRequired "address-required";
    AddressOfOneMachine "address-of-one-machine";
    FqdnNeedsInstanceIp "fqdn-needs-instance-ip";
    FqdnNeedsSidecar "fqdn-needs-sidecar";
    NameIsLabel "name-is-label";
    LabelIsOurs "label-is-ours";
    FleetDeclares "fleet-declares";
    FleetNamespace "fleet-namespace";
    FleetNeedsIp "fleet-needs-ip";
    FleetName "fleet-name";
    FleetEmpty "fleet-empty";
    GroupGrpc "group-grpc";
    TooMany "too-many";
    AnnotationKey "annotation-key";
    AnnotationReserved "annotation-reserved";
    AnnotationsSize "annotations-size";
    EnvIsOurs "env-is-ours";
    EnvValue "env-value";
    ImageRequired "image-required";
    TproxyRuntime "tproxy-runtime";
    RuntimeSource "runtime-source";
    VersionOrInstall "version-or-install";
    InstallUrl "install-url";
    ObjectName "object-name";
    ObjectNameTwice "object-name-twice";
    HostsRequired "hosts-required";
    SeveralHosts "several-hosts";
    ExportTo "export-to";
    DnsWithoutWildcard "dns-without-wildcard";
    DnsWithoutRange "dns-without-range";
    PortsRequired "ports-required";
    PortNumbers "port-numbers";
    TargetPortTwice "target-port-twice";
    ProxyPort "proxy-port";
    PortNotCaptured "port-not-captured";
    SamePortTwice "same-port-twice";
    EntryPortUnknown "entry-port-unknown";
    AppPortNeedsSidecar "app-port-needs-sidecar";
    AppAddress "app-address";
    AppSocket "app-socket";
    InterceptionNeedsSidecar "interception-needs-sidecar";
    SidecarEmpty "sidecar-empty";
    EgressPort "egress-port";
    EgressCapture "egress-capture";
    EgressHostsRequired "egress-hosts-required";
    EgressTwice "egress-twice";
    TproxyLoopback "tproxy-loopback";
    CaptureNeedsInterception "capture-needs-interception";
    HealthCheckMethod "health-check-method";
    HealthCheckExec "health-check-exec";
    HealthCheckPath "health-check-path";
    HealthCheckHeader "health-check-header";
    ProxyConfigSetting "proxy-config-setting";
    MeshConfig "mesh-config";
    ServiceAccountExists "service-account-exists";
    TrustRootExists "trust-root-exists";
    AddressTaken "address-taken";
    ServiceEntryTaken "service-entry-taken";
    SidecarTaken "sidecar-taken";
    SidecarSelectsVm "sidecar-selects-vm";
    HostTaken "host-taken";
    FleetMissing "fleet-missing";
    FleetLoopback "fleet-loopback";
    Importable "importable";
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
