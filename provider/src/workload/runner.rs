//! Runs the steps of an apply: saves the state ahead of each one, logs it, and goes back if one fails.

use plugin::Diagnostics;

use super::output::WorkloadOutput;
use super::steps::{Kind, Step, WayBack, ways_back};
use crate::machine::{Failure, VmAfterFailure};

/// How each step of an apply is carried out.
pub(crate) trait Steps: Send {
    /// Returns what the state says from the beginning of a step on, and with what the step found out if it failed; `None`:
    /// what it said before.
    fn state(&self, step: Step) -> Option<WorkloadOutput>;

    /// Carries out a step.
    fn perform(&mut self, step: Step) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Notes that a step has failed, before anything is undone.
    fn note_failure(&self, step: Step, failure: &Failure);

    /// Undoes a step, and returns what prevented that.
    fn go_back(&self, way: WayBack, vm: VmAfterFailure)
    -> impl Future<Output = Diagnostics> + Send;
}

/// Runs the steps in their order. If one fails, what can be undone is undone, the last first.
pub(crate) async fn run(
    kind: Kind,
    steps: &[Step],
    work: &mut impl Steps,
    reached: &mut Option<WorkloadOutput>,
) -> Result<(), Diagnostics> {
    for (index, step) in steps.iter().enumerate() {
        tracing::info!("step {} of {}: {step}", index + 1, steps.len());
        if let Some(output) = work.state(*step) {
            *reached = Some(output);
        }
        let Err(failure) = work.perform(*step).await else {
            continue;
        };
        work.note_failure(*step, &failure);
        let mut diagnostics = failure.diagnostics;
        let mut is_undone = false;
        for way in ways_back(kind, &steps[..=index], failure.vm) {
            tracing::info!("the step \"{step}\" failed: {way}");
            let problems = work.go_back(way, failure.vm).await;
            is_undone |= way.is_of_objects() && problems.is_empty();
            diagnostics.append(problems);
        }
        // With the objects as they were, so is the state. Whatever interrupts the ways back finds the former one.
        if is_undone {
            *reached = None;
        } else if let Some(output) = work.state(*step) {
            *reached = Some(output);
        }
        return Err(diagnostics);
    }
    Ok(())
}
