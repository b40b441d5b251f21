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
    time::Duration,
};

use proto::tfplugin6::{self as wire, provider_server};
use tonic::{Request, Response, Status};

use plugin::{
    Bounds, Diagnostic, Fault, Kind, Named, Provider, Registry, Served, ServedData, ServedEphemeral,
};

use crate::{layout::Layout, serve::Stop};
use answer::answer;

/// A provider as Terraform calls it.
pub struct Server<P: Provider> {
    registry: Registry<P>,
    config: Kind,
    resources: Entries<dyn Served<P::Context>>,
    data_sources: Entries<dyn ServedData<P::Context>>,
    ephemeral_resources: Entries<dyn ServedEphemeral<P::Context>>,
    /// Set by each configuration; one process may get several while it is debugged.
    context: RwLock<Option<Arc<P::Context>>>,
    stop: Stop,
}

type Entries<S> = BTreeMap<&'static str, Entry<S>>;

/// What is served under a name, and how its states are laid out.
struct Entry<S: ?Sized> {
    served: Arc<S>,
    layout: Layout,
}

fn entries<S: Named + ?Sized>(served: &BTreeMap<&'static str, Arc<S>>) -> Entries<S> {
    let entry = |(name, served): (&&'static str, &Arc<S>)| {
        let entry = Entry {
            served: Arc::clone(served),
            layout: Layout::new(&served.described().declared),
        };
        (*name, entry)
    };
    served.iter().map(entry).collect()
}

impl<P: Provider> Server<P> {
    /// Returns the server of a provider that is not configured yet.
    pub fn new(provider: P) -> Self {
        let registry = Registry::new(provider);
        Self {
            config: Registry::<P>::config_kind(),
            resources: entries(&registry.resources),
            data_sources: entries(&registry.data_sources),
            ephemeral_resources: entries(&registry.ephemeral_resources),
            registry,
            context: RwLock::default(),
            stop: Stop::default(),
        }
    }

    fn resource(&self, name: &str) -> Result<&Entry<dyn Served<P::Context>>, Diagnostic> {
        find("Unknown resource type", name, &self.resources)
    }

    fn data_source(&self, name: &str) -> Result<&Entry<dyn ServedData<P::Context>>, Diagnostic> {
        find("Unknown data source", name, &self.data_sources)
    }

    fn ephemeral_resource(
        &self,
        name: &str,
    ) -> Result<&Entry<dyn ServedEphemeral<P::Context>>, Diagnostic> {
        find(
            "Unknown ephemeral resource",
            name,
            &self.ephemeral_resources,
        )
    }

    /// Returns what stops the calls that run.
    pub(crate) fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Returns the bounds of work that starts now.
    fn bounds(&self, limit: Duration) -> Bounds {
        Bounds {
            limit,
            stop: self.stop.token(),
        }
    }

    fn context(&self) -> Result<Arc<P::Context>, Diagnostic> {
        let context = self
            .context
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        context.ok_or_else(|| {
            let detail = "Terraform called the provider before it configured it, or the configuration failed.";
            Diagnostic::fault(Fault::NotConfigured, detail)
        })
    }
}

fn find<'a, S: ?Sized>(
    summary: &str,
    name: &str,
    entries: &'a Entries<S>,
) -> Result<&'a Entry<S>, Diagnostic> {
    entries.get(name).ok_or_else(|| {
        let known: Vec<_> = entries.keys().copied().collect();
        let detail = format!(
            "This version of the provider has no `{name}`. It has: {}.",
            known.join(", ")
        );
        Diagnostic {
            summary: summary.to_owned(),
            ..Diagnostic::fault(Fault::UnknownType, detail)
        }
    })
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl<P: Provider> provider_server::Provider for Server<P> {
    async fn get_metadata(
        &self,
        _: Request<wire::get_metadata::Request>,
    ) -> Reply<wire::get_metadata::Response> {
        answer::<P, _>("GetMetadata", async { Ok(self.metadata()) }).await
    }

    async fn get_provider_schema(
        &self,
        _: Request<wire::get_provider_schema::Request>,
    ) -> Reply<wire::get_provider_schema::Response> {
        answer::<P, _>("GetProviderSchema", async { Ok(self.schemas()) }).await
    }

    async fn get_resource_identity_schemas(
        &self,
        _: Request<wire::get_resource_identity_schemas::Request>,
    ) -> Reply<wire::get_resource_identity_schemas::Response> {
        answer::<P, _>("GetResourceIdentitySchemas", async {
            Ok(self.identity_schemas())
        })
        .await
    }

    async fn get_functions(
        &self,
        _: Request<wire::get_functions::Request>,
    ) -> Reply<wire::get_functions::Response> {
        answer::<P, _>("GetFunctions", async {
            Ok(wire::get_functions::Response::default())
        })
        .await
    }

    async fn validate_provider_config(
        &self,
        request: Request<wire::validate_provider_config::Request>,
    ) -> Reply<wire::validate_provider_config::Response> {
        answer::<P, _>("ValidateProviderConfig", async {
            self.validate_config(&request.into_inner())
        })
        .await
    }

    async fn configure_provider(
        &self,
        request: Request<wire::configure_provider::Request>,
    ) -> Reply<wire::configure_provider::Response> {
        answer::<P, _>("ConfigureProvider", async {
            self.configure(&request.into_inner())
        })
        .await
    }

    async fn stop_provider(
        &self,
        _: Request<wire::stop_provider::Request>,
    ) -> Reply<wire::stop_provider::Response> {
        tracing::info!("stopping at Terraform's request");
        self.stop.stop();
        Ok(Response::new(wire::stop_provider::Response::default()))
    }

    async fn validate_resource_config(
        &self,
        request: Request<wire::validate_resource_config::Request>,
    ) -> Reply<wire::validate_resource_config::Response> {
        answer::<P, _>("ValidateResourceConfig", async {
            self.validate(&request.into_inner())
        })
        .await
    }

    async fn validate_data_resource_config(
        &self,
        request: Request<wire::validate_data_resource_config::Request>,
    ) -> Reply<wire::validate_data_resource_config::Response> {
        answer::<P, _>("ValidateDataResourceConfig", async {
            self.validate_data(&request.into_inner())
        })
        .await
    }

    async fn read_data_source(
        &self,
        request: Request<wire::read_data_source::Request>,
    ) -> Reply<wire::read_data_source::Response> {
        answer::<P, _>("ReadDataSource", self.read_data(request.into_inner())).await
    }

    async fn validate_ephemeral_resource_config(
        &self,
        request: Request<wire::validate_ephemeral_resource_config::Request>,
    ) -> Reply<wire::validate_ephemeral_resource_config::Response> {
        answer::<P, _>("ValidateEphemeralResourceConfig", async {
            self.validate_ephemeral(&request.into_inner())
        })
        .await
    }

    async fn open_ephemeral_resource(
        &self,
        request: Request<wire::open_ephemeral_resource::Request>,
    ) -> Reply<wire::open_ephemeral_resource::Response> {
        answer::<P, _>("OpenEphemeralResource", self.open(request.into_inner())).await
    }

    async fn renew_ephemeral_resource(
        &self,
        request: Request<wire::renew_ephemeral_resource::Request>,
    ) -> Reply<wire::renew_ephemeral_resource::Response> {
        answer::<P, _>("RenewEphemeralResource", self.renew(request.into_inner())).await
    }

    async fn close_ephemeral_resource(
        &self,
        request: Request<wire::close_ephemeral_resource::Request>,
    ) -> Reply<wire::close_ephemeral_resource::Response> {
        answer::<P, _>("CloseEphemeralResource", self.close(request.into_inner())).await
    }

    async fn upgrade_resource_state(
        &self,
        request: Request<wire::upgrade_resource_state::Request>,
    ) -> Reply<wire::upgrade_resource_state::Response> {
        answer::<P, _>("UpgradeResourceState", async {
            self.upgrade_state(&request.into_inner())
        })
        .await
    }

    async fn upgrade_resource_identity(
        &self,
        request: Request<wire::upgrade_resource_identity::Request>,
    ) -> Reply<wire::upgrade_resource_identity::Response> {
        answer::<P, _>("UpgradeResourceIdentity", async {
            self.upgrade_identity(&request.into_inner())
        })
        .await
    }

    async fn read_resource(
        &self,
        request: Request<wire::read_resource::Request>,
    ) -> Reply<wire::read_resource::Response> {
        answer::<P, _>("ReadResource", self.read(request.into_inner())).await
    }

    async fn plan_resource_change(
        &self,
        request: Request<wire::plan_resource_change::Request>,
    ) -> Reply<wire::plan_resource_change::Response> {
        answer::<P, _>("PlanResourceChange", async {
            self.plan(request.into_inner())
        })
        .await
    }

    async fn apply_resource_change(
        &self,
        request: Request<wire::apply_resource_change::Request>,
    ) -> Reply<wire::apply_resource_change::Response> {
        answer::<P, _>("ApplyResourceChange", self.apply(request.into_inner())).await
    }

    async fn import_resource_state(
        &self,
        request: Request<wire::import_resource_state::Request>,
    ) -> Reply<wire::import_resource_state::Response> {
        answer::<P, _>("ImportResourceState", self.import(request.into_inner())).await
    }
}
