//! What a mail waits for, in words.

use crate::model::outcome::Reason;

/// What a queued mail waits for, by the reason that its record has. Any other reason says it itself.
pub fn waits_for(reason: &str) -> &'static str {
    let reason = Reason::ALL
        .iter()
        .find(|candidate| candidate.as_str() == reason);
    match reason {
        Some(Reason::NylasTimeout) => {
            "Nylas to say whether it has sent it: it did not answer in time"
        }
        Some(Reason::NylasUnreachable) => "Nylas to be reachable: there was no connection",
        Some(Reason::NylasError) => "Nylas to recover: it answers with errors",
        Some(Reason::NylasInFlight) => "Nylas, which is still working on it",
        Some(Reason::NylasThrottled) => {
            "Nylas to take mails again: it says there are too many at once"
        }
        Some(Reason::NylasKeyConflict) => "certainty whether an earlier try was sent",
        Some(Reason::NylasCouldNotSendIt) => {
            "another way: Nylas had taken it and could not send it"
        }
        Some(Reason::MailboxNotAnswering) => "the mailbox to say whether it was sent before",
        Some(Reason::AccountAddressUnknown) => "Nylas to say what the account's address is",
        Some(Reason::AccountUnauthorized) => {
            "an account: Nylas does not accept the key or the grant"
        }
        Some(Reason::AccountGone) => "an account: its grant is gone",
        Some(Reason::AccountForbidden) => "an account: Nylas forbids it to send",
        Some(Reason::AccountPaused) => "an account: Nylas paused it",
        Some(Reason::AccountDomainNotVerified) => "an account: its domain is not verified",
        Some(Reason::AccountDailyQuota) => {
            "an account: its mails of the day are used up, until midnight UTC"
        }
        Some(Reason::AccountRemoved) => "certainty whether an account that was removed sent it",
        Some(Reason::NoAccount | Reason::NoHopLeft) => "an account that can send: each was tried",
        Some(Reason::QuotaNearlyUsed) => {
            "tomorrow: the rest of the day's mails is for sign-in mails"
        }
        Some(Reason::ContentNotVisibleYet) => "its content to be visible in KV",
        Some(Reason::LedgerRefused) => "KV to answer",
        Some(Reason::Settings | Reason::MisconfiguredSettings) => {
            "the settings to be right: see GET /health"
        }
        Some(Reason::AlwaysQueued | Reason::Redriven) => "its turn in the queue",
        Some(Reason::CouldNotBeQueued) => "Clerk to send it again",
        _ => "the next try",
    }
}
