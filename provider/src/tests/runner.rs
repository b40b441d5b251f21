//! How the steps of an apply are run: the state ahead of each one, and the ways back after a failure.

use plugin::{Diagnostic, Diagnostics, Value};

use crate::machine::{Failure, VmAfterFailure};
use crate::workload::output::WorkloadOutput;
use crate::workload::runner::{Steps, run};
use crate::workload::steps::{Kind, Step, WayBack};

/// Notes what it is asked to do; one step fails, and perhaps the ways back.
struct Notes {
    fails: Option<(Step, VmAfterFailure)>,
    prevents: &'static [WayBack],
    performed: Vec<Step>,
    undone: std::sync::Mutex<Vec<WayBack>>,
}

impl Notes {
    fn new(fails: Option<(Step, VmAfterFailure)>, prevents: &'static [WayBack]) -> Self {
        Self {
            fails,
            prevents,
            performed: vec![],
            undone: std::sync::Mutex::default(),
        }
    }
}

fn state(step: Step) -> WorkloadOutput {
    WorkloadOutput {
        id: Value::Known(step.to_string()),
        ..WorkloadOutput::default()
    }
}

fn error(text: &str) -> Diagnostics {
    Diagnostic::error(text, "").into()
}

impl Steps for Notes {
    fn state(&self, step: Step) -> Option<WorkloadOutput> {
        (step != Step::Connect).then(|| state(step))
    }

    async fn perform(&mut self, step: Step) -> Result<(), Failure> {
        self.performed.push(step);
        match self.fails {
            Some((fails, vm)) if fails == step => Err(Failure {
                vm,
                diagnostics: error("failed"),
            }),
            _ => Ok(()),
        }
    }

    fn note_failure(&self, _: Step, _: &Failure) {}

    async fn go_back(&self, way: WayBack, _: VmAfterFailure) -> Diagnostics {
        self.undone.lock().unwrap().push(way);
        if self.prevents.contains(&way) {
            error("prevented")
        } else {
            Diagnostics::none()
        }
    }
}

const STEPS: [Step; 5] = [
    Step::Connect,
    Step::WithdrawOthers,
    Step::Withdraw,
    Step::Bootstrap,
    Step::Admit,
];

/// Runs the steps, and returns what was undone, the state, and the summaries of the errors.
async fn outcome(kind: Kind, notes: &mut Notes) -> (Vec<WayBack>, Option<WorkloadOutput>, String) {
    let mut reached = None;
    let done = run(kind, &STEPS, notes, &mut reached).await;
    let errors = done.err().unwrap_or_default().into_iter();
    let errors: Vec<String> = errors.map(|error| error.summary).collect();
    let undone = notes.undone.lock().unwrap().clone();
    (undone, reached, errors.join(", "))
}

#[tokio::test]
async fn the_state_of_each_step_is_saved_ahead_of_it() {
    let mut notes = Notes::new(None, &[]);
    let (undone, reached, errors) = outcome(Kind::Create, &mut notes).await;
    assert_eq!(notes.performed, STEPS);
    assert_eq!(
        (undone, reached, errors.as_str()),
        (vec![], Some(state(Step::Admit)), "")
    );
    // Nothing was written yet.
    let fails = Some((Step::Connect, VmAfterFailure::Untouched));
    let (undone, reached, errors) = outcome(Kind::Create, &mut Notes::new(fails, &[])).await;
    assert_eq!((undone, reached, errors.as_str()), (vec![], None, "failed"));
}

#[tokio::test]
async fn a_failure_gives_traffic_back_first_and_leaves_the_state_as_it_was() {
    use WayBack::{DeleteWritten, RestoreHealth, RestoreOthers, WritePrior};
    let fails = Some((Step::Bootstrap, VmAfterFailure::Untouched));
    let (undone, reached, errors) = outcome(Kind::Create, &mut Notes::new(fails, &[])).await;
    assert_eq!(undone, [RestoreOthers, DeleteWritten]);
    assert_eq!((reached, errors.as_str()), (None, "failed"));
    let (undone, reached, _) = outcome(Kind::Update, &mut Notes::new(fails, &[])).await;
    assert_eq!(undone, [RestoreOthers, RestoreHealth, WritePrior]);
    assert_eq!(reached, None);
}

#[tokio::test]
async fn what_could_not_be_undone_stays_in_the_state() {
    let fails = Some((Step::Withdraw, VmAfterFailure::Untouched));
    let mut notes = Notes::new(fails, &[WayBack::DeleteWritten]);
    let (undone, reached, errors) = outcome(Kind::Create, &mut notes).await;
    assert_eq!(undone, [WayBack::RestoreOthers, WayBack::DeleteWritten]);
    assert_eq!(reached, Some(state(Step::Withdraw)));
    assert_eq!(errors, "failed, prevented");
    // A VM in an unknown state, and one that runs on its new files, are left to the next apply.
    for (step, vm) in [
        (Step::Bootstrap, VmAfterFailure::Unknown),
        (Step::Admit, VmAfterFailure::Untouched),
    ] {
        let (undone, reached, _) =
            outcome(Kind::Create, &mut Notes::new(Some((step, vm)), &[])).await;
        assert_eq!((undone, reached), (vec![], Some(state(step))));
    }
}
