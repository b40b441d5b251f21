//! What Terraform has stored: states and identities of this version of the schema or a later one.

use proto::tfplugin6 as wire;

use plugin::{Diagnostic, Fault, Kind, Provider, Raw, Served, Stored};

use super::{
    Server,
    answer::{Failure, with_diagnostics},
};
use crate::convert;

impl<P: Provider> Server<P> {
    pub(super) fn upgrade_state(
        &self,
        request: &wire::upgrade_resource_state::Request,
    ) -> Result<wire::upgrade_resource_state::Response, Failure> {
        let resource = self.resource(&request.type_name)?;
        let known = resource.served.version();
        let version = known_version(&request.type_name, request.version, known)?;
        let (stored, kind) = (request.raw_state.as_ref(), &resource.layout.kind);
        let reply = wire::upgrade_resource_state::Response::default();
        let upgraded = if version == known {
            Ok(convert::read_stored(stored, kind)?)
        } else {
            let state = convert::read_untyped(stored)?;
            let upgraded = resource.served.upgrade(Stored { version, state });
            upgraded.map(|state| state.fit(kind))
        };
        Ok(match upgraded {
            Ok(state) => wire::upgrade_resource_state::Response {
                upgraded_state: Some(convert::write(&state)),
                ..reply
            },
            Err(diagnostics) => with_diagnostics::<P, _>(reply, diagnostics, kind),
        })
    }

    pub(super) fn upgrade_identity(
        &self,
        request: &wire::upgrade_resource_identity::Request,
    ) -> Result<wire::upgrade_resource_identity::Response, Failure> {
        let resource = self.resource(&request.type_name)?;
        known_version(&request.type_name, request.version, 0)?;
        let identity = convert::read_stored(
            request.raw_identity.as_ref(),
            &identity_kind(&*resource.served),
        )?;
        Ok(wire::upgrade_resource_identity::Response {
            upgraded_identity: Some(convert::write_identity(&identity)),
            diagnostics: vec![],
        })
    }
}

/// Returns the version, if this provider knows it.
fn known_version(name: &str, version: i64, known: u32) -> Result<u32, Diagnostic> {
    let stored = u32::try_from(version.max(0)).unwrap_or(u32::MAX);
    if stored <= known {
        return Ok(stored);
    }
    let detail = format!(
        "A `{name}` was stored with version {version} of its schema; this provider knows version {known}. \
         Use the version of the provider that stored it, or a later one."
    );
    Err(Diagnostic::fault(Fault::NewerState, detail))
}

/// Returns the type of a resource's identity: all text.
pub(super) fn identity_kind<C>(resource: &dyn Served<C>) -> Kind {
    Kind::Object(
        resource
            .described()
            .identity
            .iter()
            .map(|name| ((*name).to_owned(), Kind::Text))
            .collect(),
    )
}

/// Returns the identity of a state, if the resource has one and all of it is known.
pub(super) fn identity_of<C>(resource: &dyn Served<C>, state: &Raw) -> Option<Raw> {
    let names = resource.described().identity;
    if names.is_empty() {
        return None;
    }
    let part = |name: &&'static str| match state.get(name) {
        Raw::Text(text) => Some(((*name).to_owned(), Raw::Text(text.clone()))),
        _ => None,
    };
    names.iter().map(part).collect::<Option<_>>().map(Raw::Map)
}
