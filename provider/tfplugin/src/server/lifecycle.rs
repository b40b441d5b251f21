//! The life of a resource: plan, apply, refresh, import.

use std::collections::BTreeMap;

use proto::tfplugin6 as wire;

use super::{
    Server,
    answer::{Failure, telling},
    stored::{identity_kind, identity_of},
};
use crate::{
    Diagnostic, ImportId, Provider, Raw,
    served::{PlannedChange, Served},
    wire as convert,
};

impl<P: Provider> Server<P> {
    pub(super) fn plan(
        &self,
        request: wire::plan_resource_change::Request,
    ) -> Result<wire::plan_resource_change::Response, Failure> {
        let resource = self.resource(&request.type_name)?;
        let prior = convert::read(request.prior_state.as_ref(), resource.kind())?;
        let proposed = convert::read(request.proposed_new_state.as_ref(), resource.kind())?;
        let PlannedChange {
            state,
            replaces,
            diagnostics,
        } = resource.plan(&prior, &proposed);
        let mut replaces: Vec<_> = replaces
            .iter()
            .map(|path| resource.kind().resolve(path))
            .collect();
        replaces.sort();
        replaces.dedup();
        // A resource that will be replaced keeps its identity in this plan; the one with no prior has the new one.
        let identity = request
            .prior_identity
            .or_else(|| write_identity_of(resource, &state));
        let reply = wire::plan_resource_change::Response {
            planned_state: Some(convert::write(&state)),
            requires_replace: replaces.iter().map(convert::write_path).collect(),
            planned_private: request.prior_private,
            planned_identity: identity,
            ..Default::default()
        };
        Ok(telling(reply, diagnostics, resource.kind()))
    }

    pub(super) async fn apply(
        &self,
        request: wire::apply_resource_change::Request,
    ) -> Result<wire::apply_resource_change::Response, Failure> {
        let resource = self.resource(&request.type_name)?;
        let prior = convert::read(request.prior_state.as_ref(), resource.kind())?;
        let planned = convert::read(request.planned_state.as_ref(), resource.kind())?;
        let (state, told) = match self.context() {
            Ok(context) => {
                resource
                    .apply(&context, &prior, &planned, self.stop.token())
                    .await
            }
            Err(unconfigured) => (prior, unconfigured.into()),
        };
        let reply = wire::apply_resource_change::Response {
            new_state: Some(convert::write(&state)),
            private: request.planned_private,
            new_identity: write_identity_of(resource, &state),
            ..Default::default()
        };
        Ok(telling(reply, told, resource.kind()))
    }

    pub(super) async fn read(
        &self,
        request: wire::read_resource::Request,
    ) -> Result<wire::read_resource::Response, Failure> {
        let resource = self.resource(&request.type_name)?;
        let current = convert::read(request.current_state.as_ref(), resource.kind())?;
        let (state, told) = match self.context() {
            Ok(context) => resource.read(&context, &current, self.stop.token()).await,
            Err(unconfigured) => (current, unconfigured.into()),
        };
        let reply = wire::read_resource::Response {
            new_state: Some(convert::write(&state)),
            private: request.private,
            new_identity: write_identity_of(resource, &state),
            ..Default::default()
        };
        Ok(telling(reply, told, resource.kind()))
    }

    pub(super) async fn read_data(
        &self,
        request: wire::read_data_source::Request,
    ) -> Result<wire::read_data_source::Response, Failure> {
        let source = self.data_source(&request.type_name)?;
        let config = convert::read(request.config.as_ref(), source.kind())?;
        let context = self.context()?;
        let (state, told) = source.read(&context, &config, self.stop.token()).await;
        let reply = wire::read_data_source::Response {
            state: Some(convert::write(&state)),
            ..Default::default()
        };
        Ok(telling(reply, told, source.kind()))
    }

    pub(super) async fn import(
        &self,
        request: wire::import_resource_state::Request,
    ) -> Result<wire::import_resource_state::Response, Failure> {
        let resource = self.resource(&request.type_name)?;
        let id = import_id(resource, &request)?;
        let context = self.context()?;
        let reply = wire::import_resource_state::Response::default();
        let state = match resource.import(&context, &id, self.stop.token()).await {
            Ok(state) => state,
            Err(told) => return Ok(telling(reply, told, resource.kind())),
        };
        let imported = wire::import_resource_state::ImportedResource {
            type_name: request.type_name,
            state: Some(convert::write(&state)),
            private: vec![],
            identity: write_identity_of(resource, &state),
        };
        Ok(wire::import_resource_state::Response {
            imported_resources: vec![imported],
            ..reply
        })
    }
}

/// Returns the identity of a state; none while a part of it is unknown.
fn write_identity_of<C>(
    resource: &dyn Served<C>,
    state: &Raw,
) -> Option<wire::ResourceIdentityData> {
    identity_of(resource, state).map(|identity| convert::write_identity(&identity))
}

fn import_id<C>(
    resource: &dyn Served<C>,
    request: &wire::import_resource_state::Request,
) -> Result<ImportId, Diagnostic> {
    let Some(identity) = request.identity.as_ref().filter(|_| request.id.is_empty()) else {
        return Ok(ImportId::Text(request.id.clone()));
    };
    let identity = convert::read(identity.identity_data.as_ref(), &identity_kind(resource))?;
    let mut parts = BTreeMap::new();
    for (name, _) in resource.identity() {
        let Raw::Text(part) = identity.get(name) else {
            let detail = format!("The identity needs a value for `{name}`.");
            return Err(Diagnostic::error("Incomplete identity", detail));
        };
        parts.insert(name.to_owned(), part.clone());
    }
    Ok(ImportId::Identity(parts))
}
