//! `cargo xtask bench`: measures the release binary, and prints the targets of the design.
//!
//! No value is an error, because durations also depend on the machine.

mod many;
mod open;
mod process;
mod round_trips;
mod start;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use bed::{Bed, Options};

use crate::arguments::WrongArguments;
use crate::cargo::{Profile, cargo, provider_binary};
use crate::tools;

/// Bed of this command; others may run at the same time.
const BED: &str = "bench";
/// Number of VMs that are bootstrapped in one apply: twice Terraform's parallelism.
const VMS: u8 = 20;

/// A line of the table.
struct Figure {
    name: &'static str,
    value: f64,
    target: &'static str,
}

/// Measures and prints.
///
/// # Errors
/// Fails if an argument is unknown, or if the build, the bed or the provider fails.
pub(crate) fn run(args: &[&str]) -> Result<(), Box<dyn Error>> {
    match args {
        [] => everything(),
        ["--start"] => {
            print(&of_binary(&provider_binary(Profile::Release)?)?);
            Ok(())
        }
        _ => Err(WrongArguments.into()),
    }
}

fn everything() -> Result<(), Box<dyn Error>> {
    tools::provide(&[], tools::Bed::Needed)?;
    plans()?;
    let binary = provider_binary(Profile::Release)?;
    let mut figures = of_binary(&binary)?;
    let begin = Instant::now();
    let mut bed = up()?;
    figures.push(figure(
        "bed up (20 VMs, 1 pod), s",
        begin.elapsed().as_secs_f64(),
        "",
    ));
    let measured = with_provider(&mut bed, &binary);
    bed.down().map_err(|error| error.chain())?;
    let (trips, costs) = measured.map_err(|error| error.to_string())?;
    figures.extend(of_round_trips(&trips));
    figures.extend(of_many(&costs));
    print(&figures);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the figures are this command's answer")]
fn print(figures: &[Figure]) {
    println!("{:<60}   target, at most", "");
    for figure in figures {
        println!("{}", line(figure));
    }
}

/// Runs the benchmark of the pure core, which prints its own results.
fn plans() -> Result<(), Box<dyn Error>> {
    let status = cargo()
        .args(["bench", "--quiet", "--package", "mesh", "--bench", "plan"])
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("cargo bench -p mesh: {status}").into())
    }
}

fn up() -> Result<Bed, String> {
    let options = Options {
        name: BED.into(),
        vms: VMS,
        pods: 1,
    };
    Bed::up(&options).map_err(|error| error.chain())
}

fn with_provider(
    bed: &mut Bed,
    binary: &Path,
) -> acceptance_tests::Result<(round_trips::RoundTrips, many::Costs)> {
    bed.use_provider(binary)?;
    Ok((round_trips::measure(bed)?, many::measure(bed, binary)?))
}

fn of_binary(binary: &Path) -> Result<Vec<Figure>, Box<dyn Error>> {
    let start::Starts { provider, trivial } = start::measure(binary)?;
    let size = fs::metadata(binary)?.len();
    Ok(vec![
        figure("start until handshake, ms", millis(provider.took), "10"),
        figure(
            "  of a process that prints a line",
            millis(trivial.took),
            "",
        ),
        figure(
            "memory at the handshake, MB",
            megabytes(provider.kib * 1024),
            "12",
        ),
        figure(
            "  of a process that prints a line",
            megabytes(trivial.kib * 1024),
            "",
        ),
        figure("release binary, MB", megabytes(size), ""),
    ])
}

fn of_round_trips(trips: &round_trips::RoundTrips) -> Vec<Figure> {
    vec![
        figure(
            "round trips of a bootstrap with new NAT rules",
            trips.create,
            "20",
        ),
        figure("round trips of a re-bootstrap", trips.again, "10"),
        figure("round trips of a refresh", trips.refresh, "10"),
        figure(
            "round trips of a re-bootstrap through a bastion",
            trips.again_through_bastion,
            "17",
        ),
        figure(
            "round trips of a refresh through a bastion",
            trips.refresh_through_bastion,
            "17",
        ),
        figure("apply of a new workload without delay, s", trips.apply, ""),
        figure(
            "sent to the VM by a re-bootstrap, KB",
            megabytes(trips.sent) * 1024.0,
            "",
        ),
    ]
}

fn of_many(costs: &many::Costs) -> Vec<Figure> {
    let many::Costs { one, all, open } = costs;
    vec![
        figure("apply of 1 new workload, s", one.took.as_secs_f64(), ""),
        figure("apply of 20 new workloads, s", all.took.as_secs_f64(), ""),
        figure(
            "  relative to one",
            all.took.as_secs_f64() / one.took.as_secs_f64(),
            "",
        ),
        figure(
            "memory during the apply of 1, MB",
            megabytes(one.kib * 1024),
            "",
        ),
        figure(
            "memory during the apply of 20, MB",
            megabytes(all.kib * 1024),
            "",
        ),
        figure(
            "memory while sessions with 100 VMs are open, MB",
            megabytes(open.kib * 1024),
            "",
        ),
        figure(
            "  of its child processes",
            megabytes(open.ssh_kib * 1024),
            "",
        ),
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        figure("  number of child processes", open.ssh as f64, ""),
    ]
}

fn figure(name: &'static str, value: f64, target: &'static str) -> Figure {
    Figure {
        name,
        value,
        target,
    }
}

fn line(figure: &Figure) -> String {
    let Figure {
        name,
        value,
        target,
    } = figure;
    format!("{name:<52}{value:>8.1}   {target}")
        .trim_end()
        .to_owned()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}
