//! Runs a function on several items in parallel.

use std::thread;

use crate::{Error, Result};

/// Runs a function on several items in parallel and returns the first error.
pub(crate) fn in_parallel<T: Send>(
    items: Vec<T>,
    work: impl Fn(T) -> Result<()> + Sync,
) -> Result<()> {
    let work = &work;
    thread::scope(|scope| {
        let running: Vec<_> = items
            .into_iter()
            .map(|item| scope.spawn(move || work(item)))
            .collect();
        running
            .into_iter()
            .map(|one| {
                one.join()
                    .unwrap_or_else(|_| Err(Error::Refused("a thread of the bed panicked".into())))
            })
            .collect::<Vec<_>>()
    })
    .into_iter()
    .collect()
}
