//! A message is in the mailbox: who wrote it, which mail of ours it answers, and who gets it.

use super::{
    budget::Tally,
    classify::{Class, InboundMail},
    correlate::{correlate, grant_answers, own_addresses, reply_id},
    handoff::{Reply, fit, forward},
    work::{Work, Worked},
};
use crate::{
    delivery::folders::folders,
    ledger::{
        recipient::RecipientHash,
        reply::{ReplyRecord, Thread},
    },
    model::{
        account::Folders,
        alert::AlertKind,
        log::{Level, Record},
        message::Message,
        outcome::{Outcome, Reason},
        time::DAY,
    },
    nylas::mailbox::ReadOutcome,
    ports::Ports,
    queue::enqueue::enqueue,
    redact::text::{redact_body, subject},
};
use serde_json::{Value, json};
use std::time::Duration;

/// A mailbox may show a message later than Nylas reports it. Only from this delivery of the notification on may a
/// message that is missing be deleted.
const DELETED_FROM: u32 = 5;

const MONTH: Duration = DAY.saturating_mul(30);

/// Processes the notification of a message.
///
/// Each step is remembered after it was done, so it is done at least once. What goes out has the same id each time, so
/// the receiver recognizes a repetition.
///
/// # Errors
/// Why it must be retried.
pub async fn process<P: Ports>(
    work: &Work<'_, '_, P>,
    message_id: &str,
    record: &mut Record,
) -> Worked {
    let ledger = &work.context.ledger;
    let id = reply_id(work.account, message_id);
    record.reply = Some(id.clone());
    if ledger.has_reply(&id).await? {
        (record.outcome, record.reason) = (Outcome::Duplicate, Reason::WorkedOffBefore);
        return Ok(());
    }
    let own_addresses = own_addresses(work).await?;
    let Some(message) = fetch(work, message_id).await? else {
        let gone = Classified {
            class: Class::Gone,
            reason: Reason::MessageGone,
            thread: None,
        };
        return remember(work, &id, gone, Handed::default(), record).await;
    };
    let mail = InboundMail(&message);
    let mut classified = classify(work, message_id, &mail, &own_addresses).await?;
    let mut handed = Handed::default();
    if classified.class == Class::Person {
        if has_receiver(work, &mail) {
            let thread = classified.thread.as_ref();
            handed = within_budget(work, &id, message_id, &mail, thread, record).await?;
        }
        if is_from_forward_address(work, &mail) {
            (classified.class, classified.reason) = (Class::Own, Reason::ForwardAddress);
        } else if let Some(reason) = handed.held_back {
            classified.reason = reason;
        } else if handed.to.is_empty() && ledger.may_say("replies", MONTH).await {
            classified.reason = Reason::SayNoReceiver;
            record.level = Level::Warning;
        }
    }
    remember(work, &id, classified, handed, record).await
}

/// Asks the mailbox for a message. `None`: it was deleted.
///
/// Nylas answers 404 for a message that is not there, and for everything while the grant is not there. So a message
/// counts as deleted only if the grant answers and the message is still missing after that.
async fn fetch<P: Ports>(
    work: &Work<'_, '_, P>,
    message_id: &str,
) -> Result<Option<Value>, Reason> {
    if let Some(message) = ask(work, message_id).await? {
        return Ok(Some(message));
    }
    if work.attempt < DELETED_FROM {
        return Err(Reason::MessageNotVisibleYet);
    }
    if !grant_answers(work).await {
        return Err(Reason::MailboxNotAnswering);
    }
    ask(work, message_id).await
}

/// Asks once. `None`: there is no such message, or no such grant.
async fn ask<P: Ports>(work: &Work<'_, '_, P>, message_id: &str) -> Result<Option<Value>, Reason> {
    match work.context.nylas.message(work.account, message_id).await {
        ReadOutcome::Answered(mut answer) => {
            let message = answer.get_mut("data").map(Value::take);
            Ok(message.filter(|message| !message.is_null()))
        }
        // No mail of a person's has so long a sender. It has none, then, and stays in the mailbox.
        ReadOutcome::TooLarge => Ok(Some(json!({}))),
        ReadOutcome::Gone => Ok(None),
        ReadOutcome::Unknown => Err(Reason::MailboxNotAnswering),
    }
}

/// Who wrote a message, what shows it, and the thread it is in, if a mail of ours began that.
struct Classified {
    class: Class,
    reason: Reason,
    thread: Option<Thread>,
}

/// Classifies a message by itself and by its thread.
async fn classify<P: Ports>(
    work: &Work<'_, '_, P>,
    message_id: &str,
    mail: &InboundMail<'_>,
    own_addresses: &[String],
) -> Result<Classified, Reason> {
    let (mut class, mut reason) = mail.classify(own_addresses, &Folders::default());
    if class == Class::Person {
        // Everything else is told without the folders, so that is not worth a look at them.
        let folders = folders(work.context, work.account).await;
        let folders = folders.ok_or(Reason::MailboxNotAnswering)?;
        (class, reason) = mail.classify(own_addresses, &folders);
    }
    let mut classified = Classified {
        class,
        reason,
        thread: None,
    };
    let Some(thread_id) = mail.thread_id() else {
        return Ok(classified);
    };
    if !matches!(class, Class::Person | Class::Junk) {
        return Ok(classified);
    }
    classified.thread = correlate(work, thread_id, mail).await?;
    if let Some(thread) = &classified.thread {
        if thread.message_id.as_deref() == Some(message_id) {
            (classified.class, classified.reason) = (Class::Own, Reason::OwnMessageId);
        } else if class == Class::Junk {
            // Whoever answers a mail of ours is no spammer.
            (classified.class, classified.reason) = (Class::Person, Reason::Person);
        }
    }
    Ok(classified)
}

/// Whether the person who gets forwards wrote the message. It is not forwarded back to them. Their answer to a forward
/// does not come here, because it goes to the user.
fn is_from_forward_address<P: Ports>(work: &Work<'_, '_, P>, mail: &InboundMail<'_>) -> bool {
    let person = work.context.config.forward_to.as_deref();
    person.is_some_and(|person| person.eq_ignore_ascii_case(mail.from()))
}

/// Whether anybody is configured who gets the message.
fn has_receiver<P: Ports>(work: &Work<'_, '_, P>, mail: &InboundMail<'_>) -> bool {
    let config = work.context.config;
    let is_forwarded = config.forward_to.is_some() && !is_from_forward_address(work, mail);
    config.agent.is_some() || is_forwarded
}

/// Who was handed a message.
#[derive(Default)]
struct Handed {
    to: Vec<&'static str>,
    /// Why it stayed in the mailbox, or was not forwarded.
    held_back: Option<Reason>,
}

/// Hands a person's message on, if the budgets allow it. Otherwise it stays in the mailbox, and the operator is told
/// once a day. A forward is one of the account's own mails, so there is none while the account needs the rest of its
/// day for sign-in mails.
async fn within_budget<P: Ports>(
    work: &Work<'_, '_, P>,
    id: &str,
    message_id: &str,
    mail: &InboundMail<'_>,
    thread: Option<&Thread>,
    record: &mut Record,
) -> Result<Handed, Reason> {
    let (context, config) = (work.context, work.context.config);
    let sender = context.recipient(mail.from());
    let is_forwarded = config.forward_to.is_some() && !is_from_forward_address(work, mail);
    let may_forward = is_forwarded && !context.is_quota_nearly_used(work.account).await;
    let mut tally = Tally::read(work).await?;
    let refusal = if config.agent.is_some() || may_forward {
        tally.admit(id, sender.as_str())
    } else {
        Some(Reason::QuotaNearlyUsed)
    };
    let mut handed = Handed::default();
    if refusal.is_none() {
        handed.to = hand_on(work, id, message_id, mail, thread, &sender, may_forward).await?;
    }
    handed.held_back =
        refusal.or((is_forwarded && !may_forward).then_some(Reason::QuotaNearlyUsed));
    let is_news = handed.held_back.is_some() && tally.tell();
    if handed.held_back.is_some() {
        record.level = Level::Warning;
        record.alert = is_news.then_some(AlertKind::RepliesHeldBack);
    }
    if refusal.is_none() || is_news {
        tally.store().await;
    }
    Ok(handed)
}

/// Queues the reply for the agent and the person. Returns who gets it.
async fn hand_on<P: Ports>(
    work: &Work<'_, '_, P>,
    id: &str,
    message_id: &str,
    mail: &InboundMail<'_>,
    thread: Option<&Thread>,
    sender: &RecipientHash,
    may_forward: bool,
) -> Result<Vec<&'static str>, Reason> {
    let (context, config) = (work.context, work.context.config);
    let mut redacted = redact_body(mail.text("body"));
    // A message that is too long comes without its body.
    redacted.truncated |= mail.0.get("body").is_none_or(Value::is_null);
    fit(&mut redacted);
    let reply = Reply {
        id,
        account: work.account,
        message_id,
        mail,
        thread,
        sender_is_recipient: mail.from_address().is_some()
            && thread.is_some_and(|thread| thread.recipient == *sender),
        redacted,
        subject: subject(mail.text("subject")),
    };
    let mut handed_to = Vec::new();
    if config.agent.is_some() {
        let payload = reply.for_agent();
        enqueue(context, &Message::HandOff { payload }).await?;
        handed_to.push("agent");
    }
    if let Some(person) = config.forward_to.as_deref().filter(|_| may_forward) {
        forward(context, &reply, person).await?;
        handed_to.push("person");
    }
    Ok(handed_to)
}

/// Remembers the message, so that it is not processed again.
async fn remember<P: Ports>(
    work: &Work<'_, '_, P>,
    id: &str,
    classified: Classified,
    handed: Handed,
    record: &mut Record,
) -> Worked {
    let class = classified.class.outcome();
    record.outcome = if handed.to.is_empty() {
        class
    } else {
        Outcome::HandedOn
    };
    record.reason = classified.reason;
    if let Some(thread) = classified.thread {
        record.svix_id = Some(thread.svix_id);
        record.slug = thread.slug;
    }
    let reply = ReplyRecord {
        class,
        at: work.context.now(),
        account: work.account.clone(),
        svix_id: record.svix_id.clone(),
        handed_to: handed.to,
        held_back: handed.held_back,
    };
    work.context.ledger.put_reply(id, &reply).await?;
    Ok(())
}
