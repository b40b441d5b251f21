//! What the provider is: names, schemas, capabilities.

use std::collections::HashMap;

use proto::tfplugin6::{
    self as wire, ServerCapabilities, resource_identity_schema::IdentityAttribute,
};

use super::{Entries, Entry, Server, answer::with_diagnostics};
use plugin::{Diagnostic, Diagnostics, Fault, Kind, Named, Provider, Served, markdown};

use crate::{codec::kind, schema};

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
            resource_schemas: schemas(&self.resources, Served::version),
            data_source_schemas: schemas(&self.data_sources, |_| 0),
            ephemeral_resource_schemas: schemas(&self.ephemeral_resources, |_| 0),
            ..Default::default()
        };
        with_diagnostics::<P, _>(reply, self.faults(), &self.config)
    }

    pub(super) fn identity_schemas(&self) -> wire::get_resource_identity_schemas::Response {
        let each = self
            .resources
            .iter()
            .map(|(name, entry)| ((*name).to_owned(), identity_schema(&*entry.served)));
        let mut identity_schemas: HashMap<_, _> = each.collect();
        identity_schemas.retain(|_, schema| !schema.identity_attributes.is_empty());
        wire::get_resource_identity_schemas::Response {
            identity_schemas,
            diagnostics: vec![],
        }
    }

    fn faults(&self) -> Diagnostics {
        let faulty = self.registry.all().flat_map(|of| {
            let name = of.name;
            of.faults().into_iter().map(move |fault| {
                Diagnostic::fault(Fault::FaultySchema, format!("{name}: {fault}. Report it."))
            })
        });
        faulty.collect()
    }
}

fn schemas<S: Named + ?Sized>(
    entries: &Entries<S>,
    version: fn(&S) -> u32,
) -> HashMap<String, wire::Schema> {
    let schema = |entry: &Entry<S>| {
        schema::of_declared(&entry.served.described().declared, version(&entry.served))
    };
    entries
        .iter()
        .map(|(name, entry)| ((*name).to_owned(), schema(entry)))
        .collect()
}

fn identity_schema<C>(resource: &dyn Served<C>) -> wire::ResourceIdentitySchema {
    let doc = |name: &str| {
        let mut declared = resource.described().declared.input.iter();
        declared
            .find(|attribute| attribute.name == name)
            .map_or("", |attribute| attribute.doc)
    };
    let attribute = |name: &&'static str| IdentityAttribute {
        name: (*name).to_owned(),
        r#type: kind::write(&Kind::Text).to_string().into_bytes(),
        required_for_import: true,
        optional_for_import: false,
        description: markdown(doc(name)),
    };
    wire::ResourceIdentitySchema {
        version: 0,
        identity_attributes: resource
            .described()
            .identity
            .iter()
            .map(attribute)
            .collect(),
    }
}
