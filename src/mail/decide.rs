//! What to do with a mail, decided from facts alone.

use crate::{
    delivery::attempt::Verdict,
    ledger::mail::{MailRecord, MailState},
    model::{
        alert::AlertKind,
        log::Level,
        mail::Email,
        outcome::{Outcome, Reason},
        route::Route,
        time::{MINUTE, UnixMillis},
    },
    queue::backoff::RENEW_AFTER,
};
use std::time::Duration;

/// How often a sent mail comes back because the ledger did not take its record.
const RECORDING_TRIES: u32 = 6;
/// KV takes one write a second per key.
pub const RECORD_AGAIN_IN: Duration = Duration::from_secs(2);

/// How the handling of one webhook or queued mail ended, for the answer and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    pub outcome: Outcome,
    pub reason: Reason,
    pub level: Level,
    pub alert: Option<AlertKind>,
}

impl Ending {
    /// Nothing an operator has to hear of.
    pub fn quiet(outcome: Outcome, reason: Reason) -> Self {
        Self {
            outcome,
            reason,
            level: Level::Info,
            alert: None,
        }
    }

    /// Something is in the way; the relay goes on by itself.
    pub fn warning(outcome: Outcome, reason: Reason) -> Self {
        Self {
            level: Level::Warning,
            ..Self::quiet(outcome, reason)
        }
    }

    /// A mail is lost unless somebody acts.
    pub fn lost(outcome: Outcome, reason: Reason, alert: AlertKind) -> Self {
        Self {
            level: Level::Error,
            alert: Some(alert),
            ..Self::quiet(outcome, reason)
        }
    }

    /// The mail is with Nylas. If another account than the recipient's first sent it, the operator hears of that.
    pub fn sent(reason: Reason, failed_over: bool) -> Self {
        let ending = Self::quiet(Outcome::Sent, reason);
        if !failed_over {
            return ending;
        }
        Self {
            level: Level::Warning,
            alert: Some(AlertKind::FailedOver),
            ..ending
        }
    }
}

/// What is known when a verified e-mail event is about to be handled.
pub struct Received<'a> {
    pub email: &'a Email,
    pub now: UnixMillis,
    pub known: Option<&'a MailRecord>,
    /// The recipient bounced or complained before.
    pub is_suppressed: bool,
    /// The recipient's domain does nothing but bounce.
    pub is_domain_bouncing: bool,
}

/// What to do with a verified e-mail event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receive {
    /// Only answer.
    Answer(Ending),
    /// Answer, and remember that the mail expired: nobody knew it yet.
    Expire(Ending),
    /// Try to send it.
    Attempt,
}

/// Whether a template is to be relayed. `templates`: the setting, if there is one.
pub fn is_relayed(email: &Email, templates: Option<&[String]>) -> bool {
    templates.is_none_or(|templates| {
        let slug = email.slug.as_str();
        slug.is_some_and(|slug| templates.iter().any(|template| template == slug))
    })
}

/// Decides what to do with a verified e-mail event.
pub fn receive(facts: &Received<'_>) -> Receive {
    if facts.email.is_expired(facts.now) {
        let (outcome, reason) = (Outcome::Expired, Reason::OlderThanItsContentLives);
        // A mail that was sent, or given up before, is not lost when it is delivered again.
        return match facts.known.map(|record| record.state) {
            None | Some(MailState::Waiting) => {
                Receive::Expire(Ending::lost(outcome, reason, AlertKind::Expired))
            }
            Some(
                MailState::Sent
                | MailState::Queued
                | MailState::Rejected
                | MailState::Expired
                | MailState::DeadLettered,
            ) => Receive::Answer(Ending::quiet(outcome, reason)),
        };
    }
    let answer = |outcome, reason| Receive::Answer(Ending::quiet(outcome, reason));
    if facts.is_suppressed {
        return answer(Outcome::Suppressed, Reason::RecipientBouncedOrComplained);
    }
    if facts.is_domain_bouncing {
        return answer(Outcome::Suppressed, Reason::RecipientDomainBouncing);
    }
    match facts.known.map(|record| record.state) {
        Some(MailState::Sent) => answer(Outcome::Duplicate, Reason::SentBefore),
        Some(MailState::Queued) => answer(Outcome::Duplicate, Reason::QueuedBefore),
        // Clerk was asked to send it again, or somebody pressed Resend.
        None
        | Some(
            MailState::Waiting | MailState::Rejected | MailState::Expired | MailState::DeadLettered,
        ) => Receive::Attempt,
    }
}

/// What to do with a queued mail, before any attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Nothing is left to do.
    Done(Ending),
    /// It is too old to be of use: remember that.
    Expire(Ending),
    Attempt,
}

/// Decides what to do with a queued mail. `known`: the mail's record; `queued_at`: when this message was queued.
pub fn job(
    email: &Email,
    route: &Route,
    queued_at: UnixMillis,
    known: Option<&MailRecord>,
    now: UnixMillis,
) -> Job {
    if let Some(known) = known {
        let given_up = |outcome, alert| {
            // Given up after this message was queued: this is a repeated delivery of it. It is said again, because the
            // delivery before may have crashed before it said so.
            (known.at >= queued_at)
                .then(|| Job::Done(Ending::lost(outcome, Reason::GivenUpBefore, alert)))
        };
        let done = match known.state {
            MailState::Sent => known
                .is_sent(route)
                .then(|| Job::Done(Ending::quiet(Outcome::Duplicate, Reason::SentBefore))),
            MailState::Rejected => given_up(Outcome::Rejected, AlertKind::Rejected),
            MailState::Expired => given_up(Outcome::Expired, AlertKind::Expired),
            MailState::Queued | MailState::Waiting | MailState::DeadLettered => None,
        };
        if let Some(done) = done {
            return done;
        }
    }
    if email.is_expired(now) {
        return Job::Expire(expired());
    }
    Job::Attempt
}

/// How a queued mail ends that became too old.
pub fn expired() -> Ending {
    Ending::lost(
        Outcome::Expired,
        Reason::OlderThanItsContentLives,
        AlertKind::Expired,
    )
}

/// How a queued mail ends that Nylas accepted. The delay: come back to record it, under the same key at Nylas.
pub fn job_sent(failed_over: bool, is_recorded: bool, attempt: u32) -> (Ending, Option<Duration>) {
    if is_recorded || attempt >= RECORDING_TRIES {
        return (Ending::sent(Reason::AcceptedByNylas, failed_over), None);
    }
    let ending = Ending::sent(Reason::SentButNotRecorded, failed_over);
    (ending, Some(RECORD_AGAIN_IN))
}

/// Whether a message that comes back must be replaced by a new one, because a message cannot be changed: the route went
/// on, or the message is so old that the queue may drop it.
pub fn must_replace(before: &Route, after: &Route, queued_at: UnixMillis, now: UnixMillis) -> bool {
    before != after || now.since(queued_at) >= RENEW_AFTER
}

/// How a queued mail that could not be sent goes on waiting. `is_replaced`: by a new message.
pub fn job_waits(email: &Email, reason: Reason, is_replaced: bool, now: UnixMillis) -> Ending {
    let outcome = if is_replaced {
        Outcome::Requeued
    } else {
        Outcome::Retry
    };
    Ending {
        // Somebody sits in front of a sign-in page.
        alert: (email.age(now) >= MINUTE).then_some(AlertKind::Waiting),
        ..Ending::warning(outcome, reason)
    }
}

/// Whether the sending account stood in for another.
pub fn failed_over(verdict: &Verdict, route: &Route) -> bool {
    matches!(verdict, Verdict::Sent { account, .. } if route.started_elsewhere(account))
}

#[cfg(test)]
mod tests;
