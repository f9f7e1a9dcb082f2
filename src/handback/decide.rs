//! Whether to hand templates back, and what follows from Clerk's answers: pure decisions.

use crate::{
    clerk::api::ApiError,
    ledger::handback::Met,
    model::{
        account::AccountFault,
        id::SvixId,
        outcome::Reason,
        time::{MINUTE, UnixMillis},
    },
};
use std::time::Duration;

/// How long it must have lasted that no account sends, where only one mail says so.
const LASTS: Duration = MINUTE;

/// How often a hand-back is tried: for ten minutes at most, as long as a code waits. If an account sends again, a mail
/// that began it was sent by then. If none does, the next mails begin a new one.
pub const TRIES: u32 = 10;
/// From this try on, that Clerk does not answer is an alert. Until then half a minute has passed.
const ALERT_FROM: u32 = 3;
const RETRY_STEP: Duration = Duration::from_secs(10);
const RETRY_MAX: Duration = MINUTE;

/// What follows when a mail finds every account at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Nothing yet.
    Wait,
    /// Remember that this mail was the first.
    Remember,
    /// Hand the templates back.
    HandBack,
}

/// Decides that. `first`: the first mail that found every account at fault lately.
///
/// A refusal that Nylas does not explain may be about what is in the mail, so that another mail has to meet it.
pub fn trigger(
    svix_id: &SvixId,
    fault: AccountFault,
    first: Option<&Met>,
    was_queued_lately: bool,
    now: UnixMillis,
) -> Trigger {
    match first {
        _ if was_queued_lately => Trigger::Wait,
        None => Trigger::Remember,
        Some(first) if first.svix_id != *svix_id => Trigger::HandBack,
        Some(first) if fault != AccountFault::Unexplained && now.since(first.at) >= LASTS => {
            Trigger::HandBack
        }
        Some(_) => Trigger::Wait,
    }
}

/// What follows from Clerk's answers to one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Everything is handed back.
    Done,
    /// Something is left. Try again after the delay.
    Retry {
        reason: Reason,
        delay: Duration,
        /// An operator should know by now.
        is_alert: bool,
    },
    /// Something is left, and trying again is of no use.
    GiveUp { reason: Reason },
    /// Something is left, and Clerk did not answer for long. Mails that find every account at fault begin anew.
    BeginAnew { reason: Reason },
}

/// Decides that. `errors`: one for each request that failed; `attempt` counts from 1.
pub fn next(errors: &[ApiError], attempt: u32) -> Next {
    let temporary = errors.iter().find(|error| error.is_temporary());
    let Some(error) = temporary.or(errors.first()) else {
        return Next::Done;
    };
    let reason = reason_of(*error);
    if temporary.is_none() {
        return Next::GiveUp { reason };
    }
    if attempt >= TRIES {
        return Next::BeginAnew { reason };
    }
    let asked = errors.iter().filter_map(|error| match error {
        ApiError::Busy { retry_after } => *retry_after,
        _ => None,
    });
    let delay = asked.fold(RETRY_STEP.saturating_mul(attempt), Duration::max);
    Next::Retry {
        reason,
        delay: delay.min(RETRY_MAX),
        is_alert: attempt >= ALERT_FROM,
    }
}

/// As it is logged and alerted.
pub fn reason_of(error: ApiError) -> Reason {
    match error {
        ApiError::WrongKey => Reason::ClerkRefusesKey,
        ApiError::Gone => Reason::ClerkEndpointGone,
        ApiError::Refused => Reason::ClerkRefused,
        ApiError::Locked | ApiError::Busy { .. } => Reason::ClerkNotAnswering,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::mail::Slug;

    #[test]
    fn templates_are_handed_back_when_it_has_lasted_or_a_second_mail_meets_it() {
        let id = |text| SvixId::parse(text).unwrap();
        let now = UnixMillis(1_000_000);
        let first = |id_of_first, ago_ms| {
            Some(Met {
                svix_id: id(id_of_first),
                at: UnixMillis(now.0 - ago_ms),
            })
        };
        for (first, was_queued_lately, expected) in [
            (None, false, Trigger::Remember),
            // The same mail, tried again.
            (first("msg_1", 0), false, Trigger::Wait),
            (first("msg_1", 59_999), false, Trigger::Wait),
            (first("msg_1", 60_000), false, Trigger::HandBack),
            (first("msg_1", 300_000), false, Trigger::HandBack),
            // A second mail.
            (first("msg_2", 0), false, Trigger::HandBack),
            (first("msg_2", 300_000), false, Trigger::HandBack),
            // Once an hour.
            (None, true, Trigger::Wait),
            (first("msg_1", 300_000), true, Trigger::Wait),
            (first("msg_2", 300_000), true, Trigger::Wait),
        ] {
            let fault = AccountFault::Paused;
            let decided = trigger(&id("msg_1"), fault, first.as_ref(), was_queued_lately, now);
            assert_eq!(decided, expected, "{first:?} {was_queued_lately}");
        }
        // What Nylas does not explain may be about this one mail.
        for (first, expected) in [
            (None, Trigger::Remember),
            (first("msg_1", 300_000), Trigger::Wait),
            (first("msg_2", 0), Trigger::HandBack),
        ] {
            let fault = AccountFault::Unexplained;
            let decided = trigger(&id("msg_1"), fault, first.as_ref(), false, now);
            assert_eq!(decided, expected, "{first:?}");
        }
    }

    #[test]
    fn what_may_succeed_later_is_tried_again_and_the_rest_is_given_up() {
        let busy = |seconds: Option<u64>| ApiError::Busy {
            retry_after: seconds.map(Duration::from_secs),
        };
        let retry = |seconds, is_alert| Next::Retry {
            reason: Reason::ClerkNotAnswering,
            delay: Duration::from_secs(seconds),
            is_alert,
        };
        let give_up = |reason| Next::GiveUp { reason };
        for (errors, attempt, expected) in [
            (vec![], 1, Next::Done),
            (vec![busy(None)], 1, retry(10, false)),
            (vec![busy(None)], 2, retry(20, false)),
            (vec![busy(None)], 3, retry(30, true)),
            (vec![ApiError::Locked], 1, retry(10, false)),
            (vec![busy(Some(45))], 1, retry(45, false)),
            (vec![busy(Some(5))], 1, retry(10, false)),
            (vec![busy(Some(86_400))], 1, retry(60, false)),
            (vec![busy(None)], 9, retry(60, true)),
            (
                vec![busy(None)],
                10,
                Next::BeginAnew {
                    reason: Reason::ClerkNotAnswering,
                },
            ),
            (
                vec![ApiError::WrongKey],
                1,
                give_up(Reason::ClerkRefusesKey),
            ),
            (vec![ApiError::Gone], 1, give_up(Reason::ClerkEndpointGone)),
            (vec![ApiError::Refused], 1, give_up(Reason::ClerkRefused)),
            // One template is refused, and another one may be handed back later.
            (
                vec![ApiError::Refused, ApiError::Locked],
                1,
                retry(10, false),
            ),
        ] {
            assert_eq!(next(&errors, attempt), expected, "{errors:?} {attempt}");
        }
    }

    #[test]
    fn the_tries_take_as_long_as_a_code_waits_at_most() {
        let busy = ApiError::Busy {
            retry_after: Some(Duration::from_secs(86_400)),
        };
        let delays = (1..TRIES).map(|attempt| match next(&[busy], attempt) {
            Next::Retry { delay, .. } => delay,
            other => panic!("{other:?}"),
        });
        assert!(delays.sum::<Duration>() < Slug::new(Some("verification_code")).ttl());
    }
}
