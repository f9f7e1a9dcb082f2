//! Moments and durations. The time now always comes from `ports::Clock`, so that tests and the simulator control it.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A moment, in whole milliseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The moment `seconds` after the epoch.
    pub fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Whole seconds since the epoch, rounded down.
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The last midnight in UTC.
    pub fn midnight(self) -> Self {
        const DAY_SECONDS: u64 = 86_400;
        Self::from_seconds(self.seconds().saturating_sub(self.seconds() % DAY_SECONDS))
    }

    /// This moment, `length` earlier; not before the epoch.
    pub fn minus(self, length: Duration) -> Self {
        Self(self.0.saturating_sub(millis(length)))
    }

    /// This moment, `length` later.
    pub fn plus(self, length: Duration) -> Self {
        Self(self.0.saturating_add(millis(length)))
    }
}

/// A duration in whole milliseconds.
pub fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(60 * 60);
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_never_negative() {
        let early = UnixMillis(1_000);
        let late = early.plus(Duration::from_millis(1_500));
        assert_eq!(late.since(early), Duration::from_millis(1_500));
        assert_eq!(early.since(late), Duration::ZERO);
    }

    #[test]
    fn arithmetic_saturates_instead_of_panicking() {
        assert_eq!(UnixMillis::from_seconds(u64::MAX), UnixMillis(u64::MAX));
        assert_eq!(
            UnixMillis(u64::MAX).plus(Duration::MAX),
            UnixMillis(u64::MAX)
        );
    }
}
