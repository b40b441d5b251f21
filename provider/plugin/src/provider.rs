//! The provider trait: what the author of a provider writes.

use crate::{DataRegistration, Diagnostics, EphemeralRegistration, Object, Paths, Registration};

/// A provider.
pub trait Provider: Send + Sync + 'static {
    /// The provider block.
    type Config: Object + Send;
    /// What a configured provider hands to its resources.
    type Context: Send + Sync + 'static;

    /// Checks the provider block: all problems at once, each with its path.
    fn check(config: &Self::Config, unknown: &Paths) -> Diagnostics;

    /// Makes the context. No I/O here: what is unknown or wrong fails at its first use.
    fn configure(&self, config: Self::Config) -> Result<Self::Context, Diagnostics>;

    /// Returns where a user reads on about a code: what ends a diagnostic of the framework.
    fn reference(code: &str) -> String {
        format!("[{code}]")
    }

    /// Returns the resources that are served.
    fn resources() -> Vec<Registration<Self::Context>>;

    /// Returns the data sources that are served.
    fn data_sources() -> Vec<DataRegistration<Self::Context>> {
        vec![]
    }

    /// Returns the ephemeral resources that are served.
    fn ephemeral_resources() -> Vec<EphemeralRegistration<Self::Context>> {
        vec![]
    }
}
