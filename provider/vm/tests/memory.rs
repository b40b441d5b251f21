//! What an answer costs. The only test of its process, whose memory is measured.

#![expect(
    clippy::unwrap_used,
    reason = "what a test stands on fails it by a panic"
)]

use vm::program::{Event, Reader, RunId};

/// The most memory that this process had until now, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib / 1024
}

/// Forty MiB of one-letter words once cost more than a gibibyte.
#[test]
fn an_answer_costs_no_more_than_its_length_whatever_is_in_it() {
    let run = RunId::generate();
    let words = "a ".repeat(1 << 20);
    let lines = |reader: &mut Reader| {
        let line = |at: u32| {
            if at.is_multiple_of(2) {
                "line a"
            } else {
                "a b"
            }
        };
        (0..6_000_000).all(|at| reader.feed(line(at)) == Event::Ignored)
    };
    let before = peak();
    let mut reader = Reader::new(&run);
    reader.feed(&format!("begin {run}"));
    let taken = (0..20).all(|_| reader.feed(&words) == Event::Ignored);
    assert!(!taken, "no bound");
    let mut reader = Reader::new(&run);
    reader.feed(&format!("begin {run}"));
    assert!(!lines(&mut reader), "no bound");
    // As many as there may be, read to the end.
    let mut reader = Reader::new(&run);
    reader.feed(&format!("begin {run}"));
    for _ in 0..1_500_000 {
        reader.feed("line YQ==");
    }
    reader.feed("report reverted");
    reader.feed(&format!("end {run}"));
    let cost = peak() - before;
    assert!(cost < 100, "{cost} MiB");
}
