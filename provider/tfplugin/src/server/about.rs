//! What the provider is: names, schemas, capabilities.

use std::collections::HashMap;

use proto::tfplugin6::{
    self as wire, ServerCapabilities, resource_identity_schema::IdentityAttribute,
};

use super::{Server, answer::telling};
use crate::{Diagnostic, Diagnostics, Kind, Provider, schema, served::Served};

const CAPABILITIES: ServerCapabilities = ServerCapabilities {
    plan_destroy: true,
    get_provider_schema_optional: true,
    move_resource_state: false,
    generate_resource_config: false,
};

impl<P: Provider> Server<P> {
    pub(super) fn metadata(&self) -> wire::get_metadata::Response {
        let name = |name: &&str| wire::get_metadata::TypeMetadata {
            type_name: (*name).to_owned(),
        };
        wire::get_metadata::Response {
            server_capabilities: Some(CAPABILITIES),
            resources: self.resources.keys().map(name).collect(),
            data_sources: self.data_sources.keys().map(name).collect(),
            ephemeral_resources: self.ephemeral_resources.keys().map(name).collect(),
            ..Default::default()
        }
    }

    pub(super) fn schemas(&self) -> wire::get_provider_schema::Response {
        let reply = wire::get_provider_schema::Response {
            provider: Some(schema::of_config::<P::Config>()),
            server_capabilities: Some(CAPABILITIES),
            resource_schemas: self.each(|resource| resource.schema()),
            data_source_schemas: self
                .data_sources
                .iter()
                .map(|(name, source)| ((*name).to_owned(), source.schema()))
                .collect(),
            ephemeral_resource_schemas: self
                .ephemeral_resources
                .iter()
                .map(|(name, resource)| ((*name).to_owned(), resource.schema()))
                .collect(),
            ..Default::default()
        };
        telling(reply, self.faults(), &self.config)
    }

    pub(super) fn identity_schemas(&self) -> wire::get_resource_identity_schemas::Response {
        let mut identity_schemas: HashMap<_, _> = self.each(identity_schema);
        identity_schemas.retain(|_, schema| !schema.identity_attributes.is_empty());
        wire::get_resource_identity_schemas::Response {
            identity_schemas,
            diagnostics: vec![],
        }
    }

    /// Returns something of each resource, by name.
    fn each<T, M: FromIterator<(String, T)>>(
        &self,
        get: impl Fn(&dyn Served<P::Context>) -> T,
    ) -> M {
        self.resources
            .iter()
            .map(|(name, resource)| ((*name).to_owned(), get(&**resource)))
            .collect()
    }

    fn faults(&self) -> Diagnostics {
        let resources = self.resources.values();
        let resources = resources.map(|resource| (resource.name(), resource.faults()));
        let sources = self.data_sources.values();
        let sources = sources.map(|source| (source.name(), source.faults()));
        let ephemeral = self.ephemeral_resources.values();
        let ephemeral = ephemeral.map(|resource| (resource.name(), resource.faults()));
        let all = resources.chain(sources).chain(ephemeral);
        let faulty = all.flat_map(|(name, faults)| {
            faults.into_iter().map(move |fault| {
                Diagnostic::error("Faulty schema", format!("{name}: {fault}. Report it."))
            })
        });
        faulty.collect()
    }
}

fn identity_schema<C>(resource: &dyn Served<C>) -> wire::ResourceIdentitySchema {
    let attribute = |(name, description): (&str, String)| IdentityAttribute {
        name: name.to_owned(),
        r#type: Kind::Text.to_json().to_string().into_bytes(),
        required_for_import: true,
        optional_for_import: false,
        description,
    };
    wire::ResourceIdentitySchema {
        version: 0,
        identity_attributes: resource.identity().into_iter().map(attribute).collect(),
    }
}
