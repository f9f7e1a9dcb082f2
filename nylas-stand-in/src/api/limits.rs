//! Whether an account's state and the organization's plan allow a mail.

use crate::model::account::{Account, AccountState};
use crate::model::answer::Answer;
use crate::model::mailbox::{Stored, folder_id};
use crate::shared::Shared;
use crate::state::State;
use serde_json::{Value, json};

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
    if let Some(message) = used_up(state, account, now_ms) {
        let answer = state.error(429, "rate_limit_error", message);
        return Verdict::Refused(answer, shared.options.keeps_throttling);
    }
    let how = state.account(&account.grant_id).map(|held| held.state);
    // What is the organization's holds for every account, whichever has the state.
    let how = match how.unwrap_or_default() {
        AccountState::Healthy => pooled(state),
        how => how,
    };
    let (status, kind, message) = match how {
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
            let second = state
                .mails
                .iter()
                .filter(|mail| now_ms < mail.at_ms + 1000)
                .count();
            let second = u32::try_from(second).unwrap_or(u32::MAX);
            return match second {
                second if second < mails => Verdict::Sent,
                second if second < mails.saturating_add(queue) => Verdict::Queued,
                _ => throttled(shared, state),
            };
        }
    };
    Verdict::Refused(state.error(status, kind, message), kept)
}

/// What of the plan is used up, if anything is. Mails are counted in the Sent folders, where those over SMTP are, too,
/// and none that could not be sent.
fn used_up(state: &State, account: &Account, now_ms: u64) -> Option<&'static str> {
    let sent = |counts: &dyn Fn(&str, u64) -> bool| {
        let counted = |stored: &&Stored| {
            let date = stored.message.get("date").and_then(Value::as_u64);
            let sent = json!([folder_id(&stored.grant_id, "sent")]);
            stored.message.get("folders") == Some(&sent)
                && counts(&stored.grant_id, date.unwrap_or_default() * 1000)
        };
        u32::try_from(state.messages.iter().filter(counted).count()).unwrap_or(u32::MAX)
    };
    let today = |grant: &str, at: u64| grant == account.grant_id && at / DAY_MS == now_ms / DAY_MS;
    let this_month = |_: &str, at: u64| month_of(at) == month_of(now_ms);
    let plan = state.plan;
    if plan
        .mails_a_month
        .is_some_and(|cap| sent(&this_month) >= cap)
    {
        Some("Monthly send limit exceeded")
    } else if plan.mails_a_day.is_some_and(|cap| sent(&today) >= cap) {
        Some("Daily send limit exceeded")
    } else {
        None
    }
}

/// The state that any account has and that is the organization's.
fn pooled(state: &State) -> AccountState {
    let is_pooled = |state: &AccountState| {
        matches!(
            state,
            AccountState::RateLimited | AccountState::PerSecond { .. }
        )
    };
    let mut all = state.accounts.iter().map(|held| held.state);
    all.find(is_pooled).unwrap_or_default()
}

/// The number of a month, counted from the year 0, in UTC. The year begins in March, so that the leap day is its last
/// (<https://howardhinnant.github.io/date_algorithms.html>).
fn month_of(at_ms: u64) -> u64 {
    let days = at_ms / DAY_MS + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    (era * 400 + year_of_era) * 12 + month_from_march
}

fn throttled(shared: &Shared, state: &mut State) -> Verdict {
    let message = "Too many requests, please try again shortly.";
    let answer = state.error(429, "rate_limit_error", message);
    let answer = answer.with("retry-after", "1");
    Verdict::Refused(answer, shared.options.keeps_throttling)
}
