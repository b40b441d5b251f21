//! Tells on stderr what is being done, how long it took and how much is left.

use std::sync::Mutex;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;

/// The steps to come, each with the seconds it usually takes on two cores.
pub(crate) struct Progress {
    left: Mutex<Vec<(String, u64)>>,
}

impl Progress {
    /// Announces the steps.
    pub(crate) fn new(steps: Vec<(String, u64)>) -> Self {
        Self {
            left: Mutex::new(steps),
        }
    }

    /// Does one announced step and reports it; a long one is reported while it runs.
    pub(crate) fn step<T>(&self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let (done, running) = mpsc::channel::<()>();
        let result = thread::scope(|scope| {
            scope.spawn(move || {
                while running.recv_timeout(Duration::from_secs(10))
                    == Err(RecvTimeoutError::Timeout)
                {
                    let so_far = start.elapsed().as_secs();
                    eprintln!(
                        "bed: {name}: {so_far} s so far, {}",
                        in_words(self.seconds_left(so_far))
                    );
                }
            });
            let result = work();
            drop(done);
            result
        });
        let took = start.elapsed().as_secs_f32();
        if let Ok(mut left) = self.left.lock() {
            left.retain(|(step, _)| step != name);
        }
        match &result {
            Ok(_) => eprintln!(
                "bed: {name}: {took:.1} s, {}",
                in_words(self.seconds_left(0))
            ),
            Err(_) => eprintln!("bed: {name}: failed after {took:.1} s"),
        }
        result
    }

    fn seconds_left(&self, spent: u64) -> u64 {
        let sum = self.left.lock().map_or(0, |left| {
            left.iter().map(|(_, seconds)| seconds).sum::<u64>()
        });
        sum.saturating_sub(spent)
    }
}

fn in_words(seconds: u64) -> String {
    match seconds {
        0 => "nearly done".into(),
        1..=119 => format!("about {seconds} s left"),
        _ => format!("about {} min left", seconds.div_ceil(60)),
    }
}
