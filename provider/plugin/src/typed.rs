//! A typed resource behind raw values.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::{
    Bounds, Changed, Declared, Described, Diagnostic, Diagnostics, Fault, Import, ImportId,
    Imported, Named, Object, Path, Paths, PlannedChange, Raw, Registration, Resource, Served,
    Shape, Sides, Stage, Stored, edits,
    work::{Work, within},
    written::read_written,
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
    Result<Imported<<R as Resource>::Input, <R as Resource>::Output>, Diagnostics>,
>;

/// A resource by its type.
pub(crate) struct Typed<R: Resource> {
    described: Described,
    import: Option<Importer<R>>,
}

/// What a state means.
pub(crate) type Meaning<R> = (<R as Resource>::Input, <R as Resource>::Output);

impl<R: Resource> Typed<R> {
    fn new(import: Option<Importer<R>>) -> Self {
        Self {
            described: Described {
                name: R::NAME,
                declared: Declared::of::<R::Input, R::Output>(R::describe_rule),
                identity: R::IDENTITY,
                limits: R::LIMITS,
                validate: |input| validated(input, R::check),
            },
            import,
        }
    }

    /// Reads both sides of a state.
    fn meaning(state: &Sides, problems: &mut Diagnostics) -> Option<Meaning<R>> {
        let input = R::Input::read(&state.input, &Path::root(), problems)?;
        let output = R::Output::read(&state.output, &Path::root(), problems)?;
        Some((input, output))
    }

    /// Reads both sides of a stored state, which today's rules may no longer accept.
    pub(crate) fn stored(state: Option<&Sides>) -> Result<Option<Meaning<R>>, Diagnostics> {
        let mut problems = Diagnostics::none();
        let meaning = state.and_then(|state| Self::meaning(state, &mut problems));
        for problem in &mut problems.0 {
            problem.code = Some(Fault::StoredValue.code());
            Fault::StoredValue.title().clone_into(&mut problem.summary);
            problem.detail += " It was stored by another version of the provider: use that version, or change the \
                               value and apply without a refresh.";
        }
        if problems.has_error() {
            Err(problems)
        } else {
            Ok(meaning)
        }
    }

    /// Writes an output.
    ///
    /// An attribute that did not change against `known` is copied from there, so that it stays equal to the last bit
    /// even if writing it would give another text for the same meaning.
    pub(crate) fn written(known: &Raw, output: &R::Output) -> Raw {
        let Raw::Map(mut fields) = output.write() else {
            return Raw::Null;
        };
        let before = R::Output::read(known, &Path::root(), &mut Diagnostics::none());
        if let Some(Raw::Map(before)) = before.map(|output| output.write()) {
            for (name, value) in &mut fields {
                if before.get(name) == Some(value) {
                    *value = known.get(name).clone();
                }
            }
        }
        Raw::Map(fields)
    }

    /// Returns a state with the input of `from` and the output, in which nothing is unknown.
    pub(crate) fn state(from: &Sides, output: &R::Output) -> Sides {
        Sides {
            input: from.input.clone().settled(),
            output: Self::written(&from.output, output).settled(),
        }
    }
}

impl<R: Resource> Named for Typed<R> {
    fn described(&self) -> &Described {
        &self.described
    }
}

impl<R: Resource> Served<R::Context> for Typed<R> {
    fn version(&self) -> u32 {
        R::VERSION
    }

    fn upgrade(&self, stored: Stored) -> Result<Raw, Diagnostics> {
        R::upgrade(stored)
    }

    fn plan(
        &self,
        context: Option<&R::Context>,
        prior: Option<&Sides>,
        next: Option<&Raw>,
    ) -> PlannedChange {
        // A stored value that is no longer accepted is about to be replaced by what the user wrote.
        let stored = prior.and_then(|prior| Self::meaning(prior, &mut Diagnostics::none()));
        let mut diagnostics = Diagnostics::none();
        let input = next.and_then(|next| read_written::<R::Input>(next, &mut diagnostics));
        let mut replaces = vec![];
        let stage: Stage<'_, R> = match (&stored, &input) {
            (None, None) => {
                return PlannedChange {
                    output: None,
                    replaces,
                    diagnostics,
                };
            }
            (None, Some(next)) => Stage::Create { next },
            (Some((prior, output)), None) => Stage::Delete { prior, output },
            (Some((was, output)), Some(is)) => {
                let edits = self.edits(prior, next);
                let replacing = edits.iter().filter(|edit| edit.rule.replaces);
                replaces = replacing.map(|edit| edit.at.clone()).collect();
                Stage::Update {
                    prior: was,
                    output,
                    next: is,
                    edits,
                }
            }
        };
        if let (Some(context), Some(input), Some(raw)) = (context, &input, next) {
            let unknown = Paths::unknown_in(raw).with_reported(&diagnostics);
            diagnostics.append(R::check_configured(context, input, &unknown));
        }
        let planned = R::plan(&stage);
        diagnostics.append(planned.diagnostics);
        let known = prior.map_or(&Raw::Null, |prior| &prior.output);
        PlannedChange {
            output: input.map(|_| Self::written(known, &planned.output)),
            replaces,
            diagnostics,
        }
    }

    fn apply<'a>(
        &'a self,
        context: &'a R::Context,
        prior: Option<&'a Sides>,
        planned: Option<&'a Sides>,
        work: Bounds,
    ) -> BoxFuture<'a, (Option<Sides>, Diagnostics)> {
        Box::pin(async move {
            match self.change(context, prior, planned, work).await {
                Ok(done) => done,
                Err(diagnostics) => (prior.cloned(), diagnostics),
            }
        })
    }

    fn read<'a>(
        &'a self,
        context: &'a R::Context,
        state: &'a Sides,
        work: Bounds,
    ) -> BoxFuture<'a, (Option<Sides>, Diagnostics)> {
        Box::pin(async move {
            let (input, output) = match Self::stored(Some(state)) {
                Ok(Some(meaning)) => meaning,
                Ok(None) => return (None, Diagnostics::none()),
                Err(diagnostics) => return (Some(state.clone()), diagnostics),
            };
            let mut reached = Some(output);
            let work = Work::new("refresh", work);
            let done = within(
                &work,
                R::read(context, &input, work.deadline.at(), &mut reached),
            )
            .await;
            let seen = reached.map(|output| Self::state(state, &output));
            match (done, seen) {
                (Ok(diagnostics), seen) => (seen, diagnostics),
                // A failure never says that something is gone.
                (Err(diagnostics), seen) => {
                    (Some(seen.unwrap_or_else(|| state.clone())), diagnostics)
                }
            }
        })
    }

    fn import<'a>(
        &'a self,
        context: &'a R::Context,
        id: &'a ImportId,
        work: Bounds,
    ) -> BoxFuture<'a, Result<(Sides, Diagnostics), Diagnostics>> {
        Box::pin(async move {
            let Some(import) = self.import else {
                let detail = format!("Resources of type `{}` cannot be imported.", R::NAME);
                return Err(Diagnostic::fault(Fault::NotImportable, detail).into());
            };
            let work = Work::new("import", work);
            let imported = within(&work, import(context, id, work.deadline.at())).await?;
            let found = Sides {
                input: imported.input.write(),
                output: Raw::Null,
            };
            let state = Self::state(&found, &imported.output);
            Ok((state, imported.diagnostics))
        })
    }
}

impl<R: Resource> Typed<R> {
    /// Returns what differs between a state and what the user wrote now, and between what both mean.
    pub(crate) fn edits(&self, prior: Option<&Sides>, next: Option<&Raw>) -> Vec<Changed> {
        let before = prior.map_or(&Raw::Null, |prior| &prior.input);
        let after = next.unwrap_or(&Raw::Null);
        let attributes = &self.described.declared.input;
        let mut written = edits(attributes, before, after);
        if let (Some(before), Some(after)) = (Self::meant(before), Self::meant(after)) {
            let meant = edits(attributes, &before, &after);
            written.retain(|edit| edit.is_open() || meant.iter().any(|of| of.meets(edit)));
        }
        written
    }

    fn meant(input: &Raw) -> Option<Raw> {
        let read = R::Input::read(input, &Path::root(), &mut Diagnostics::none())?;
        Some(R::meaning(&read).write())
    }
}

/// Checks what the user wrote: what each value is, then what `check` says.
pub(crate) fn validated<I: Object>(
    input: &Raw,
    check: fn(&I, &Paths) -> Diagnostics,
) -> Diagnostics {
    let mut diagnostics = Diagnostics::none();
    if let Some(read) = read_written::<I>(input, &mut diagnostics) {
        let unknown = Paths::unknown_in(input).with_reported(&diagnostics);
        diagnostics.append(check(&read, &unknown));
    }
    diagnostics
}

/// Reads what the user wrote, which was validated.
pub(crate) fn accepted<I: Object>(input: &Raw) -> Result<I, Diagnostics> {
    let mut diagnostics = Diagnostics::none();
    let read = read_written::<I>(input, &mut diagnostics);
    read.filter(|_| !diagnostics.has_error()).ok_or(diagnostics)
}
