//! Apply: a change carried out, with what it reached kept.

use crate::{
    Bounds, Diagnostic, Diagnostics, Fault, Paths, Raw, Resource, Sides, Stage,
    typed::Typed,
    work::{Work, within},
    written::read_written,
};

impl<R: Resource> Typed<R> {
    /// Carries a change out; `Err` if it did not even begin.
    pub(super) async fn change(
        &self,
        context: &R::Context,
        prior: Option<&Sides>,
        planned: Option<&Sides>,
        bounds: Bounds,
    ) -> Result<(Option<Sides>, Diagnostics), Diagnostics> {
        let stored = Self::stored(prior)?;
        let next = Self::written_now(planned.map(|planned| &planned.input))?;
        let mut reached = None;
        let (stage, from, operation): (Stage<'_, R>, _, _) = match (&stored, &next) {
            (None, None) => return Ok((None, Diagnostics::none())),
            (None, Some(next)) => (Stage::Create { next }, planned, "create"),
            (Some((prior_input, output)), None) => {
                reached = Some(output.clone());
                let stage = Stage::Delete {
                    prior: prior_input,
                    output,
                };
                (stage, prior, "delete")
            }
            (Some((was, output)), Some(next)) => {
                let stage = Stage::Update {
                    prior: was,
                    output,
                    next,
                    edits: self.edits(prior, planned.map(|planned| &planned.input)),
                };
                (stage, planned, "update")
            }
        };
        if let Some(next) = &next {
            Self::check_known(context, next)?;
        }
        let work = Work::new(operation, bounds);
        let applied = R::apply(context, &stage, &work.deadline, &mut reached);
        let done = within(&work, applied).await;
        let kept = reached.zip(from);
        let kept = kept.map(|(output, from)| Self::state(from, &output));
        let deletes = next.is_none();
        Ok(match done {
            Ok(diagnostics) if deletes => (None, diagnostics),
            Err(diagnostics) if deletes => (kept, diagnostics),
            Err(diagnostics) => (kept.or_else(|| prior.cloned()), diagnostics),
            Ok(mut diagnostics) => {
                if kept.is_none() {
                    diagnostics.push(stateless::<R>());
                }
                (kept.or_else(|| prior.cloned()), diagnostics)
            }
        })
    }

    /// Checks again what was unknown at plan. The plan has already shown the warnings.
    fn check_known(context: &R::Context, next: &R::Input) -> Result<(), Diagnostics> {
        let unknown = Paths::default();
        let mut problems = R::check(next, &unknown);
        problems.append(R::check_configured(context, next, &unknown));
        if problems.has_error() {
            Err(problems)
        } else {
            Ok(())
        }
    }

    /// Reads what the user wrote.
    fn written_now(input: Option<&Raw>) -> Result<Option<R::Input>, Diagnostics> {
        let mut problems = Diagnostics::none();
        let read = input.and_then(|input| read_written(input, &mut problems));
        if problems.has_error() {
            Err(problems)
        } else {
            Ok(read)
        }
    }
}

fn stateless<R: Resource>() -> Diagnostic {
    let detail = format!(
        "`{}` ended its change without a state. This is a fault of the provider; report it.",
        R::NAME
    );
    Diagnostic::fault(Fault::NoState, detail)
}
