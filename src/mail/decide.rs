//! What to do with a mail: pure decisions, from facts that a handler gathered.

use crate::{
    delivery::attempt::Verdict,
    ledger::mail::{MailRecord, MailState},
    model::{
        alert::AlertKind,
        id::GrantId,
        log::Level,
        mail::Email,
        outcome::{Outcome, Reason},
        route::Route,
        time::{MINUTE, UnixMillis},
    },
    queue::backoff::RENEW_AFTER,
};
use std::time::Duration;

/// How many deliveries of its queue message a sent mail gets to be recorded, while the ledger refuses the record.
const RECORDING_TRIES: u32 = 6;
/// The delay before the next try to record a sent mail: KV accepts one write a second per key
/// (<https://developers.cloudflare.com/kv/platform/limits/>).
pub const RECORD_RETRY_IN: Duration = Duration::from_secs(2);

/// How the handling of one webhook or queued mail ended, for the answer and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    pub outcome: Outcome,
    pub reason: Reason,
    pub level: Level,
    pub alert: Option<AlertKind>,
}

impl Ending {
    /// Nothing that an operator has to know.
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

    /// Nylas refused the mail for good, or an account's guard held it back.
    pub fn rejected(reason: Reason) -> Self {
        match reason {
            Reason::HeldBackByGuard => Self::lost(Outcome::Suppressed, reason, AlertKind::HeldBack),
            _ => Self::lost(Outcome::Rejected, reason, AlertKind::Rejected),
        }
    }

    /// Nylas accepted the mail. If another account than the recipient's first sent it, that is an alert.
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

/// An [`Ending`], and what else goes into the log record.
#[derive(Clone)]
pub struct Ended {
    pub ending: Ending,
    /// The account that sent the mail, or that was tried last.
    pub account: Option<GrantId>,
    /// The delay of the queue message that the mail waits in. `None`: it is in none, or its message is acknowledged.
    pub retry_in: Option<Duration>,
}

impl From<Ending> for Ended {
    fn from(ending: Ending) -> Self {
        Self {
            ending,
            account: None,
            retry_in: None,
        }
    }
}

/// What is known when a verified e-mail event is about to be handled.
pub struct Received<'a> {
    pub email: &'a Email,
    pub now: UnixMillis,
    /// The mail's record in the ledger, if there is one.
    pub known: Option<&'a MailRecord>,
    /// The recipient bounced or complained before.
    pub is_suppressed: bool,
    /// The guard of the recipient's first account holds the mail back.
    pub is_held_back: bool,
}

/// What to do with a verified e-mail event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receive {
    /// Only answer.
    Answer(Ending),
    /// Answer, and record that the mail is given up in this state.
    GiveUp(MailState, Ending),
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

/// Whether nobody reads what is sent there: Clerk's test addresses
/// (<https://clerk.com/docs/guides/development/testing/test-emails-and-phones>) and the domains of RFC 2606. Mail to
/// them bounces, and at 10 % of bounces Nylas pauses the account.
pub fn is_test_recipient(address: &str) -> bool {
    let address = address.to_ascii_lowercase();
    let Some((local_part, domain)) = address.rsplit_once('@') else {
        return false;
    };
    let is_at = |reserved: &str| {
        let rest = domain.strip_suffix(reserved);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    const RESERVED: [&str; 7] = [
        "example.com",
        "example.net",
        "example.org",
        "example",
        "test",
        "invalid",
        "localhost",
    ];
    local_part.split('+').skip(1).any(|tag| tag == "clerk_test")
        || RESERVED.iter().any(|name| is_at(name))
}

/// Decides what to do with a verified e-mail event.
pub fn receive(facts: &Received<'_>) -> Receive {
    if facts.email.is_expired(facts.now) {
        let (outcome, reason) = (Outcome::Expired, Reason::OlderThanItsTtl);
        // Another delivery of a mail that was sent, queued or given up before is no loss.
        return match facts.known.map(|record| record.state) {
            None | Some(MailState::Waiting) => {
                let ending = Ending::lost(outcome, reason, AlertKind::Expired);
                Receive::GiveUp(MailState::Expired, ending)
            }
            Some(
                MailState::Sent
                | MailState::Queued
                | MailState::Rejected
                | MailState::Expired
                | MailState::DeadLettered
                | MailState::Superseded,
            ) => Receive::Answer(Ending::quiet(outcome, reason)),
        };
    }
    let answer = |outcome, reason| Receive::Answer(Ending::quiet(outcome, reason));
    if facts.is_suppressed {
        return answer(Outcome::Suppressed, Reason::RecipientBouncedOrComplained);
    }
    match facts.known.map(|record| record.state) {
        Some(MailState::Sent) => answer(Outcome::Duplicate, Reason::SentBefore),
        Some(MailState::Queued) => answer(Outcome::Duplicate, Reason::QueuedBefore),
        Some(MailState::Superseded) => answer(Outcome::Superseded, Reason::NewerCodeQueued),
        // An earlier attempt may have sent a mail that waits, so it goes on.
        None | Some(MailState::Rejected | MailState::Expired | MailState::DeadLettered)
            if facts.is_held_back =>
        {
            Receive::GiveUp(
                MailState::Rejected,
                Ending::rejected(Reason::HeldBackByGuard),
            )
        }
        // It is new, or Clerk was asked to send it again, or somebody pressed Resend.
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
    /// The mail expired: record that.
    Expire(Ending),
    /// Try to send it.
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
            // The mail was given up after this message was queued, so this is another delivery of the message. It is
            // logged and alerted again, because the delivery that gave the mail up may have crashed before it was.
            (known.at >= queued_at)
                .then(|| Job::Done(Ending::lost(outcome, Reason::GivenUpBefore, alert)))
        };
        let done = match known.state {
            MailState::Sent => known
                .is_sent(route)
                .then(|| Job::Done(Ending::quiet(Outcome::Duplicate, Reason::SentBefore))),
            MailState::Rejected => given_up(Outcome::Rejected, AlertKind::Rejected),
            MailState::Expired => given_up(Outcome::Expired, AlertKind::Expired),
            MailState::Superseded => (known.at >= queued_at).then(|| Job::Done(superseded())),
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

/// The ending of a queued mail that expired.
pub fn expired() -> Ending {
    Ending::lost(
        Outcome::Expired,
        Reason::OlderThanItsTtl,
        AlertKind::Expired,
    )
}

/// The ending of a queued code that is not sent, because a newer one to the same recipient is in the queue.
pub fn superseded() -> Ending {
    Ending::quiet(Outcome::Superseded, Reason::NewerCodeQueued)
}

/// The ending of a queued mail that Nylas accepted.
///
/// There is a delay if the ledger refused the record: the message is then retried to write it. The same key at Nylas
/// makes that safe.
pub fn job_sent(failed_over: bool, is_recorded: bool, attempt: u32) -> (Ending, Option<Duration>) {
    if is_recorded || attempt >= RECORDING_TRIES {
        return (Ending::sent(Reason::AcceptedByNylas, failed_over), None);
    }
    let ending = Ending::sent(Reason::SentButNotRecorded, failed_over);
    (ending, Some(RECORD_RETRY_IN))
}

/// Whether a message must be replaced by a new one instead of being retried. A message cannot be changed, so a longer
/// route needs a new one; and the queue may drop a message that is too old.
pub fn must_replace(before: &Route, after: &Route, queued_at: UnixMillis, now: UnixMillis) -> bool {
    before != after || now.since(queued_at) >= RENEW_AFTER
}

/// The ending of an attempt that deferred the mail. `is_replaced`: a new queue message took this one's place.
pub fn job_deferred(email: &Email, reason: Reason, is_replaced: bool, now: UnixMillis) -> Ending {
    let outcome = if is_replaced {
        Outcome::Requeued
    } else {
        Outcome::Retry
    };
    Ending {
        // Somebody is waiting at a sign-in page, unless it is a forwarded reply.
        alert: (email.only_account.is_none() && email.age(now) >= MINUTE)
            .then_some(AlertKind::Waiting),
        ..Ending::warning(outcome, reason)
    }
}

/// Whether another account than the first of the route sent the mail.
pub fn failed_over(verdict: &Verdict, route: &Route) -> bool {
    matches!(verdict, Verdict::Sent { account, .. } if route.started_elsewhere(account))
}

#[cfg(test)]
mod tests;
