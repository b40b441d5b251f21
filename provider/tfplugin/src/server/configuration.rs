//! What the user wrote: checking it, and configuring the provider.

use std::sync::{Arc, PoisonError};

use proto::tfplugin6 as wire;

use super::{
    Server,
    answer::{Failure, telling},
};
use crate::{Diagnostics, Path, Paths, Provider, Raw, Shape, wire as convert};

impl<P: Provider> Server<P> {
    pub(super) fn validate_config(
        &self,
        request: &wire::validate_provider_config::Request,
    ) -> Result<wire::validate_provider_config::Response, Failure> {
        let raw = convert::read(request.config.as_ref(), &self.config)?;
        let (config, mut told) = read_config::<P>(raw.clone());
        if let Some(config) = config {
            let unknown = Paths::unknown_in(&raw).with_told(&told);
            told.append(P::check(&config, &unknown));
        }
        Ok(telling(
            wire::validate_provider_config::Response::default(),
            told,
            &self.config,
        ))
    }

    pub(super) fn configure(
        &self,
        request: &wire::configure_provider::Request,
    ) -> Result<wire::configure_provider::Response, Failure> {
        let raw = convert::read(request.config.as_ref(), &self.config)?;
        let (config, mut told) = read_config::<P>(raw);
        // A configuration that failed must not leave the one before in its place.
        let mut context = None;
        if let (Some(config), false) = (config, told.has_error()) {
            match self.provider.configure(config) {
                Ok(made) => context = Some(Arc::new(made)),
                Err(failed) => told.append(failed),
            }
        }
        *self.context.write().unwrap_or_else(PoisonError::into_inner) = context;
        Ok(telling(
            wire::configure_provider::Response::default(),
            told,
            &self.config,
        ))
    }

    pub(super) fn validate(
        &self,
        request: &wire::validate_resource_config::Request,
    ) -> Result<wire::validate_resource_config::Response, Failure> {
        let resource = self.resource(&request.type_name)?;
        let config = convert::read(request.config.as_ref(), resource.kind())?;
        let told = resource.validate(&config);
        Ok(telling(
            wire::validate_resource_config::Response::default(),
            told,
            resource.kind(),
        ))
    }

    pub(super) fn validate_data(
        &self,
        request: &wire::validate_data_resource_config::Request,
    ) -> Result<wire::validate_data_resource_config::Response, Failure> {
        let source = self.data_source(&request.type_name)?;
        let config = convert::read(request.config.as_ref(), source.kind())?;
        let told = source.validate(&config);
        Ok(telling(
            wire::validate_data_resource_config::Response::default(),
            told,
            source.kind(),
        ))
    }
}

/// Reads a provider block. Terraform sends null for one that is not there: it counts as empty.
fn read_config<P: Provider>(raw: Raw) -> (Option<P::Config>, Diagnostics) {
    let mut told = Diagnostics::none();
    let raw = if raw == Raw::Null {
        Raw::Map([].into())
    } else {
        raw
    };
    (P::Config::read(&raw, &Path::root(), &mut told), told)
}
