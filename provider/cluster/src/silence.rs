//! For how long something has not changed, as seen by the one who waits: the clocks of two machines are never compared.

use std::time::Duration;

use tokio::time::Instant;

/// The last value that was seen, and for how long it has been the same.
pub struct Silence<T> {
    value: Option<T>,
    lasted: Duration,
    last: Option<Instant>,
    /// The most that passes from one look to the next counts: while the API server does not answer, nobody can change
    /// anything either.
    most: Duration,
}

impl<T: PartialEq> Silence<T> {
    /// Begins. `most` is what counts at most of the time between two looks.
    pub fn new(most: Duration) -> Self {
        Self {
            value: None,
            lasted: Duration::ZERO,
            last: None,
            most,
        }
    }

    /// Notes what is seen now, and returns for how long it has been the same.
    pub fn note(&mut self, value: T) -> Duration {
        let since = self.last.map_or(Duration::ZERO, |last| last.elapsed());
        if self.value.as_ref() == Some(&value) {
            self.lasted += since.min(self.most);
        } else {
            self.lasted = Duration::ZERO;
        }
        self.value = Some(value);
        self.last = Some(Instant::now());
        self.lasted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_change_begins_it_anew_and_an_answer_that_takes_long_is_no_silence() {
        let second = Duration::from_secs(1);
        let mut silence = Silence::new(second * 2);
        assert_eq!(silence.note("a"), Duration::ZERO);
        tokio::time::advance(second).await;
        assert_eq!(silence.note("a"), second);
        tokio::time::advance(second * 60).await;
        assert_eq!(silence.note("a"), second * 3);
        assert_eq!(silence.note("b"), Duration::ZERO);
    }
}
