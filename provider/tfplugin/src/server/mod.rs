//! The service `tfplugin6.Provider`: requests become raw values, outcomes become replies.
//!
//! **Invariant**: failures are diagnostics, never gRPC statuses. What this provider does not serve at all is
//! unimplemented, as the generated service has it.

mod about;
mod answer;
mod configuration;
mod ephemeral;
mod lifecycle;
mod stored;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use proto::tfplugin6::{self as wire, provider_server};
use tonic::{Request, Response, Status};

use crate::{
    Diagnostic, Kind, Object, Provider, data_source::ServedData, declaration::kind_of,
    ephemeral::ServedEphemeral, serve::Stop, served::Served,
};
use answer::answer;

/// A provider as Terraform calls it.
pub struct Server<P: Provider> {
    provider: P,
    config: Kind,
    resources: BTreeMap<&'static str, Arc<dyn Served<P::Context>>>,
    data_sources: BTreeMap<&'static str, Arc<dyn ServedData<P::Context>>>,
    ephemeral_resources: BTreeMap<&'static str, Arc<dyn ServedEphemeral<P::Context>>>,
    /// Set by each configuration; one process may get several while it is debugged.
    context: RwLock<Option<Arc<P::Context>>>,
    stop: Stop,
}

impl<P: Provider> Server<P> {
    /// Returns the server of a provider that is not configured yet.
    pub fn new(provider: P) -> Self {
        let resources = P::resources()
            .into_iter()
            .map(|registered| (registered.0.name(), registered.0));
        let data_sources = P::data_sources()
            .into_iter()
            .map(|registered| (registered.0.name(), registered.0));
        let ephemeral_resources = P::ephemeral_resources()
            .into_iter()
            .map(|registered| (registered.0.name(), registered.0));
        Self {
            provider,
            config: kind_of(&P::Config::attributes()),
            resources: resources.collect(),
            data_sources: data_sources.collect(),
            ephemeral_resources: ephemeral_resources.collect(),
            context: RwLock::default(),
            stop: Stop::default(),
        }
    }

    fn resource(&self, name: &str) -> Result<&dyn Served<P::Context>, Diagnostic> {
        let found = self.resources.get(name).map(|resource| &**resource);
        found.ok_or_else(|| unknown_type("Unknown resource type", name, self.resources.keys()))
    }

    fn data_source(&self, name: &str) -> Result<&dyn ServedData<P::Context>, Diagnostic> {
        let found = self.data_sources.get(name).map(|source| &**source);
        found.ok_or_else(|| unknown_type("Unknown data source", name, self.data_sources.keys()))
    }

    fn ephemeral_resource(
        &self,
        name: &str,
    ) -> Result<&dyn ServedEphemeral<P::Context>, Diagnostic> {
        let found = self.ephemeral_resources.get(name);
        let known = || self.ephemeral_resources.keys();
        found
            .map(|resource| &**resource)
            .ok_or_else(|| unknown_type("Unknown ephemeral resource", name, known()))
    }

    fn context(&self) -> Result<Arc<P::Context>, Diagnostic> {
        let context = self
            .context
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        context.ok_or_else(|| {
            let detail = "Terraform asked for real work before it configured the provider, or the configuration failed.";
            Diagnostic::error("Provider is not configured", detail)
        })
    }
}

fn unknown_type<'a>(
    summary: &str,
    name: &str,
    known: impl Iterator<Item = &'a &'static str>,
) -> Diagnostic {
    let known: Vec<_> = known.copied().collect();
    let detail = format!(
        "This version of the provider has no `{name}`. It has: {}.",
        known.join(", ")
    );
    Diagnostic::error(summary, detail)
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl<P: Provider> provider_server::Provider for Server<P> {
    async fn get_metadata(
        &self,
        _: Request<wire::get_metadata::Request>,
    ) -> Reply<wire::get_metadata::Response> {
        answer("GetMetadata", async { Ok(self.metadata()) }).await
    }

    async fn get_provider_schema(
        &self,
        _: Request<wire::get_provider_schema::Request>,
    ) -> Reply<wire::get_provider_schema::Response> {
        answer("GetProviderSchema", async { Ok(self.schemas()) }).await
    }

    async fn get_resource_identity_schemas(
        &self,
        _: Request<wire::get_resource_identity_schemas::Request>,
    ) -> Reply<wire::get_resource_identity_schemas::Response> {
        answer("GetResourceIdentitySchemas", async {
            Ok(self.identity_schemas())
        })
        .await
    }

    async fn get_functions(
        &self,
        _: Request<wire::get_functions::Request>,
    ) -> Reply<wire::get_functions::Response> {
        answer("GetFunctions", async {
            Ok(wire::get_functions::Response::default())
        })
        .await
    }

    async fn validate_provider_config(
        &self,
        request: Request<wire::validate_provider_config::Request>,
    ) -> Reply<wire::validate_provider_config::Response> {
        answer("ValidateProviderConfig", async {
            self.validate_config(&request.into_inner())
        })
        .await
    }

    async fn configure_provider(
        &self,
        request: Request<wire::configure_provider::Request>,
    ) -> Reply<wire::configure_provider::Response> {
        answer("ConfigureProvider", async {
            self.configure(&request.into_inner())
        })
        .await
    }

    async fn stop_provider(
        &self,
        _: Request<wire::stop_provider::Request>,
    ) -> Reply<wire::stop_provider::Response> {
        tracing::info!("told to stop");
        self.stop.stop();
        Ok(Response::new(wire::stop_provider::Response::default()))
    }

    async fn validate_resource_config(
        &self,
        request: Request<wire::validate_resource_config::Request>,
    ) -> Reply<wire::validate_resource_config::Response> {
        answer("ValidateResourceConfig", async {
            self.validate(&request.into_inner())
        })
        .await
    }

    async fn validate_data_resource_config(
        &self,
        request: Request<wire::validate_data_resource_config::Request>,
    ) -> Reply<wire::validate_data_resource_config::Response> {
        answer("ValidateDataResourceConfig", async {
            self.validate_data(&request.into_inner())
        })
        .await
    }

    async fn read_data_source(
        &self,
        request: Request<wire::read_data_source::Request>,
    ) -> Reply<wire::read_data_source::Response> {
        answer("ReadDataSource", self.read_data(request.into_inner())).await
    }

    async fn validate_ephemeral_resource_config(
        &self,
        request: Request<wire::validate_ephemeral_resource_config::Request>,
    ) -> Reply<wire::validate_ephemeral_resource_config::Response> {
        answer("ValidateEphemeralResourceConfig", async {
            self.validate_ephemeral(&request.into_inner())
        })
        .await
    }

    async fn open_ephemeral_resource(
        &self,
        request: Request<wire::open_ephemeral_resource::Request>,
    ) -> Reply<wire::open_ephemeral_resource::Response> {
        answer("OpenEphemeralResource", self.open(request.into_inner())).await
    }

    async fn renew_ephemeral_resource(
        &self,
        request: Request<wire::renew_ephemeral_resource::Request>,
    ) -> Reply<wire::renew_ephemeral_resource::Response> {
        answer("RenewEphemeralResource", self.renew(request.into_inner())).await
    }

    async fn close_ephemeral_resource(
        &self,
        request: Request<wire::close_ephemeral_resource::Request>,
    ) -> Reply<wire::close_ephemeral_resource::Response> {
        answer("CloseEphemeralResource", self.close(request.into_inner())).await
    }

    async fn upgrade_resource_state(
        &self,
        request: Request<wire::upgrade_resource_state::Request>,
    ) -> Reply<wire::upgrade_resource_state::Response> {
        answer("UpgradeResourceState", async {
            self.upgrade_state(&request.into_inner())
        })
        .await
    }

    async fn upgrade_resource_identity(
        &self,
        request: Request<wire::upgrade_resource_identity::Request>,
    ) -> Reply<wire::upgrade_resource_identity::Response> {
        answer("UpgradeResourceIdentity", async {
            self.upgrade_identity(&request.into_inner())
        })
        .await
    }

    async fn read_resource(
        &self,
        request: Request<wire::read_resource::Request>,
    ) -> Reply<wire::read_resource::Response> {
        answer("ReadResource", self.read(request.into_inner())).await
    }

    async fn plan_resource_change(
        &self,
        request: Request<wire::plan_resource_change::Request>,
    ) -> Reply<wire::plan_resource_change::Response> {
        answer("PlanResourceChange", async {
            self.plan(request.into_inner())
        })
        .await
    }

    async fn apply_resource_change(
        &self,
        request: Request<wire::apply_resource_change::Request>,
    ) -> Reply<wire::apply_resource_change::Response> {
        answer("ApplyResourceChange", self.apply(request.into_inner())).await
    }

    async fn import_resource_state(
        &self,
        request: Request<wire::import_resource_state::Request>,
    ) -> Reply<wire::import_resource_state::Response> {
        answer("ImportResourceState", self.import(request.into_inner())).await
    }
}
