//! What the user wrote: checking it, and configuring the provider.

use std::sync::{Arc, PoisonError};

use proto::tfplugin6 as wire;

use super::{
    Entry, Server,
    answer::{Failure, with_diagnostics},
};
use plugin::{Diagnostics, Named, Provider, Raw, Registry};

use crate::convert;

impl<P: Provider> Server<P> {
    pub(super) fn validate_config(
        &self,
        request: &wire::validate_provider_config::Request,
    ) -> Result<wire::validate_provider_config::Response, Failure> {
        let raw = convert::read(request.config.as_ref(), &self.config)?;
        Ok(with_diagnostics::<P, _>(
            wire::validate_provider_config::Response::default(),
            Registry::<P>::check(raw),
            &self.config,
        ))
    }

    pub(super) fn configure(
        &self,
        request: &wire::configure_provider::Request,
    ) -> Result<wire::configure_provider::Response, Failure> {
        let raw = convert::read(request.config.as_ref(), &self.config)?;
        // A configuration that failed must not leave the one before in its place.
        let (context, diagnostics) = self.registry.configure(raw);
        let context = context.map(Arc::new);
        *self.context.write().unwrap_or_else(PoisonError::into_inner) = context;
        Ok(with_diagnostics::<P, _>(
            wire::configure_provider::Response::default(),
            diagnostics,
            &self.config,
        ))
    }

    pub(super) fn validate(
        &self,
        request: &wire::validate_resource_config::Request,
    ) -> Result<wire::validate_resource_config::Response, Failure> {
        let resource = self.resource(&request.type_name)?;
        let config = convert::read(request.config.as_ref(), &resource.layout.kind)?;
        Ok(with_diagnostics::<P, _>(
            wire::validate_resource_config::Response::default(),
            resource.validate(config),
            &resource.layout.kind,
        ))
    }

    pub(super) fn validate_data(
        &self,
        request: &wire::validate_data_resource_config::Request,
    ) -> Result<wire::validate_data_resource_config::Response, Failure> {
        let source = self.data_source(&request.type_name)?;
        let config = convert::read(request.config.as_ref(), &source.layout.kind)?;
        Ok(with_diagnostics::<P, _>(
            wire::validate_data_resource_config::Response::default(),
            source.validate(config),
            &source.layout.kind,
        ))
    }
}

impl<S: Named + ?Sized> Entry<S> {
    /// Checks a configuration: nothing in it is the provider's, and what the kind itself says.
    pub(super) fn validate(&self, config: Raw) -> Diagnostics {
        let mut diagnostics = self.layout.read_only(&config);
        let input = self.layout.split(config).map(|sides| sides.input);
        diagnostics.append((self.served.described().validate)(
            &input.unwrap_or_default(),
        ));
        diagnostics
    }
}
