//! Everything that a provider serves, by name, and its configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{
    Described, Diagnostics, Kind, Object as _, Paths, Provider, Raw, Served, ServedData,
    ServedEphemeral, kind_of, written::read_written,
};

/// What a provider serves, by name.
pub struct Registry<P: Provider> {
    provider: P,
    /// The resources.
    pub resources: BTreeMap<&'static str, Arc<dyn Served<P::Context>>>,
    /// The data sources.
    pub data_sources: BTreeMap<&'static str, Arc<dyn ServedData<P::Context>>>,
    /// The ephemeral resources.
    pub ephemeral_resources: BTreeMap<&'static str, Arc<dyn ServedEphemeral<P::Context>>>,
}

impl<P: Provider> Registry<P> {
    /// Returns what a provider serves.
    pub fn new(provider: P) -> Self {
        let resources = P::resources()
            .into_iter()
            .map(|of| (of.0.described().name, of.0));
        let data_sources = P::data_sources()
            .into_iter()
            .map(|of| (of.0.described().name, of.0));
        let ephemeral = P::ephemeral_resources()
            .into_iter()
            .map(|of| (of.0.described().name, of.0));
        Self {
            provider,
            resources: resources.collect(),
            data_sources: data_sources.collect(),
            ephemeral_resources: ephemeral.collect(),
        }
    }

    /// Returns the type of the provider's configuration.
    pub fn config_kind() -> Kind {
        kind_of(&P::Config::attributes())
    }

    /// Checks a configuration of the provider: all problems at once. A null one counts as empty.
    pub fn check(raw: Raw) -> Diagnostics {
        let raw = or_empty(raw);
        let mut diagnostics = Diagnostics::none();
        if let Some(config) = read_written::<P::Config>(&raw, &mut diagnostics) {
            let unknown = Paths::unknown_in(&raw).with_reported(&diagnostics);
            diagnostics.append(P::check(&config, &unknown));
        }
        diagnostics
    }

    /// Makes what the kinds work with, or says why it cannot be made. A null configuration counts as empty.
    pub fn configure(&self, raw: Raw) -> (Option<P::Context>, Diagnostics) {
        let mut diagnostics = Diagnostics::none();
        let config = read_written::<P::Config>(&or_empty(raw), &mut diagnostics);
        let Some(config) = config.filter(|_| !diagnostics.has_error()) else {
            return (None, diagnostics);
        };
        match self.provider.configure(config) {
            Ok(context) => (Some(context), diagnostics),
            Err(failed) => {
                diagnostics.append(failed);
                (None, diagnostics)
            }
        }
    }

    /// Returns everything that is served, whatever its kind.
    pub fn all(&self) -> impl Iterator<Item = &Described> {
        let resources = self.resources.values().map(|of| of.described());
        let data_sources = self.data_sources.values().map(|of| of.described());
        let ephemeral = self.ephemeral_resources.values().map(|of| of.described());
        resources.chain(data_sources).chain(ephemeral)
    }
}

fn or_empty(raw: Raw) -> Raw {
    if raw == Raw::Null {
        Raw::Map([].into())
    } else {
        raw
    }
}
