//! The stand-in's clock: the real time, plus what a test has added to it.

use std::time::Duration;
use tokio::sync::watch;

/// A clock that can be moved forward but never back.
pub struct Clock {
    ahead_ms: watch::Sender<u64>,
}

impl Clock {
    pub fn new() -> Self {
        Clock {
            ahead_ms: watch::Sender::new(0),
        }
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        real_ms() + *self.ahead_ms.borrow()
    }

    /// Moves the clock forward, which may end what [sleeps](Clock::sleep).
    pub fn advance(&self, by: Duration) {
        self.ahead_ms.send_modify(|ahead| *ahead += millis(by));
    }

    /// Waits until this clock, not the real one, has advanced by that much.
    pub async fn sleep(&self, duration: Duration) {
        let mut moved = self.ahead_ms.subscribe();
        let until = self.now_ms() + millis(duration);
        loop {
            let left = until.saturating_sub(self.now_ms());
            if left == 0 {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(left)) => {}
                _ = moved.changed() => {}
            }
        }
    }
}

pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4)
}

/// The machine's clock, which only this function reads.
#[allow(clippy::disallowed_methods)]
fn real_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map(millis)
        .unwrap_or_default()
}
