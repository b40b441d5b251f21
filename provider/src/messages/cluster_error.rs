//! Errors of the cluster as diagnostics.

use cluster::{Call, ClusterError, RootCause};
use plugin::Diagnostic;

use super::{Code, Message, chain};

/// What to do about a plugin that fails.
const RUN_IT: &str =
    "Run it by hand with the same arguments to see what it needs; it gets no terminal here.";
/// Characters that a diagnostic shows of a plugin's install hint.
const LONGEST_HINT: usize = 2000;

/// Reports why the cluster could not be used.
pub(crate) fn cluster(error: &ClusterError) -> Diagnostic {
    of_cluster(error).error()
}

/// Reports why the cluster could not be used, as a message that the caller may change.
pub(crate) fn of_cluster(error: &ClusterError) -> Message {
    let (code, next) = explanation(error);
    let message = Message::new(code).text(format!("{}. {next}", chain(error)));
    let message = message.text(next_of(error));
    match error {
        ClusterError::Invalid { causes, .. } => {
            let lines = causes.iter();
            let lines = lines.map(|cause| format!("{}: {}", cause.field, cause.message));
            message.lines(&lines.collect::<Vec<_>>())
        }
        ClusterError::Plugin { printed, .. } => message.lines(printed),
        _ => message,
    }
}

/// What to do about an object that is missing.
const NOT_FOUND: &str = "Check that Istio is installed in this cluster.";

/// Returns the code of an error, and what to do.
fn explanation(error: &ClusterError) -> (Code, &'static str) {
    use ClusterError as E;
    match error {
        E::NoConfiguration => (Code::ClusterNone, "Set one of these."),
        E::Settings(_) => (Code::ClusterSettings, "Correct these attributes."),
        E::Kubeconfig { .. } | E::NoKubeconfig { .. } => {
            (Code::ClusterKubeconfig, "Correct the file or the path.")
        }
        E::Credentials { .. } => (Code::ClusterCredentials, "Renew them."),
        E::NoPlugin { .. } => (Code::ClusterCredentials, "Install it, or correct its name."),
        E::Plugin { .. } => (Code::ClusterCredentials, RUN_IT),
        E::Variable { .. } => (Code::ClusterSettings, "Correct it, or unset it."),
        E::Unreachable { .. } => (
            Code::ClusterUnreachable,
            "Check its address, the route to it and, for an endpoint with another name, kubernetes.tls_server_name.",
        ),
        E::Unauthorized { .. } => (Code::ClusterUnauthorized, "Renew them."),
        E::Anonymous { .. }
        | E::Forbidden { .. }
        | E::Quota { .. }
        | E::NamespaceTerminating { .. }
        | E::Blocked { .. } => forbidden(error),
        E::NotFound { .. } => (Code::ClusterNotFound, NOT_FOUND),
        E::RootMissing { cause, .. } => (Code::ClusterRootMissing, root_missing(*cause)),
        E::MissingCrd { .. } => (
            Code::ClusterNoIstio,
            "Install Istio's custom resource definitions, or point the provider at the right cluster.",
        ),
        E::Conflict { .. } => (
            Code::ClusterConflict,
            "Remove them from the configuration, make the owner give them up, or set field_manager.force_conflicts.",
        ),
        E::Exists { .. } => (Code::ClusterExists, ""),
        E::Taken { .. } => (
            Code::WorkloadTaken,
            "It was left as it is. Plan again to see what there is now.",
        ),
        E::Terminating { .. } => (
            Code::ClusterTerminating,
            "The controller that set its finalizers removes them once it has cleaned up. Check that controller's log. \
             If the controller is gone for good, remove the finalizers with kubectl. Then run the same command again.",
        ),
        E::Invalid { .. } => (Code::ClusterInvalid, "Correct the fields it names."),
        E::Denied { .. } => (Code::ClusterDenied, "Correct what it names."),
        E::Busy { .. } | E::Server { .. } => {
            (Code::ClusterServer, "Apply again once it is healthy.")
        }
        E::Answer { .. } => (Code::ClusterAnswer, "Correct what it names."),
        E::Excess { .. } => (
            Code::ClusterExcess,
            "No API server sends such a large response. Check that kubernetes.host or the kubeconfig points to an API \
             server, and check the proxies in between. If it is a list, delete objects of that kind that nobody needs.",
        ),
        E::NotHealthy { .. } => (
            Code::NotHealthy,
            "The VM has joined the mesh and receives traffic as soon as the health check succeeds. Start the \
             application, or correct health_check.",
        ),
        E::NotConnected { .. } => (Code::IstiodSilent, "Check istiod's log for this proxy."),
    }
}

/// Returns the code of a 403, or of an answer to nobody, and what to do.
fn forbidden(error: &ClusterError) -> (Code, &'static str) {
    const NOBODY: &str =
        "Set credentials in the kubernetes block, or use a kubeconfig context that has a user.";
    match error {
        ClusterError::Anonymous { status: 401, .. } => (Code::ClusterUnauthorized, NOBODY),
        ClusterError::Anonymous { .. } => (Code::ClusterForbidden, NOBODY),
        ClusterError::Quota { .. } => (
            Code::ClusterQuota,
            "Delete objects that nobody needs, or raise the quota, which `kubectl describe resourcequota` shows.",
        ),
        ClusterError::NamespaceTerminating { .. } => (
            Code::ClusterNamespaceTerminating,
            "Wait until it is gone, create it, and apply again. If it stays, status.conditions of the Namespace says \
             what holds it.",
        ),
        ClusterError::Blocked { .. } => (
            Code::ClusterBlocked,
            "Check the proxies, gateways and firewalls on the way to the API server, kubernetes.proxy_url and \
             HTTPS_PROXY.",
        ),
        _ => (Code::ClusterForbidden, "Add the rule to the role:"),
    }
}

/// Returns why there is no root certificate, and what to do.
fn root_missing(cause: RootCause) -> &'static str {
    match cause {
        RootCause::NoNamespace => {
            "The namespace does not exist. Create it first. If the same apply creates it, refer to that resource in \
             namespace, or add depends_on."
        }
        RootCause::NotSelected => {
            "istiod does not watch the namespace: none of the mesh config's discoverySelectors selects its labels. \
             Label the namespace accordingly."
        }
        RootCause::Istiod => {
            "istiod writes it into each namespace that it watches, within seconds. Check that istiod runs, its log, and \
             whether the mesh config's discoverySelectors select the namespace."
        }
    }
}

/// Returns the part of the next step that depends on the error's values.
fn next_of(error: &ClusterError) -> String {
    match error {
        ClusterError::Forbidden { call, .. } => {
            let rule = error.missing_rule().map(|rule| format!("\n\n{rule}"));
            rule.unwrap_or_default() + &revision_forbidden(call).unwrap_or_default()
        }
        ClusterError::NoPlugin {
            install_hint: Some(hint),
            ..
        } => {
            let hint = plain::lines(hint, LONGEST_HINT);
            format!("\n\nIts install hint:\n  {hint}")
        }
        ClusterError::Plugin { printed, .. } if !printed.is_empty() => "\n\nIt printed:".into(),
        ClusterError::NotFound { call, message } if message == "it does not exist" => {
            revision_missing(call).unwrap_or_default()
        }
        ClusterError::Exists { call, import_id } if call.resource.kind == "WorkloadEntry" => {
            format!("Import it:\n\n  terraform import mesh_vm_workload.NAME {import_id}")
        }
        ClusterError::Exists { call, .. } => format!(
            "Delete that {}, or give the workload or the service another name.",
            call.resource.kind
        ),
        _ => String::new(),
    }
}

/// Returns the revision that the name of a control plane's `ConfigMap` ends with.
fn revision(call: &Call) -> Option<&str> {
    let is_config = call.resource.kind == "ConfigMap";
    let name = Some(call.name.as_str()).filter(|_| is_config)?;
    let of_injector = name.strip_prefix("istio-sidecar-injector-");
    let not_injector = name
        .strip_prefix("istio-")
        .filter(|rest| *rest != "sidecar-injector");
    of_injector
        .or(not_injector)
        .filter(|revision| *revision != "ca-root-cert")
}

/// Reports a revision that a role does not cover, or that does not exist: the API server answers both in the same way.
fn revision_forbidden(call: &Call) -> Option<String> {
    let revision = revision(call)?;
    Some(format!(
        "\n\nIf {revision} is misspelt, correct istio.revision instead: a role that names its ConfigMaps forbids those \
         that do not exist as well. If it is a tag, allow to list mutatingwebhookconfigurations, as examples/rbac.yaml \
         does."
    ))
}

/// Reports a revision without a control plane.
fn revision_missing(call: &Call) -> Option<String> {
    let revision = revision(call)?;
    Some(format!(
        " No control plane in {} has the revision or the tag {revision}: correct istio.revision, or istio.namespace. \
         `istioctl tag list` shows the tags; to follow one, the role needs the right to list \
         mutatingwebhookconfigurations.",
        call.namespace
    ))
}
