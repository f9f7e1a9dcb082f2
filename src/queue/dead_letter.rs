//! Messages that are given up: kept whole, logged and alerted.

use crate::{
    ledger::{
        Ledger,
        mail::{MailRecord, MailState},
    },
    model::{
        alert::{Alert, AlertKind},
        log::{Level, Record},
        message::{Delivery, Disposition, Message, QueuedContent, QueuedMail},
        outcome::{Event, Outcome, Reason},
        time::{MINUTE, millis},
    },
    ports::Ports,
};
use serde_json::Value;

/// Records a message that the queue gave up, or that nobody can read. It is acknowledged only once it is recorded.
///
/// It needs no settings, so it works while they are wrong.
pub async fn dead_letter<P: Ports>(
    ports: &P,
    delivery: &Delivery<'_>,
) -> (Disposition, Option<Alert>) {
    let started = ports.now();
    let ledger = Ledger::new(ports);
    let message = delivery.body.as_text().and_then(Message::from_text);
    let reason = match &message {
        Some(_) => Reason::RetriesUsedUp,
        None => Reason::UnreadableMessage,
    };
    let name = name(message.as_ref(), delivery.id);
    let mail = match message {
        Some(Message::Mail(mail)) => Some(mail),
        _ => None,
    };
    let known = match &mail {
        Some(mail) => ledger.mail(&mail.email.svix_id).await.ok().flatten(),
        None => None,
    };
    let is_sent = mail.as_ref().zip(known.as_ref());
    let is_sent = is_sent.is_some_and(|(mail, known)| known.is_sent(&mail.route));
    let mut record = Record::new(Event::DeadLetter, Outcome::Duplicate, Reason::SentBefore);
    let mut disposition = Disposition::Acknowledge;
    if !is_sent {
        record.level = Level::Error;
        record.alert = Some(AlertKind::DeadLettered);
        let letter = match &mail {
            Some(mail) => with_content(&ledger, mail).await,
            None => None,
        };
        let letter = letter.unwrap_or_else(|| delivery.body.to_letter());
        if ledger.put_dead_letter(&name, &letter).await.is_err() {
            (record.outcome, record.reason) = (Outcome::Retry, Reason::LedgerRefused);
            record.retry_in_ms = Some(millis(MINUTE));
            disposition = Disposition::Retry(MINUTE);
        } else {
            (record.outcome, record.reason) = (Outcome::DeadLettered, reason);
            if let Some(mail) = &mail {
                let state = MailRecord::new(&mail.email, MailState::DeadLettered, ports.now())
                    .because(reason, mail.route.clone());
                // Safe to lose: the dead letter itself is stored.
                let _ = ledger.put_mail(&mail.email.svix_id, &state).await;
            }
        }
    }
    if let Some(mail) = mail {
        record.age_ms = Some(millis(mail.email.age(started)));
        record.svix_id = Some(mail.email.svix_id);
        record.slug = mail.email.slug;
    }
    record.attempt = Some(delivery.attempt);
    record.ledger_ms = Some(millis(ledger.spent()));
    record.ledger_error = ledger.last_error().map(|error| error.as_str());
    record.total_ms = Some(millis(ports.now().since(started)));
    ports.log(&record);
    (disposition, record.to_alert())
}

/// The name of a dead letter, by which an operator finds it and puts it into the queue again.
fn name(message: Option<&Message>, delivery_id: &str) -> String {
    match message {
        Some(Message::Mail(mail)) => mail.email.svix_id.to_string(),
        Some(Message::HandOff { payload }) => payload
            .get("id")
            .and_then(Value::as_str)
            .unwrap_or(delivery_id)
            .to_owned(),
        Some(
            Message::Notification { .. }
            | Message::Alert { .. }
            | Message::Probe { .. }
            | Message::HandBack(_),
        )
        | None => {
            format!("message-{delivery_id}")
        }
    }
}

/// A mail as text, with the content that it only refers to: the ledger's copy expires before the dead letter does.
///
/// `None`: the message has its content, or the ledger does not.
async fn with_content<P: Ports>(ledger: &Ledger<'_, P>, mail: &QueuedMail) -> Option<String> {
    if mail.content != QueuedContent::InLedger {
        return None;
    }
    let content = ledger.content(&mail.email.svix_id).await.ok()??;
    Message::Mail(Box::new(QueuedMail {
        content: QueuedContent::Here(content),
        ..mail.clone()
    }))
    .to_text()
}
