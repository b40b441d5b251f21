//! A toy provider: things in a world of memory, with faults to order.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use plugin::{
    Changed, DataRegistration, DataSource, Deadline, Diagnostic, Diagnostics, Done,
    EphemeralRegistration, Found, Import, ImportId, Imported, Limits, Paths, Planned, Provider,
    Registration, Resource, Rule, Stage, Text, Timeouts, Value, all_unknown, data_source,
    ephemeral_resource, importable, object, unknown_from,
};
use tokio::{sync::Notify, time::Instant};

use crate::key::Key;

/// What a change of a toy's attribute does.
pub(crate) const UPDATE: Rule = Rule::new(1);
pub(crate) const REPLACE: Rule = Rule::new(2).replacing();

object! {
    /// A port of a thing.
    pub(crate) struct Port {
        /// Its number.
        Required number: u16 => UPDATE,
        /// Its protocol.
        Optional protocol: String => UPDATE,
    }
}

object! {
    /// A thing of the world.
    ///
    /// It has labels.
    pub(crate) struct ThingInput {
        /// Name of the thing, a whole number of letters.
        Required name: Text<Name> => REPLACE,
        /// Labels.
        /// Keys may have dots.
        Optional labels: BTreeMap<String, String> => UPDATE,
        /// Ports by name.
        Optional ports: BTreeMap<String, Port> => UPDATE,
        /// Sizes.
        Optional sizes: Vec<u32> => UPDATE,
        /// A share of any precision.
        Optional share: Share,
        /// Not for eyes.
        Secret password: String => UPDATE,
        /// What goes wrong: `before`, `after`, `panic`, `hang`, `warn`, `keep`, `lose` or `read`.
        Optional fault: String,
        /// Limits.
        Optional timeouts: Timeouts,
    }
}

object! {
    /// What the world made of it.
    pub(crate) struct ThingOutput {
        /// Its id.
        Computed id: String => REPLACE,
        /// How often it was changed.
        Computed revision: u64 => UPDATE,
        /// What differs from what should be.
        Computed drift: Vec<String> => REPLACE,
    }
}

/// A name: letters only.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Name(String);

impl std::str::FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.chars().all(char::is_alphabetic) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("{text:?} is no name"))
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A number that is kept as it came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Share(plugin::Number);

impl plugin::Shape for Share {
    fn ty() -> plugin::Type {
        plugin::Type::Number
    }

    fn read(raw: &plugin::Raw, _: &plugin::Path, _: &mut Diagnostics) -> Option<Self> {
        if let plugin::Raw::Number(number) = raw {
            Some(Self(number.clone()))
        } else {
            None
        }
    }

    fn write(&self) -> plugin::Raw {
        plugin::Raw::Number(self.0.clone())
    }
}

/// What exists, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    things: Arc<Mutex<BTreeMap<String, Thing>>>,
    keys: Arc<Mutex<Vec<String>>>,
    /// Told when a call begins to hang.
    pub(crate) hanging: Arc<Notify>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Thing {
    pub(crate) revision: u64,
    pub(crate) drift: Vec<String>,
}

impl World {
    pub(crate) fn things(&self) -> MutexGuard<'_, BTreeMap<String, Thing>> {
        self.things.lock().unwrap()
    }

    /// What happened to keys.
    pub(crate) fn keys(&self) -> MutexGuard<'_, Vec<String>> {
        self.keys.lock().unwrap()
    }
}

pub(crate) struct ThingResource;

fn name(input: &ThingInput) -> String {
    input
        .name
        .known()
        .map(|name| name.0.to_string())
        .unwrap_or_default()
}

fn output(name: &str, thing: &Thing) -> ThingOutput {
    ThingOutput {
        id: name.to_owned().into(),
        revision: thing.revision.into(),
        drift: thing.drift.clone().into(),
    }
}

/// Waits, fails or crashes, as the input orders for this moment.
async fn suffer(world: &World, input: &ThingInput, moment: &str) -> Done {
    match input.fault.known().map(String::as_str) {
        Some("hang") if moment == "after" => {
            world.hanging.notify_one();
            std::future::pending().await
        }
        Some("panic") if moment == "after" => panic!("as ordered"),
        Some("warn") if moment == "after" => {
            Ok(Diagnostic::warning("A warning", "As ordered.").into())
        }
        Some(fault) if fault == moment => Err(Diagnostic::error(
            "Failed",
            format!("As ordered: {moment}."),
        )
        .at("fault")
        .into()),
        _ => Ok(Diagnostics::none()),
    }
}

impl Resource for ThingResource {
    const NAME: &'static str = "toy_thing";
    const LIMITS: Limits = Limits {
        read: Duration::from_secs(3),
        ..Limits::DEFAULT
    };
    const IDENTITY: &'static [&'static str] = &["name"];

    type Input = ThingInput;
    type Output = ThingOutput;
    type Context = World;

    fn describe_rule(rule: Rule) -> &'static str {
        match rule {
            UPDATE => "Changing it updates the thing.",
            REPLACE => "Changing it replaces the thing.",
            _ => "",
        }
    }

    fn check(input: &ThingInput, unknown: &Paths) -> Diagnostics {
        let forbidden = |key: &&String| {
            key.starts_with("toy.example/") && !unknown.is_unknown(format!("labels.{key}"))
        };
        let keys = input
            .labels
            .known()
            .into_iter()
            .flatten()
            .map(|(key, _)| key)
            .filter(forbidden);
        keys.map(|key| {
            Diagnostic::error("Reserved label", "Choose another key.").at(format!("labels.{key}"))
        })
        .collect()
    }

    fn plan(stage: &Stage<'_, Self>) -> Planned<Self::Output> {
        match stage {
            Stage::Create { next } => {
                let id = next.name.clone().map(|name| name.0.to_string());
                Planned::new(ThingOutput {
                    id,
                    drift: vec![].into(),
                    ..all_unknown()
                })
            }
            Stage::Update { output, edits, .. } => {
                let is_edited = edits.iter().any(|edit| edit.rule.rank > 0);
                let drifted = output.drift.known().is_some_and(|lines| !lines.is_empty());
                let planned = if is_edited || drifted {
                    unknown_from(*output, UPDATE.rank)
                } else {
                    ThingOutput::clone(output)
                };
                Planned::new(ThingOutput {
                    id: output.id.clone(),
                    drift: vec![].into(),
                    revision: if drifted {
                        Value::Unknown
                    } else {
                        planned.revision
                    },
                })
            }
            Stage::Delete { output, prior } => {
                let mut planned = Planned::new(ThingOutput::clone(output));
                if prior.fault.known().is_some_and(|fault| fault == "warn") {
                    planned
                        .diagnostics
                        .push(Diagnostic::warning("It will hurt", "As ordered."));
                }
                planned
            }
        }
    }

    async fn apply(
        world: &World,
        stage: &Stage<'_, Self>,
        _: &Deadline,
        reached: &mut Option<ThingOutput>,
    ) -> Done {
        match stage {
            Stage::Create { next } | Stage::Update { next, .. } => {
                suffer(world, next, "before").await?;
                let thing = {
                    let mut things = world.things();
                    let thing = things.entry(name(next)).or_default();
                    if changes(stage) {
                        thing.revision += 1;
                    }
                    thing.drift.clear();
                    thing.clone()
                };
                *reached = Some(output(&name(next), &thing));
                suffer(world, next, "after").await
            }
            Stage::Delete { prior, .. } => {
                suffer(world, prior, "keep").await?;
                world.things().remove(&name(prior));
                *reached = None;
                suffer(world, prior, "lose").await
            }
        }
    }

    async fn read(
        world: &World,
        input: &ThingInput,
        _: Instant,
        reached: &mut Option<ThingOutput>,
    ) -> Done {
        suffer(world, input, "read").await?;
        *reached = world
            .things()
            .get(&name(input))
            .map(|thing| output(&name(input), thing));
        Ok(Diagnostics::none())
    }
}

fn changes(stage: &Stage<'_, ThingResource>) -> bool {
    let Stage::Update { edits, output, .. } = stage else {
        return true;
    };
    let edited = edits
        .iter()
        .any(|edit: &Changed| edit.rule.rank >= UPDATE.rank);
    edited || output.drift.known().is_some_and(|lines| !lines.is_empty())
}

impl Import for ThingResource {
    async fn import(
        world: &World,
        id: &ImportId,
        _: Instant,
    ) -> Result<Imported<ThingInput, ThingOutput>, Diagnostics> {
        let name = match id {
            ImportId::Text(name) => name.clone(),
            ImportId::Identity(parts) => parts.get("name").cloned().unwrap_or_default(),
        };
        let thing = world.things().get(&name).cloned();
        let thing = thing
            .ok_or_else(|| Diagnostic::error("No such thing", format!("There is no {name:?}.")))?;
        let input = ThingInput {
            name: Text(Name(name.clone())).into(),
            ..Default::default()
        };
        Ok(Imported {
            input,
            output: output(&name, &thing),
            diagnostics: Diagnostics::none(),
        })
    }
}

object! {
    /// Looks for things.
    pub(crate) struct SearchInput {
        /// The letters that a name begins with.
        Required prefix: Text<Name>,
        /// What goes wrong: `read`, `panic` or `warn`.
        Optional fault: String,
    }
}

object! {
    /// What was found.
    pub(crate) struct SearchOutput {
        /// Names of the things.
        Computed names: Vec<String>,
        /// Nobody's.
        Computed nothing: String,
    }
}

pub(crate) struct Search;

impl DataSource for Search {
    const NAME: &'static str = "toy_search";

    type Input = SearchInput;
    type Output = SearchOutput;
    type Context = World;

    fn check(input: &SearchInput, unknown: &Paths) -> Diagnostics {
        let odd = input.fault.known().filter(|fault| *fault == "odd");
        odd.filter(|_| !unknown.is_unknown("prefix"))
            .map(|_| Diagnostic::error("Odd fault", "Choose another.").at("fault"))
            .into_iter()
            .collect()
    }

    async fn read(
        world: &World,
        input: &SearchInput,
        _: Instant,
    ) -> Result<Found<SearchOutput>, Diagnostics> {
        let fault = input.fault.known().map(String::as_str);
        assert!(fault != Some("panic"), "as ordered");
        if fault == Some("read") {
            return Err(Diagnostic::error("Failed", "As ordered.")
                .at("fault")
                .into());
        }
        let prefix = input.prefix.known().map(|text| text.0.to_string());
        let prefix = prefix.unwrap_or_default();
        let things = world.things().clone();
        let names = things.into_keys();
        let names: Vec<_> = names.filter(|name| name.starts_with(&prefix)).collect();
        let mut found = Found::new(SearchOutput {
            names: names.into(),
            nothing: Value::Unknown,
        });
        if fault == Some("warn") {
            found.diagnostics = Diagnostic::warning("A warning", "As ordered.").into();
        }
        Ok(found)
    }
}

object! {
    /// The toy provider.
    pub(crate) struct Config {
        /// Which world: only `earth` exists.
        Optional world: String,
    }
}

/// The provider of things.
pub(crate) struct Toy(pub(crate) World);

impl Provider for Toy {
    type Config = Config;
    type Context = World;

    fn check(config: &Config, _: &Paths) -> Diagnostics {
        let other = config.world.known().filter(|world| *world != "earth");
        other
            .map(|_| Diagnostic::error("No such world", "There is only `earth`.").at("world"))
            .into_iter()
            .collect()
    }

    fn configure(&self, config: Config) -> Result<World, Diagnostics> {
        if config.world.known().is_some_and(|world| world == "void") {
            return Err(Diagnostic::error("Cannot reach the world", "It is void.")
                .at("world")
                .into());
        }
        Ok(self.0.clone())
    }

    fn resources() -> Vec<Registration<World>> {
        vec![importable::<ThingResource>()]
    }

    fn data_sources() -> Vec<DataRegistration<World>> {
        vec![data_source::<Search>()]
    }

    fn ephemeral_resources() -> Vec<EphemeralRegistration<World>> {
        vec![ephemeral_resource::<Key>()]
    }
}
