//! The life of a resource: plan, apply, refresh, import.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::tfplugin6 as wire;

use super::{
    Server,
    answer::{Failure, with_diagnostics},
    stored::{identity_kind, identity_of},
};
use plugin::{
    Diagnostic, Diagnostics, Fault, ImportId, Limits, PlannedChange, Provider, Raw, Served, Sides,
};

use crate::{convert, layout::Layout};

impl<P: Provider> Server<P> {
    pub(super) fn plan(
        &self,
        request: wire::plan_resource_change::Request,
    ) -> Result<wire::plan_resource_change::Response, Failure> {
        let resource = self.resource(&request.type_name)?;
        let prior = convert::read(request.prior_state.as_ref(), &resource.layout.kind)?;
        let proposed = convert::read(request.proposed_new_state.as_ref(), &resource.layout.kind)?;
        let prior = resource.layout.split(prior);
        let next = resource.layout.split(proposed).map(|sides| sides.input);
        let context = self.context().ok();
        let PlannedChange {
            output,
            replaces,
            diagnostics,
        } = resource
            .served
            .plan(context.as_deref(), prior.as_ref(), next.as_ref());
        let state = next.zip(output);
        let state = Layout::merge(state.map(|(input, output)| Sides { input, output }));
        let mut replaces: Vec<_> = replaces
            .iter()
            .map(|path| resource.layout.kind.resolve(path))
            .collect();
        replaces.sort();
        replaces.dedup();
        // A resource that will be replaced keeps its identity in this plan. Terraform then plans the new one with a null
        // prior state, and since 1.12 with the identity of the first plan, which is that of the old one.
        let kept = request.prior_identity.filter(|_| prior.is_some());
        let identity = kept.or_else(|| write_identity_of(&*resource.served, &state));
        let reply = wire::plan_resource_change::Response {
            planned_state: Some(convert::write(&state)),
            requires_replace: replaces.iter().map(convert::write_path).collect(),
            planned_private: request.prior_private,
            planned_identity: identity,
            ..Default::default()
        };
        Ok(with_diagnostics::<P, _>(
            reply,
            diagnostics,
            &resource.layout.kind,
        ))
    }

    pub(super) async fn apply(
        &self,
        request: wire::apply_resource_change::Request,
    ) -> Result<wire::apply_resource_change::Response, Failure> {
        let resource = self.resource(&request.type_name)?;
        let prior = convert::read(request.prior_state.as_ref(), &resource.layout.kind)?;
        let planned = convert::read(request.planned_state.as_ref(), &resource.layout.kind)?;
        let (prior, planned) = (resource.layout.split(prior), resource.layout.split(planned));
        let limit = change_limit(
            resource.served.described().limits,
            prior.as_ref(),
            planned.as_ref(),
        );
        let (state, diagnostics) = match self.context() {
            Ok(context) => {
                let bounds = self.bounds(limit);
                let applied =
                    resource
                        .served
                        .apply(&context, prior.as_ref(), planned.as_ref(), bounds);
                applied.await
            }
            Err(unconfigured) => (prior, unconfigured.into()),
        };
        let state = Layout::merge(state);
        let reply = wire::apply_resource_change::Response {
            new_state: Some(convert::write(&state)),
            private: request.planned_private,
            new_identity: write_identity_of(&*resource.served, &state),
            ..Default::default()
        };
        Ok(with_diagnostics::<P, _>(
            reply,
            diagnostics,
            &resource.layout.kind,
        ))
    }

    pub(super) async fn read(
        &self,
        request: wire::read_resource::Request,
    ) -> Result<wire::read_resource::Response, Failure> {
        let resource = self.resource(&request.type_name)?;
        let current = convert::read(request.current_state.as_ref(), &resource.layout.kind)?;
        let current = resource.layout.split(current);
        let (state, diagnostics) = match (self.context(), current) {
            (Ok(context), Some(current)) => {
                let limit = resource
                    .served
                    .described()
                    .limits
                    .for_value(&current.input)
                    .read;
                let read = resource.served.read(&context, &current, self.bounds(limit));
                read.await
            }
            (Ok(_), None) => (None, Diagnostics::none()),
            (Err(unconfigured), current) => (current, unconfigured.into()),
        };
        let state = Layout::merge(state);
        let reply = wire::read_resource::Response {
            new_state: Some(convert::write(&state)),
            private: request.private,
            new_identity: write_identity_of(&*resource.served, &state),
            ..Default::default()
        };
        Ok(with_diagnostics::<P, _>(
            reply,
            diagnostics,
            &resource.layout.kind,
        ))
    }

    pub(super) async fn read_data(
        &self,
        request: wire::read_data_source::Request,
    ) -> Result<wire::read_data_source::Response, Failure> {
        let source = self.data_source(&request.type_name)?;
        let config = convert::read(request.config.as_ref(), &source.layout.kind)?;
        let context = self.context()?;
        let input = source.layout.split(config).unwrap_or_default().input;
        let limit = source.served.described().limits.for_value(&input).read;
        let read = source.served.read(&context, &input, self.bounds(limit));
        let (state, diagnostics) = match read.await {
            Ok(found) => {
                let output = found.output;
                let input = input.settled();
                (
                    Layout::merge(Some(Sides { input, output })),
                    found.diagnostics,
                )
            }
            Err(diagnostics) => (Raw::Null, diagnostics),
        };
        let reply = wire::read_data_source::Response {
            state: Some(convert::write(&state)),
            ..Default::default()
        };
        Ok(with_diagnostics::<P, _>(
            reply,
            diagnostics,
            &source.layout.kind,
        ))
    }

    pub(super) async fn import(
        &self,
        request: wire::import_resource_state::Request,
    ) -> Result<wire::import_resource_state::Response, Failure> {
        let resource = self.resource(&request.type_name)?;
        let id = import_id(&*resource.served, &request)?;
        let context = self.context()?;
        let reply = wire::import_resource_state::Response::default();
        let bounds = self.bounds(resource.served.described().limits.read);
        let (state, warnings) = match resource.served.import(&context, &id, bounds).await {
            Ok((state, warnings)) => (Layout::merge(Some(state)), warnings),
            Err(diagnostics) => {
                return Ok(with_diagnostics::<P, _>(
                    reply,
                    diagnostics,
                    &resource.layout.kind,
                ));
            }
        };
        let imported = wire::import_resource_state::ImportedResource {
            type_name: request.type_name,
            state: Some(convert::write(&state)),
            private: vec![],
            identity: write_identity_of(&*resource.served, &state),
        };
        let reply = wire::import_resource_state::Response {
            imported_resources: vec![imported],
            ..reply
        };
        Ok(with_diagnostics::<P, _>(
            reply,
            warnings,
            &resource.layout.kind,
        ))
    }
}

/// Returns how long a change may take: from the state for a delete, otherwise from the plan.
fn change_limit(limits: Limits, prior: Option<&Sides>, planned: Option<&Sides>) -> Duration {
    let said = |sides: &Sides| limits.for_value(&sides.input);
    match (prior, planned) {
        (Some(prior), None) => said(prior).delete,
        (Some(_), Some(planned)) => said(planned).update,
        (None, Some(planned)) => said(planned).create,
        (None, None) => limits.update,
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
    for name in resource.described().identity {
        let Raw::Text(part) = identity.get(name) else {
            let detail = format!("The identity needs a value for `{name}`.");
            return Err(Diagnostic::fault(Fault::IncompleteIdentity, detail));
        };
        parts.insert((*name).to_owned(), part.clone());
    }
    Ok(ImportId::Identity(parts))
}
