//! Queue for VMs: of the waiting scenarios, the longest one is served first. A long one that started last would run alone
//! at the end.

use std::cmp::Reverse;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The longest scenarios, longest first: duration in seconds on two cores, and the name of the test. All others are
/// shorter than the last one. `cargo xtask test` shows the times of a run.
const LONGEST: &str = include_str!("../longest.txt");
/// Time within which a run starts all of its scenarios. A late one only loses its place.
const GATHERING: Duration = Duration::from_millis(500);

/// VMs by number, and the scenarios that wait for them.
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    opens: Instant,
}

struct State {
    free: Vec<usize>,
    waiting: Vec<Ticket>,
}

/// A waiting scenario, ordered as they are served.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ticket {
    seconds: Reverse<u32>,
    name: String,
}

impl Queue {
    /// Returns a queue for this number of VMs, all of them free.
    pub(crate) fn new(vms: usize) -> Self {
        Self {
            state: Mutex::new(State {
                free: (0..vms).rev().collect(),
                waiting: vec![],
            }),
            changed: Condvar::new(),
            opens: Instant::now() + GATHERING,
        }
    }

    /// Waits for this number of VMs and takes all at once: two scenarios with a part of them each would wait for each other.
    pub(crate) fn take(&self, name: &str, vms: usize) -> Vec<usize> {
        let ticket = Ticket {
            seconds: Reverse(seconds(name)),
            name: name.to_owned(),
        };
        self.lock().waiting.push(ticket.clone());
        thread::sleep(self.opens.saturating_duration_since(Instant::now()));
        let mut state = self.lock();
        loop {
            let is_next = state.waiting.iter().min() == Some(&ticket);
            if is_next && state.free.len() >= vms {
                state.waiting.retain(|other| *other != ticket);
                let left = state.free.len() - vms;
                let taken = state.free.split_off(left);
                self.changed.notify_all();
                return taken;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Returns a VM. It is taken last, so that it has time to boot.
    pub(crate) fn give_back(&self, number: usize) {
        self.lock().free.insert(0, number);
        self.changed.notify_all();
    }

    /// Returns true if a scenario waits for a VM.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic of another scenario does not affect the lists.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the duration of a scenario by the name of its test.
fn seconds(name: &str) -> u32 {
    let known = longest().find(|(_, long)| *long == name);
    known.map_or(0, |(seconds, _)| seconds)
}

fn longest() -> impl Iterator<Item = (u32, &'static str)> {
    LONGEST.lines().filter_map(|line| {
        let (seconds, name) = line.split_once(' ')?;
        Some((seconds.parse().ok()?, name))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn the_longest_that_waits_is_next() {
        let queue = Queue::new(1);
        let (sender, receiver) = channel();
        let first = queue.take("first", 1);
        let names: Vec<_> = longest().map(|(_, name)| name).collect();
        thread::scope(|scope| {
            for name in ["short", names[1], names[0], "a short one"] {
                let (queue, sender) = (&queue, sender.clone());
                scope.spawn(move || {
                    let taken = queue.take(name, 1);
                    sender.send(name).unwrap();
                    queue.give_back(taken[0]);
                });
            }
            while queue.lock().waiting.len() < 4 {
                thread::yield_now();
            }
            queue.give_back(first[0]);
        });
        let order: Vec<_> = receiver.try_iter().collect();
        assert_eq!(order, [names[0], names[1], "a short one", "short"]);
    }

    #[test]
    fn the_list_begins_with_the_longest_and_names_scenarios_only() {
        assert_eq!(longest().count(), LONGEST.lines().count());
        assert!(longest().is_sorted_by(|one, next| one.0 >= next.0));
        let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bed");
        for (_, name) in longest() {
            let (module, test) = name.rsplit_once("::").unwrap();
            let files = [format!("{module}.rs"), format!("{module}/mod.rs")];
            let texts = files.map(|file| std::fs::read_to_string(scenarios.join(file)));
            let source = texts.into_iter().find_map(Result::ok).unwrap_or_default();
            assert!(source.contains(&format!("fn {test}()")), "{name}");
        }
    }
}
