//! What Nylas tells us: notifications, believed, made durable, and kept.

use crate::{
    config::Config,
    ledger::Ledger,
    observe::{Event, Level, Record},
    outbox::Message,
    ports::{Ports, Queue},
    relay::{Answer, Disposition, log_forged},
    time::{MINUTE, UnixMillis, millis},
    webhook::verify_nylas,
};
use serde_json::Value;

/// The largest notification accepted: 1.5 MiB. Nylas truncates a message at 1 MB.
pub const NOTIFICATION_BYTES_MAX: usize = 3 * 512 * 1024;

/// Answers a notification of Nylas': 200 only once it is durable; 503, which Nylas repeats, and never
/// 500, which it does not (<https://developer.nylas.com/docs/v3/notifications/>).
pub async fn receive<P: Ports>(
    ports: &P,
    config: &Config,
    signature: Option<&str>,
    body: &[u8],
    started: UnixMillis,
) -> Answer {
    if config.nylas_webhook_secrets.is_empty() {
        return Answer::new(
            503,
            "misconfigured",
            "NYLAS_WEBHOOK_SECRET is missing: set it to the secret Nylas showed when the webhook was created",
        );
    }
    let notification = match verify_nylas(signature, body, &config.nylas_webhook_secrets) {
        Ok(notification) => notification,
        Err(reason) => {
            log_forged(ports, Event::NylasWebhook, reason, started);
            return Answer::new(
                401,
                "bad_signature",
                "the signature is not right: check NYLAS_WEBHOOK_SECRET",
            );
        }
    };
    let (outcome, answer) = match identify(notification.body) {
        None => (
            "unusable",
            Answer::new(200, "unusable", "not_a_notification"),
        ),
        Some((id, text)) => {
            if keep(ports, id, text).await {
                ("stored", Answer::new(200, "stored", "durable"))
            } else {
                ("retry", Answer::new(503, "retry", "could_not_be_stored"))
            }
        }
    };
    ports.log(&Record {
        level: if outcome == "stored" {
            Level::Info
        } else {
            Level::Error
        },
        event: Event::NylasWebhook,
        outcome,
        reason: answer.body.reason,
        total_ms: Some(millis(ports.now().since(started))),
        ..Record::default()
    });
    answer
}

/// Into the queue; and where none is bound, or the notification is too large for it, into the ledger.
async fn keep<P: Ports>(ports: &P, id: String, text: &str) -> bool {
    let message = Message::Notification {
        text: text.to_owned(),
    }
    .to_text()
    .filter(|message| message.len() <= crate::outbox::MESSAGE_BYTES_MAX);
    if let Some(message) = message
        && Queue::send(ports, &message, std::time::Duration::ZERO)
            .await
            .is_ok()
    {
        return true;
    }
    Ledger::new(ports).put_notification(&id, text).await.is_ok()
}

/// Works off a queued notification: keeps it under its id, so that a repeated one is the same one.
pub async fn work_off<P: Ports>(
    ports: &P,
    ledger: &Ledger<'_, P>,
    text: &str,
    attempt: u32,
) -> Disposition {
    let stored = match identify(text.as_bytes()) {
        Some((id, text)) => ledger.put_notification(&id, text).await.is_ok(),
        None => true,
    };
    ports.log(&Record {
        level: if stored { Level::Info } else { Level::Warning },
        event: Event::NylasWebhook,
        outcome: if stored { "kept" } else { "retry" },
        reason: "notification",
        attempt: Some(attempt),
        ledger_ms: Some(millis(ledger.spent())),
        ..Record::default()
    });
    if stored {
        Disposition::Acknowledge
    } else {
        Disposition::Retry(MINUTE)
    }
}

/// The notification's own id, the same on every delivery of it.
fn identify(body: &[u8]) -> Option<(String, &str)> {
    let text = std::str::from_utf8(body).ok()?;
    let notification: Value = serde_json::from_slice(body).ok()?;
    let id = notification.get("id")?.as_str()?;
    let plain = (1..=128).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    plain.then(|| (id.to_owned(), text))
}
