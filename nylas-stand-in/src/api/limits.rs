//! Whether an account's state allows a mail.

use crate::model::account::{Account, AccountState};
use crate::model::answer::Answer;
use crate::model::mail::Mail;
use crate::shared::Shared;
use crate::state::State;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What becomes of a mail, by the account's state.
pub enum Verdict {
    Sent,
    Queued,
    /// The answer, and whether it is stored under the idempotency key.
    Refused(Answer, bool),
}

pub fn verdict(shared: &Shared, state: &mut State, account: &Account) -> Verdict {
    let kept = shared.options.keeps_account_refusals;
    let now_ms = shared.clock.now_ms();
    let accepted = |state: &State, counts: &dyn Fn(&Mail) -> bool| {
        let own = |mail: &&Mail| mail.grant_id == account.grant_id && counts(mail);
        u32::try_from(state.mails.iter().filter(own).count()).unwrap_or(u32::MAX)
    };
    let how = state.account(&account.grant_id).map(|held| held.state);
    let (status, kind, message) = match how.unwrap_or_default() {
        AccountState::Healthy | AccountState::Gone => return Verdict::Sent,
        AccountState::Paused => (
            400,
            "api.invalid_request_error",
            "Sending is paused for this account",
        ),
        AccountState::DomainNotVerified => {
            (400, "api.invalid_request_error", "domain is not verified")
        }
        AccountState::AbuseBlocked => (
            403,
            "api.forbidden",
            "Sending from this account is blocked. Contact support.",
        ),
        AccountState::Blocked => (
            423,
            "api.resource_blocked",
            "The resource is blocked, contact your administrator",
        ),
        AccountState::RateLimited => return throttled(shared, state),
        AccountState::PerSecond { mails, queue } => {
            let second = accepted(state, &|mail| now_ms < mail.at_ms + 1000);
            return match second {
                second if second < mails => Verdict::Sent,
                second if second < mails.saturating_add(queue) => Verdict::Queued,
                _ => throttled(shared, state),
            };
        }
        AccountState::DailyCap(cap) => {
            // A queued mail that could not be sent does not count.
            let today = |mail: &Mail| mail.at_ms / DAY_MS == now_ms / DAY_MS && !mail.failed;
            if accepted(state, &today) < cap {
                return Verdict::Sent;
            }
            let answer = state.error(429, "rate_limit_error", "Daily send limit exceeded");
            return Verdict::Refused(answer, shared.options.keeps_throttling);
        }
    };
    Verdict::Refused(state.error(status, kind, message), kept)
}

fn throttled(shared: &Shared, state: &mut State) -> Verdict {
    let message = "Too many requests, please try again shortly.";
    let answer = state.error(429, "rate_limit_error", message);
    let answer = answer.with("retry-after", "1");
    Verdict::Refused(answer, shared.options.keeps_throttling)
}
