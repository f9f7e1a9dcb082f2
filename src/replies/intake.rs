//! Nylas' webhook: a notification is verified and put into the queue.

use super::correlate::is_own_address;
use crate::{
    config::Config,
    ledger::{Ledger, probe::ProbeId},
    model::{
        answer::Answer,
        log::{Level, Record},
        message::{MESSAGE_BYTES_MAX, Message},
        outcome::{Event, Outcome, Reason},
        time::{UnixMillis, millis},
    },
    nylas::notification::{NotForUs, Notification, NotificationKind, VerifiedJson},
    ports::{Ports, QueueError},
    signature::{VerifiedNotification, verify_nylas},
};
use serde_json::Value;
use std::time::Duration;

/// The largest notification accepted: 1.5 MiB. Nylas truncates a message at 1 MB.
pub const NOTIFICATION_BYTES_MAX: usize = 3 * 512 * 1024;
/// The largest notification accepted once it is unpacked.
pub const UNPACKED_BYTES_MAX: usize = 4 * NOTIFICATION_BYTES_MAX;

/// A request to `POST /api/webhooks/nylas`, its body read within [`NOTIFICATION_BYTES_MAX`].
pub struct NylasRequest<'a> {
    pub signature: Option<&'a str>,
    pub body: &'a [u8],
    /// `Content-Encoding: gzip`. The signature is over the compressed bytes.
    pub is_gzip: bool,
    pub started: UnixMillis,
}

/// Answers a notification from Nylas. The answer is 200 only once the notification is durable. A failure is answered
/// 503, which Nylas repeats, and never 500, which it does not repeat
/// (<https://developer.nylas.com/docs/v3/notifications/>).
pub async fn receive<P: Ports>(ports: &P, config: &Config, request: &NylasRequest<'_>) -> Answer {
    if !config.hears_nylas() {
        return Answer::new(503, Outcome::Misconfigured, Reason::SayNoWebhookSecret);
    }
    let secrets = &config.nylas_webhook_secrets;
    let verified = match verify_nylas(request.signature, request.body, secrets) {
        Ok(verified) => verified,
        Err(forged) => {
            ports.log(&Record {
                level: Level::Warning,
                total_ms: Some(millis(ports.now().since(request.started))),
                // Nothing of the request is logged: a forger may have written it.
                ..Record::new(Event::NylasWebhook, Outcome::BadSignature, forged.reason())
            });
            return Answer::new(401, Outcome::BadSignature, Reason::SayNylasSignature);
        }
    };
    let mut record = Record::new(Event::NylasWebhook, Outcome::Queued, Reason::Durable);
    let notification = unpack(ports, &verified, request.is_gzip).await;
    let is_of_a_probe = notice_probe(ports, &notification, request).await;
    let answer = match Notification::read(&notification) {
        Err(NotForUs::OtherType) => Answer::new(200, Outcome::Ignored, Reason::AnotherType),
        Err(NotForUs::Unusable) => {
            record.level = Level::Error;
            Answer::new(200, Outcome::Unusable, Reason::NotANotification)
        }
        Ok(read) => {
            record.notification = Some(read.id);
            record.account = Some(read.account.clone());
            if config.account(&read.account).is_none() {
                Answer::new(200, Outcome::Ignored, Reason::AnotherAccount)
            } else if is_of_a_probe {
                Answer::new(200, Outcome::Ignored, Reason::NotAMailOfTheRelay)
            } else if let Some(sign) = own_by_notification(config, &read.kind) {
                Answer::new(200, Outcome::Ignored, sign)
            } else {
                make_durable(ports, notification, &mut record).await
            }
        }
    };
    ports.log(&Record {
        outcome: answer.body.status,
        reason: answer.body.reason,
        total_ms: Some(millis(ports.now().since(request.started))),
        ..record
    });
    answer
}

/// Notices how a notification about a mail of `relayctl prove` came. No other mail has such an id.
/// Returns whether it is about one.
async fn notice_probe<P: Ports>(
    ports: &P,
    json: &VerifiedJson,
    request: &NylasRequest<'_>,
) -> bool {
    let Some((name, mut seen)) = json.about_a_probe() else {
        return false;
    };
    let Some(id) = ProbeId::parse(name) else {
        return false;
    };
    if let Value::Object(seen) = &mut seen {
        let is_packed = request.body.starts_with(&[0x1f, 0x8b]);
        seen.insert("gzip_header".to_owned(), request.is_gzip.into());
        seen.insert("gzip_body".to_owned(), is_packed.into());
    }
    let name = seen.get("notification").and_then(Value::as_str);
    let name = name.unwrap_or_default().to_owned();
    // Safe to lose: `relayctl prove` then says that it could not be told.
    let _ = Ledger::new(ports).put_seen(&id, &name, &seen).await;
    true
}

/// The notification as JSON. Only what is verified is unpacked.
async fn unpack<P: Ports>(
    ports: &P,
    verified: &VerifiedNotification<'_>,
    is_gzip: bool,
) -> VerifiedJson {
    if !is_gzip {
        return VerifiedJson::new(verified, None);
    }
    // What cannot be unpacked holds nothing.
    let unpacked = ports.gunzip(verified.body(), UNPACKED_BYTES_MAX).await;
    VerifiedJson::new(verified, Some(&unpacked.unwrap_or_default()))
}

async fn make_durable<P: Ports>(
    ports: &P,
    notification: VerifiedJson,
    record: &mut Record,
) -> Answer {
    let message = Message::Notification {
        text: notification.into_queue(),
    };
    let text = message.to_text();
    let Some(text) = text.filter(|text| text.len() <= MESSAGE_BYTES_MAX) else {
        return Answer::new(200, Outcome::Unusable, Reason::TooMuchBesideTheMessage);
    };
    match ports
        .send_to_queue(message.lane(), &text, Duration::ZERO)
        .await
    {
        Ok(()) => Answer::new(200, Outcome::Queued, Reason::Durable),
        Err(QueueError::NotBound) => {
            record.level = Level::Error;
            Answer::new(503, Outcome::Misconfigured, Reason::SayNoQueue)
        }
        Err(error) => {
            record.level = Level::Warning;
            record.queue_error = Some(error.as_str());
            Answer::new(503, Outcome::Retry, Reason::CouldNotBeQueued)
        }
    }
}

/// What in the notification itself shows that a message is ours. Most messages Nylas reports are those we sent, and
/// they need not go into the queue.
fn own_by_notification(config: &Config, kind: &NotificationKind) -> Option<Reason> {
    let NotificationKind::Arrived {
        sent_by_us, from, ..
    } = kind
    else {
        return None;
    };
    sent_by_us.or_else(|| {
        let is_own = from
            .as_deref()
            .is_some_and(|from| is_own_address(config, from));
        is_own.then_some(Reason::OwnAddress)
    })
}
