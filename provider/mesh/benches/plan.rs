//! Benchmarks the pure part of a plan with 1000 workloads: `cargo bench -p mesh`, also part of `cargo xtask bench`.
//!
//! Times depend on the machine. Each line therefore also shows the ratio to 100 workloads in the same run, which reveals
//! work that grows faster than the number of workloads.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark measures time and prints it, and its input is valid"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use mesh::change::{Drift, Edit, Effect, decide};
use mesh::render::render;
use mesh::validate::validate;
use mesh::workload::Workload;

#[path = "../tests/mesh/sample.rs"]
mod sample;

const MANY: usize = 1000;
const FEW: usize = 100;
/// Number of runs. The fastest one counts, because others may have shared the processor.
const TIMES: usize = 5;

fn main() {
    let facts = sample::facts();
    let workloads = (0..MANY).map(workload).collect::<Vec<_>>();
    let edits = [edit()];
    let drift = Drift::default();
    line("decide", &workloads, |_| {
        black_box(decide(black_box(&edits), &drift, None));
    });
    line("validate", &workloads, |workload| {
        assert!(validate(black_box(workload)).is_empty());
    });
    line("render and digest", &workloads, |workload| {
        let desired = render(black_box(workload), &facts).unwrap();
        black_box(desired.bundle.digest());
    });
}

fn line(name: &str, workloads: &[Workload], work: impl Fn(&Workload)) {
    let many = best(workloads, &work);
    let few = best(&workloads[..FEW], &work);
    println!(
        "{name}: {MANY} workloads {:.2} ms, {:.1} times as long as {FEW}",
        many.as_secs_f64() * 1000.0,
        many.as_secs_f64() / few.as_secs_f64()
    );
}

fn best(workloads: &[Workload], work: &impl Fn(&Workload)) -> Duration {
    let once = |_| {
        let begin = Instant::now();
        workloads.iter().for_each(work);
        begin.elapsed()
    };
    (0..TIMES).map(once).min().unwrap_or_default()
}

fn workload(number: usize) -> Workload {
    let mut workload = sample::workload();
    workload.id.name = format!("ratings-vm-{number}").parse().unwrap();
    workload
}

fn edit() -> Edit {
    Edit {
        at: "labels.version".into(),
        effect: Effect::Rebootstrap,
        cause: Some(mesh::cause::Cause::Configuration),
        text: Some("v1 -> v2".into()),
    }
}
