//! The only module that reads the clock.

// They are disallowed because they panic in a Worker. relayctl never runs in one.
#![allow(clippy::disallowed_methods)]

pub use clerk_nylas_relay::model::time::utc;
use clerk_nylas_relay::model::time::{UnixMillis, millis};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time of day.
pub fn now() -> UnixMillis {
    UnixMillis(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, millis),
    )
}

/// Measures how long something takes.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts it.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since it was started.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Time since it was started, in milliseconds with a fraction.
    pub fn elapsed_ms(&self) -> f64 {
        self.elapsed().as_secs_f64() * 1000.0
    }
}

/// The `Date` header of an HTTP answer (RFC 9110: `Mon, 23 Nov 2026 15:04:05 GMT`).
pub fn http_date(text: &str) -> Option<UnixMillis> {
    let mut words = text.split_whitespace().skip(1);
    let day: u64 = words.next()?.parse().ok()?;
    let name = words.next()?;
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = months.iter().position(|month| *month == name)?;
    let year: u64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(str::parse::<u64>);
    let (hour, minute, second) = (
        clock.next()?.ok()?,
        clock.next()?.ok()?,
        clock.next()?.ok()?,
    );
    let plausible = (1970..=9999).contains(&year) && (1..=31).contains(&day) && hour < 24;
    if !plausible || minute > 59 || second > 60 {
        return None;
    }
    let month = u64::try_from(month).ok()?.saturating_add(1);
    let seconds = days_of(year, month, day)
        .saturating_mul(86_400)
        .saturating_add(hour.saturating_mul(3600))
        .saturating_add(minute.saturating_mul(60))
        .saturating_add(second);
    Some(UnixMillis::from_seconds(seconds))
}

/// Days since the epoch of a date of the Gregorian calendar (Howard Hinnant's `days_from_civil`).
#[allow(clippy::arithmetic_side_effects)] // Cannot overflow: the caller allows years 1970 to 9999.
fn days_of(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let era = year / 400;
    let year_of_era = year % 400;
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).saturating_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_go_both_ways() {
        let moment = UnixMillis::from_seconds(1_795_446_245);
        assert_eq!(utc(moment), "2026-11-23 15:04:05Z");
        assert_eq!(http_date("Mon, 23 Nov 2026 15:04:05 GMT"), Some(moment));
        assert_eq!(utc(UnixMillis(951_782_400_000)), "2000-02-29 00:00:00Z");
        assert_eq!(
            http_date("Thu, 01 Jan 1970 00:00:00 GMT"),
            Some(UnixMillis(0))
        );
        assert_eq!(http_date("yesterday"), None);
    }
}
