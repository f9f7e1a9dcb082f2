//! A message is in the mailbox: whose it is, which mail it answers, and who is handed it.

use super::{
    classify::{Class, InboundMail},
    correlate::{Correlated, correlate, grant_answers, own_addresses, reply_id},
    handoff::{Reply, forward},
    work::{Done, Work},
};
use crate::{
    ledger::{
        recipient::keyed_hash,
        reply::{ReplyRecord, Thread},
    },
    model::{
        log::{Level, Record},
        message::Message,
        outcome::{Outcome, Reason},
        time::DAY,
    },
    nylas::mailbox::ReadOutcome,
    ports::{Ports, StoreError},
    queue::enqueue::enqueue,
    redact::text::{redact_body, subject},
};
use serde_json::Value;
use std::time::Duration;

/// A message that Nylas reported and does not show may be deleted from this delivery of its notification on.
const GONE_TRIES: u32 = 5;

const MONTH: Duration = DAY.saturating_mul(30);

/// Processes the notification of a message.
///
/// What a step has done is remembered after it was done, so everything happens at least once. The ids of what goes out are
/// the same each time, so that it is one in the end.
///
/// # Errors
/// The ledger did not answer.
pub async fn process<P: Ports>(
    work: &Work<'_, '_, P>,
    message_id: &str,
    record: &mut Record,
) -> Result<Done, StoreError> {
    let ledger = &work.context.ledger;
    let id = reply_id(work.account, message_id);
    record.reply = Some(id.clone());
    if ledger.has_reply(&id).await? {
        (record.outcome, record.reason) = (Outcome::Duplicate, Reason::WorkedOffBefore);
        return Ok(Done::Done);
    }
    let Some(own_addresses) = own_addresses(work).await else {
        return Ok(Done::Retry(Reason::AccountAddressUnknown));
    };
    let answer = match fetch(work, message_id).await {
        Fetched::Message(answer) => answer,
        Fetched::Deleted => Value::Null,
        Fetched::NotNow(reason) => return Ok(Done::Retry(reason)),
    };
    let message = answer.get("data").unwrap_or(&Value::Null);
    let mail = InboundMail(message);
    let (mut class, mut reason) = if message.is_null() {
        (Class::Gone, Reason::MessageGone)
    } else {
        mail.classify(&own_addresses)
    };
    let mut thread = None;
    if matches!(class, Class::Person | Class::Junk)
        && let Some(thread_id) = mail.thread_id()
    {
        thread = match correlate(work, thread_id).await? {
            Correlated::Ours(thread) => Some(thread),
            Correlated::NotOurs => None,
            Correlated::Unknown(reason) => return Ok(Done::Retry(reason)),
        };
        (class, reason) = reclassify((class, reason), thread.as_ref(), message_id);
    }
    let mut handed_to = Vec::new();
    if class == Class::Person {
        let handing = Handing {
            id: &id,
            message_id,
            mail: &mail,
            thread: thread.as_ref(),
        };
        let handed = hand_on(work, &handing).await;
        let Ok((recipients, is_own)) = handed else {
            return Ok(Done::Retry(Reason::CouldNotBeQueued));
        };
        handed_to = recipients;
        if is_own {
            (class, reason) = (Class::Own, Reason::ForwardAddress);
        } else if handed_to.is_empty() && ledger.may_say("replies", MONTH).await {
            reason = Reason::SayNoReceiver;
            record.level = Level::Warning;
        }
    }
    record.outcome = if handed_to.is_empty() {
        class.outcome()
    } else {
        Outcome::HandedOn
    };
    record.reason = reason;
    if let Some(thread) = thread {
        record.svix_id = Some(thread.svix_id);
        record.slug = thread.slug;
    }
    let reply = ReplyRecord {
        class: class.outcome(),
        at: work.context.now(),
        account: work.account.clone(),
        svix_id: record.svix_id.clone(),
        handed_to,
    };
    ledger.put_reply(&id, &reply).await?;
    Ok(Done::Done)
}

/// What became of asking for a message.
enum Fetched {
    /// The whole answer: the message is its `data`.
    Message(Value),
    Deleted,
    /// It cannot be told now.
    NotNow(Reason),
}

/// Asks the mailbox for the message.
///
/// Nylas answers 404 both for a message that is not there and for a grant that is not. So a message counts as deleted only
/// if the grant answers, and the message is still not there after that.
async fn fetch<P: Ports>(work: &Work<'_, '_, P>, message_id: &str) -> Fetched {
    let nylas = &work.context.nylas;
    match nylas.message(work.account, message_id).await {
        ReadOutcome::Answered(answer) => return Fetched::Message(answer),
        ReadOutcome::Unknown => return Fetched::NotNow(Reason::MailboxNotAnswering),
        ReadOutcome::Gone if work.attempt < GONE_TRIES => {
            return Fetched::NotNow(Reason::MessageNotVisibleYet);
        }
        ReadOutcome::Gone => {}
    }
    if !grant_answers(work).await {
        return Fetched::NotNow(Reason::MailboxNotAnswering);
    }
    match nylas.message(work.account, message_id).await {
        ReadOutcome::Answered(answer) => Fetched::Message(answer),
        ReadOutcome::Gone => Fetched::Deleted,
        ReadOutcome::Unknown => Fetched::NotNow(Reason::MailboxNotAnswering),
    }
}

/// What the thread says of who wrote the message.
fn reclassify(
    (class, reason): (Class, Reason),
    thread: Option<&Thread>,
    message_id: &str,
) -> (Class, Reason) {
    match thread {
        None => (class, reason),
        Some(thread) if thread.message_id.as_deref() == Some(message_id) => {
            (Class::Own, Reason::OwnMessageId)
        }
        // Who answers a mail of ours is not spam.
        Some(_) if class == Class::Junk => (Class::Person, Reason::Person),
        Some(_) => (class, reason),
    }
}

/// A person's message that is about to be handed on.
struct Handing<'a> {
    id: &'a str,
    message_id: &'a str,
    mail: &'a InboundMail<'a>,
    thread: Option<&'a Thread>,
}

/// Queues the reply for the agent and the person. Returns who gets it, and whether the person themself wrote it.
///
/// # Errors
/// The queue did not take it.
async fn hand_on<P: Ports>(
    work: &Work<'_, '_, P>,
    handing: &Handing<'_>,
) -> Result<(Vec<&'static str>, bool), crate::ports::QueueError> {
    let (context, mail) = (work.context, handing.mail);
    let key = &context.config.nylas_api_key;
    let reply = Reply {
        id: handing.id,
        account: work.account,
        message_id: handing.message_id,
        mail,
        thread: handing.thread,
        sender_is_recipient: handing
            .thread
            .is_some_and(|thread| thread.recipient == keyed_hash(mail.from(), key)),
        redacted: redact_body(mail.text("body")),
        subject: subject(mail.text("subject")),
    };
    let mut handed_to = Vec::new();
    if context.config.agent.is_some() {
        let payload = reply.for_agent();
        enqueue(context, &Message::HandOff { payload }).await?;
        handed_to.push("agent");
    }
    let mut is_own = false;
    if let Some(person) = &context.config.forward_to {
        // The person's answer to a forward goes to the user; this one came past that.
        is_own = person.eq_ignore_ascii_case(mail.from());
        if !is_own {
            forward(context, &reply, person).await?;
            handed_to.push("person");
        }
    }
    Ok((handed_to, is_own))
}
