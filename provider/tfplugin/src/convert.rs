//! Between values and the messages of the protocol.

use proto::tfplugin6::{self as wire, attribute_path::step::Selector};

use plugin::{Diagnostic, Diagnostics, Fault, Kind, Path, Provider, Raw, Severity, Step};

use crate::codec::{Malformed, json, msgpack};

/// Reads a value of a request; an absent one is null.
pub(crate) fn read(value: Option<&wire::DynamicValue>, kind: &Kind) -> Result<Raw, Diagnostic> {
    let decoded = match value {
        Some(value) if !value.msgpack.is_empty() => msgpack::decode(&value.msgpack, kind),
        Some(value) if !value.json.is_empty() => json::decode(&value.json, kind),
        None | Some(_) => Ok(Raw::Null),
    };
    decoded.map_err(|err| misfit("Value does not fit the schema", &err))
}

/// Reads a stored value, which is JSON.
pub(crate) fn read_stored(value: Option<&wire::RawState>, kind: &Kind) -> Result<Raw, Diagnostic> {
    let json = value.map(|value| value.json.as_slice()).unwrap_or_default();
    json::decode(json, kind).map_err(|err| misfit("Stored value does not fit the schema", &err))
}

/// Reads a stored value of an earlier version, whose type is not known any more.
pub(crate) fn read_untyped(value: Option<&wire::RawState>) -> Result<Raw, Diagnostic> {
    let json = value.map(|value| value.json.as_slice()).unwrap_or_default();
    json::decode_untyped(json).map_err(|err| misfit("Stored value cannot be read", &err))
}

/// Writes a value of a reply.
pub(crate) fn write(raw: &Raw) -> wire::DynamicValue {
    wire::DynamicValue {
        msgpack: msgpack::encode(raw),
        json: vec![],
    }
}

/// Writes an identity.
pub(crate) fn write_identity(raw: &Raw) -> wire::ResourceIdentityData {
    wire::ResourceIdentityData {
        identity_data: Some(write(raw)),
    }
}

/// Writes messages; their paths become those of the schema.
pub(crate) fn write_diagnostics<P: Provider>(
    diagnostics: Diagnostics,
    kind: &Kind,
) -> Vec<wire::Diagnostic> {
    let resolve = |mut diagnostic: Diagnostic| {
        diagnostic.at = diagnostic.at.map(|path| kind.resolve(&path));
        write_diagnostic::<P>(diagnostic)
    };
    diagnostics.into_iter().map(resolve).collect()
}

/// Writes a message whose path is the schema's already.
pub(crate) fn write_diagnostic<P: Provider>(diagnostic: Diagnostic) -> wire::Diagnostic {
    let mut detail = diagnostic.located();
    if let Some(code) = diagnostic.code {
        detail = format!("{detail}\n\n{}", P::reference(code));
    }
    wire::Diagnostic {
        severity: match diagnostic.severity {
            Severity::Error => wire::diagnostic::Severity::Error.into(),
            Severity::Warning => wire::diagnostic::Severity::Warning.into(),
        },
        summary: plain::with_line_breaks(diagnostic.summary),
        detail: plain::with_line_breaks(detail),
        attribute: diagnostic.at.as_ref().map(write_path),
    }
}

/// Writes a path.
pub(crate) fn write_path(path: &Path) -> wire::AttributePath {
    let write = |step: &Step| match step {
        Step::Name(name) => Selector::AttributeName(name.clone().into_owned()),
        Step::Key(key) => Selector::ElementKeyString(key.clone()),
        Step::Index(index) => Selector::ElementKeyInt(i64::try_from(*index).unwrap_or(i64::MAX)),
    };
    let steps = path.steps().iter().map(|step| wire::attribute_path::Step {
        selector: Some(write(step)),
    });
    wire::AttributePath {
        steps: steps.collect(),
    }
}

fn misfit(summary: &str, err: &Malformed) -> Diagnostic {
    let at = err.at();
    let detail = format!(
        "The value cannot be read: {err}. The value and the schema of this provider do not belong together; \
         if the provider's version was changed, run `init -upgrade` and try again."
    );
    Diagnostic {
        summary: summary.to_owned(),
        ..Diagnostic::fault(Fault::Misfit, detail).at(at)
    }
}
