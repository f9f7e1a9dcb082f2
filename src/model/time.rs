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

    /// When this month began, in UTC.
    pub fn month(self) -> Self {
        self.month_and_next().0
    }

    /// When the next month begins, in UTC.
    pub fn next_month(self) -> Self {
        self.month_and_next().1
    }

    fn month_and_next(self) -> (Self, Self) {
        const DAY_SECONDS: u64 = 86_400;
        let today = self.seconds() / DAY_SECONDS;
        let start = |day: u64| Self::from_seconds(day.saturating_mul(DAY_SECONDS));
        let mut first = 0_u64;
        for year in 1970_u64..9999 {
            let is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
            for month in 1..=12 {
                let days = match month {
                    2 if is_leap => 29,
                    2 => 28,
                    4 | 6 | 9 | 11 => 30,
                    _ => 31,
                };
                let next = first.saturating_add(days);
                if today < next {
                    return (start(first), start(next));
                }
                first = next;
            }
        }
        (self.midnight(), self.midnight().plus(DAY))
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
    fn a_month_begins_at_its_first_midnight_utc() {
        // Of `date -u -d @...`: the moment, when its month began, when the next one begins.
        for (moment, first, next) in [
            (1_764_000_000, 1_761_955_200, 1_764_547_200), // 2025-11-24
            (1_709_210_096, 1_706_745_600, 1_709_251_200), // 2024-02-29
            (1_767_225_599, 1_764_547_200, 1_767_225_600), // 2025-12-31 23:59:59
            (1_767_225_600, 1_767_225_600, 1_769_904_000), // 2026-01-01
            (0, 0, 2_678_400),
        ] {
            let moment = UnixMillis::from_seconds(moment);
            assert_eq!(moment.month(), UnixMillis::from_seconds(first));
            assert_eq!(moment.next_month(), UnixMillis::from_seconds(next));
        }
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
