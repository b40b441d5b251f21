//! A provider whose one resource is declared wrongly and whose plan panics.

use plugin::{
    Deadline, Diagnostics, Done, Paths, Planned, Provider, Registration, Resource, Rule, Stage,
    object, resource,
};
use tokio::time::Instant;

use crate::toy::{Config, World};

/// Declared wrongly: a computed attribute in the input, a name on both sides.
pub(crate) struct Faulty;

object! {
    /// Wrong.
    pub(crate) struct FaultyInput {
        /// Computed, but on the user's side.
        Computed found: String,
        /// On both sides.
        Optional both: String,
    }
}

object! {
    /// Wrong.
    pub(crate) struct FaultyOutput {
        /// On both sides.
        Computed both: String,
    }
}

impl Resource for Faulty {
    const NAME: &'static str = "toy_faulty";
    const IDENTITY: &'static [&'static str] = &["nothing"];

    type Input = FaultyInput;
    type Output = FaultyOutput;
    type Context = World;

    fn describe_rule(_: Rule) -> &'static str {
        ""
    }

    fn check(_: &FaultyInput, _: &Paths) -> Diagnostics {
        Diagnostics::none()
    }

    fn plan(_: &Stage<'_, Self>) -> Planned<Self::Output> {
        panic!("as ordered")
    }

    async fn apply(
        _: &World,
        _: &Stage<'_, Self>,
        _: &Deadline,
        _: &mut Option<FaultyOutput>,
    ) -> Done {
        Ok(Diagnostics::none())
    }

    async fn read(_: &World, _: &FaultyInput, _: Instant, _: &mut Option<FaultyOutput>) -> Done {
        Ok(Diagnostics::none())
    }
}

/// A provider whose one resource is declared wrongly.
pub(crate) struct FaultyToy;

impl Provider for FaultyToy {
    type Config = Config;
    type Context = World;

    fn check(_: &Config, _: &Paths) -> Diagnostics {
        Diagnostics::none()
    }

    fn configure(&self, _: Config) -> Result<World, Diagnostics> {
        Ok(World::default())
    }

    fn resources() -> Vec<Registration<World>> {
        vec![resource::<Faulty>()]
    }
}
