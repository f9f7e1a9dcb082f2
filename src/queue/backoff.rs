//! When a message that could not be processed is retried.

use crate::model::{
    mail::Email,
    time::{HOUR, UnixMillis, millis},
};
use std::time::Duration;

/// A message that waited this long is replaced by a new one. The free plan drops a message after 24 hours
/// (<https://developers.cloudflare.com/queues/platform/limits/>), and `wrangler.toml` allows it 100 retries.
pub const RENEW_AFTER: Duration = HOUR.saturating_mul(12);

const DELAY_MIN: Duration = Duration::from_secs(2);
/// The longest delay: each delivery is an operation of the queue, and the free plan has 10,000 a day.
pub const DELAY_MAX: Duration = HOUR;

/// The delay before the next retry of a message that no user waits for: ten seconds, doubled with each attempt, at most
/// an hour. `attempt` counts from 1.
pub fn patient_delay(attempt: u32) -> Duration {
    let doubled = 1_u32
        .checked_shl(attempt.saturating_sub(1))
        .unwrap_or(u32::MAX);
    Duration::from_secs(10)
        .saturating_mul(doubled)
        .min(DELAY_MAX)
}

/// How often such a message is tried: for 22 hours in all, because the free plan drops a message after 24. With being
/// written and deleted that makes 33 operations of the queue.
pub const PATIENT_TRIES: u32 = 31;

/// How long a mail waits before the next attempt: three quarters of its age, so that attempts become rarer. The first
/// delay is 2 s, and each is about 1.75 times the one before.
///
/// Jitter changes that by up to a fifth either way. The delay is at least `at_least`, which is what Nylas or the rule
/// asks for, and at most an hour. The last attempt comes five seconds before the mail expires.
pub fn retry_delay(
    email: &Email,
    now: UnixMillis,
    at_least: Option<Duration>,
    random: u32,
) -> Duration {
    let age_ms = millis(email.age(now));
    let base_ms = (age_ms / 4).saturating_mul(3);
    let jitter_percent = u64::from(random % 41).saturating_add(80);
    let delay = Duration::from_millis(base_ms.saturating_mul(jitter_percent) / 100)
        .max(at_least.unwrap_or_default())
        .clamp(DELAY_MIN, DELAY_MAX);
    const LAST_TRY: Duration = Duration::from_secs(5);
    const SECOND: Duration = Duration::from_secs(1);
    let left = email.expires_at().since(now);
    delay.min(left.saturating_sub(LAST_TRY).max(SECOND))
}

#[cfg(test)]
mod tests;
