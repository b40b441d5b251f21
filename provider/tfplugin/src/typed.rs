//! A typed resource behind raw values.

use std::sync::{Arc, OnceLock};

use futures::future::BoxFuture;
use proto::tfplugin6 as wire;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    Attribute, Diagnostic, Diagnostics, Import, ImportId, Kind, Object, Path, Paths, Planned, Raw,
    Resource, Shape, Stage, edits, schema,
    served::{PlannedChange, Registration, Served},
    work::{Work, within},
};

/// Registers a resource.
pub fn resource<R: Resource>() -> Registration<R::Context> {
    Registration(Arc::new(Typed::<R>::new(None)))
}

/// Registers a resource that can be imported.
pub fn importable<R: Import>() -> Registration<R::Context> {
    Registration(Arc::new(Typed::<R>::new(Some(|context, id, deadline| {
        Box::pin(R::import(context, id, deadline))
    }))))
}

/// How a resource is imported.
pub(crate) type Importer<R> = for<'a> fn(
    &'a <R as Resource>::Context,
    &'a ImportId,
    Instant,
) -> BoxFuture<
    'a,
    Result<(<R as Resource>::Input, <R as Resource>::Output), Diagnostics>,
>;

/// A resource by its type.
pub(crate) struct Typed<R: Resource> {
    shape: OnceLock<StateShape>,
    import: Option<Importer<R>>,
}

/// The two sides of a state.
pub(crate) struct StateShape {
    pub(crate) input: Vec<Attribute>,
    /// Names of what the provider finds out.
    output: Vec<&'static str>,
    pub(crate) kind: Kind,
}

impl StateShape {
    pub(crate) fn new(input: Vec<Attribute>, output: &[Attribute]) -> Self {
        let both = input.iter().chain(output);
        let kinds = both.map(|attribute| (attribute.name.to_owned(), attribute.ty.kind()));
        Self {
            kind: Kind::Object(kinds.collect()),
            input,
            output: output.iter().map(|attribute| attribute.name).collect(),
        }
    }

    /// Tells every attribute that the user wrote and only the provider can.
    pub(crate) fn read_only(&self, config: &Raw) -> Diagnostics {
        let written = self.output.iter();
        let written = written.filter(|name| *config.get(name) != Raw::Null);
        let tell = |name: &&'static str| {
            let detail = format!(
                "`{name}` is found out by the provider and cannot be set. Remove it from the configuration."
            );
            Diagnostic::error("Invalid Configuration for Read-Only Attribute", detail).at(*name)
        };
        written.map(tell).collect()
    }
}

/// What a state or a plan means; `None` for null.
pub(crate) type Sides<R> = Option<(<R as Resource>::Input, <R as Resource>::Output)>;

impl<R: Resource> Typed<R> {
    pub(crate) fn new(import: Option<Importer<R>>) -> Self {
        Self {
            shape: OnceLock::new(),
            import,
        }
    }

    pub(crate) fn shape(&self) -> &StateShape {
        self.shape
            .get_or_init(|| StateShape::new(R::Input::attributes(), &R::Output::attributes()))
    }

    /// Reads both sides of a state.
    pub(crate) fn sides(state: &Raw, problems: &mut Diagnostics) -> Sides<R> {
        if *state == Raw::Null {
            return None;
        }
        let input = R::Input::read(state, &Path::root(), problems)?;
        Some((input, R::Output::read(state, &Path::root(), problems)?))
    }

    /// Reads both sides of a stored state, which today's rules may no longer accept.
    pub(crate) fn stored(state: &Raw) -> Result<Sides<R>, Diagnostics> {
        let mut problems = Diagnostics::none();
        let sides = Self::sides(state, &mut problems);
        for problem in &mut problems.0 {
            "Stored value is not accepted".clone_into(&mut problem.summary);
            problem.detail += " It was stored by another version of the provider: use that version, or change the \
                               value and apply with `-refresh=false`.";
        }
        if problems.has_error() {
            Err(problems)
        } else {
            Ok(sides)
        }
    }

    /// Returns a state: the input as it came in `from`, and the output.
    ///
    /// An output attribute that did not change against `known` is copied from there, so that it stays equal to the
    /// last bit even if writing it would give another text for the same meaning.
    pub(crate) fn state(from: &Raw, known: &Raw, output: &R::Output) -> Raw {
        let (Raw::Map(fields), Raw::Map(new)) = (from, output.write()) else {
            return Raw::Null;
        };
        let mut fields = fields.clone();
        let before = R::Output::read(known, &Path::root(), &mut Diagnostics::none())
            .map_or(Raw::Null, |output| output.write());
        for (name, value) in new {
            let same = matches!(before, Raw::Map(_)) && *before.get(&name) == value;
            let value = if same {
                known.get(&name).clone()
            } else {
                value
            };
            fields.insert(name, value);
        }
        Raw::Map(fields)
    }
}

impl<R: Resource> Served<R::Context> for Typed<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn kind(&self) -> &Kind {
        &self.shape().kind
    }

    fn schema(&self) -> wire::Schema {
        schema::of_sides::<R::Input, R::Output>(R::tells)
    }

    fn faults(&self) -> Vec<String> {
        let (input, output) = (R::Input::attributes(), R::Output::attributes());
        let mut faults = schema::faults(&input, &output);
        faults.extend(schema::faults_of_identity(R::IDENTITY, &input));
        faults
    }

    fn identity(&self) -> Vec<(&'static str, String)> {
        let doc = |name: &str| {
            self.shape()
                .input
                .iter()
                .find(|attribute| attribute.name == name)
                .map_or("", |attribute| attribute.doc)
        };
        R::IDENTITY
            .iter()
            .map(|name| (*name, schema::markdown(doc(name))))
            .collect()
    }

    fn validate(&self, config: &Raw) -> Diagnostics {
        let mut told = self.shape().read_only(config);
        if let Some(input) = R::Input::read(config, &Path::root(), &mut told) {
            let unknown = Paths::unknown_in(config).with_told(&told);
            told.append(R::check(&input, &unknown));
        }
        told
    }

    fn plan(&self, prior: &Raw, proposed: &Raw) -> PlannedChange {
        // A stored value that is no longer accepted is about to be replaced by what the user wrote.
        let stored = Self::sides(prior, &mut Diagnostics::none());
        let mut told = Diagnostics::none();
        let next = Self::sides(proposed, &mut told).map(|(next, _)| next);
        let mut replaces = vec![];
        let stage: Stage<'_, R> = match (&stored, &next) {
            (None, None) => {
                return PlannedChange {
                    state: Raw::Null,
                    replaces,
                    diagnostics: told,
                };
            }
            (None, Some(next)) => Stage::Create { next },
            (Some((prior, output)), None) => Stage::Delete { prior, output },
            (Some((was, output)), Some(next)) => {
                let edits = edits(&self.shape().input, prior, proposed);
                replaces = edits
                    .iter()
                    .filter(|edit| edit.rule.replaces)
                    .map(|edit| edit.at.clone())
                    .collect();
                Stage::Update {
                    prior: was,
                    output,
                    next,
                    edits,
                }
            }
        };
        let Planned {
            output,
            diagnostics,
        } = R::plan(&stage);
        told.append(diagnostics);
        let planned = if next.is_some() {
            Self::state(proposed, prior, &output)
        } else {
            Raw::Null
        };
        PlannedChange {
            state: planned,
            replaces,
            diagnostics: told,
        }
    }

    fn apply<'a>(
        &'a self,
        context: &'a R::Context,
        prior: &'a Raw,
        planned: &'a Raw,
        stop: CancellationToken,
    ) -> BoxFuture<'a, (Raw, Diagnostics)> {
        Box::pin(async move {
            match self.change(context, prior, planned, stop).await {
                Ok(done) => done,
                Err(told) => (prior.clone(), told),
            }
        })
    }

    fn read<'a>(
        &'a self,
        context: &'a R::Context,
        state: &'a Raw,
        stop: CancellationToken,
    ) -> BoxFuture<'a, (Raw, Diagnostics)> {
        Box::pin(async move {
            let (input, output) = match Self::stored(state) {
                Ok(Some(sides)) => sides,
                Ok(None) => return (Raw::Null, Diagnostics::none()),
                Err(told) => return (state.clone(), told),
            };
            let mut reached = Some(output);
            let work = Work::new("refresh", R::LIMITS.for_value(state).read, stop);
            let done = within(&work, R::read(context, &input, work.deadline, &mut reached)).await;
            let seen = reached.map(|output| Self::state(state, state, &output).settled());
            match (done, seen) {
                (Ok(told), seen) => (seen.unwrap_or(Raw::Null), told),
                // A failure never says that something is gone.
                (Err(told), seen) => (seen.unwrap_or_else(|| state.clone()), told),
            }
        })
    }

    fn import<'a>(
        &'a self,
        context: &'a R::Context,
        id: &'a ImportId,
        stop: CancellationToken,
    ) -> BoxFuture<'a, Result<Raw, Diagnostics>> {
        Box::pin(async move {
            let Some(import) = self.import else {
                let detail = format!("Resources of type `{}` cannot be imported.", R::NAME);
                return Err(Diagnostic::error("Import is not supported", detail).into());
            };
            let work = Work::new("import", R::LIMITS.read, stop);
            let (input, output) = within(&work, import(context, id, work.deadline)).await?;
            Ok(Self::state(&input.write(), &Raw::Null, &output).settled())
        })
    }
}
