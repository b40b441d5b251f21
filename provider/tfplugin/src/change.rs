//! Apply: a change carried out, with what it reached kept.

use tokio_util::sync::CancellationToken;

use crate::{
    Diagnostic, Diagnostics, Raw, Resource, Stage, edits,
    typed::Typed,
    work::{Work, within},
};

impl<R: Resource> Typed<R> {
    /// Carries a change out; `Err` if it did not even begin.
    pub(super) async fn change(
        &self,
        context: &R::Context,
        prior: &Raw,
        planned: &Raw,
        stop: CancellationToken,
    ) -> Result<(Raw, Diagnostics), Diagnostics> {
        let stored = Self::stored(prior)?;
        let mut problems = Diagnostics::none();
        let next = Self::sides(planned, &mut problems).map(|(next, _)| next);
        if problems.has_error() {
            return Err(problems);
        }
        let (prior_limits, limits) = (R::LIMITS.for_value(prior), R::LIMITS.for_value(planned));
        let mut reached = None;
        let (stage, work): (Stage<'_, R>, _) = match (&stored, &next) {
            (None, None) => return Ok((Raw::Null, Diagnostics::none())),
            (None, Some(next)) => (
                Stage::Create { next },
                Work::new("create", limits.create, stop),
            ),
            (Some((prior, output)), None) => {
                reached = Some(output.clone());
                (
                    Stage::Delete { prior, output },
                    Work::new("delete", prior_limits.delete, stop),
                )
            }
            (Some((was, output)), Some(next)) => {
                let edits = edits(&self.shape().input, prior, planned);
                (
                    Stage::Update {
                        prior: was,
                        output,
                        next,
                        edits,
                    },
                    Work::new("update", limits.update, stop),
                )
            }
        };
        let done = within(
            &work,
            R::apply(context, &stage, work.deadline, &mut reached),
        )
        .await;
        let deletes = next.is_none();
        let from = if deletes { prior } else { planned };
        let kept = reached.map(|output| Self::state(from, from, &output).settled());
        Ok(match done {
            Ok(told) if deletes => (Raw::Null, told),
            Err(told) if deletes => (kept.unwrap_or(Raw::Null), told),
            Err(told) => (kept.unwrap_or_else(|| prior.clone()), told),
            Ok(mut told) => {
                if kept.is_none() {
                    told.push(stateless::<R>());
                }
                (kept.unwrap_or_else(|| prior.clone()), told)
            }
        })
    }
}

fn stateless<R: Resource>() -> Diagnostic {
    let detail = format!(
        "`{}` ended its change without a state. This is a fault of the provider; report it.",
        R::NAME
    );
    Diagnostic::error("Provider returned no state", detail)
}
