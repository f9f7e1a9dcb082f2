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

/// The moment in UTC, as `2026-11-23 15:04:05Z`.
pub fn utc(moment: UnixMillis) -> String {
    let seconds = moment.seconds();
    let (days, in_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (in_day / 3600, in_day % 3600 / 60, in_day % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

/// Days since the epoch to a date of the Gregorian calendar (Howard Hinnant's `civil_from_days`).
#[allow(clippy::arithmetic_side_effects)] // Cannot overflow: the days come from a u64 of milliseconds.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// A duration in milliseconds, in words: two digits or so, which is what a person reads.
pub fn words(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..10_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        10_000..120_000 => format!("{} s", ms / 1000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} days", ms / 86_400_000),
    }
}

/// How far one moment is from another, in words and whole seconds: `3 min ago`, `in 45 s`, `now`.
pub fn away(at: u64, now: u64) -> String {
    let away = now.abs_diff(at);
    let words = match away {
        0..10_000 => format!("{} s", away / 1000),
        _ => words(away),
    };
    match at > now {
        true => format!("in {words}"),
        false if away < 1000 => "now".to_owned(),
        false => format!("{words} ago"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_moment_is_is_said_in_whole_seconds() {
        for (at, text) in [
            (100_000, "now"),
            (99_001, "now"),
            (98_900, "1 s ago"),
            (103_000, "in 3 s"),
            (55_000, "45 s ago"),
        ] {
            assert_eq!(away(at, 100_000), text, "{at}");
        }
    }

    #[test]
    fn a_moment_is_written_as_people_write_it() {
        for (ms, text) in [
            (0, "1970-01-01 00:00:00Z"),
            (951_868_799_999, "2000-02-29 23:59:59Z"),
            (1_764_000_000_000, "2025-11-24 16:00:00Z"),
        ] {
            assert_eq!(utc(UnixMillis(ms)), text);
        }
    }

    #[test]
    fn a_duration_is_written_in_one_unit() {
        for (ms, text) in [
            (80, "80 ms"),
            (2_440, "2.4 s"),
            (45_000, "45 s"),
            (754_000, "12 min"),
            (10_900_000, "3 h"),
            (180_000_000, "2 days"),
        ] {
            assert_eq!(words(ms), text);
        }
    }

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
