//! Both ends of Cloudflare's queues.

use super::{
    bindings::{Message, constant, field, object, settled},
    env::{Platform, message_of, whole_seconds},
};
use crate::{
    model::message::{Body, Disposition, Lane},
    ports::{Queue, QueueError},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::time::Duration;
use worker::{
    js_sys::{ArrayBuffer, JSON, Uint8Array},
    wasm_bindgen::{JsCast, JsValue},
    worker_sys,
};

impl Queue for Platform {
    async fn send_to_queue(
        &self,
        lane: Lane,
        text: &str,
        delay: Duration,
    ) -> Result<(), QueueError> {
        let inbox = self.inbox.as_ref().filter(|_| lane == Lane::Inbox);
        let queue = inbox.or(self.outbox.as_ref());
        let queue = queue.ok_or(QueueError::NotBound)?;
        let options = object([
            ("contentType", constant("text")),
            ("delaySeconds", whole_seconds(delay).into()),
        ]);
        let sent = settled(queue.send(text, &options)).await;
        sent.map(|_| ()).map_err(|error| cause(&error))
    }
}

/// Why the queue did not take a message. Its errors have no code, only a message such as "Queue send failed: Too Many
/// Requests".
fn cause(error: &JsValue) -> QueueError {
    let message = message_of(error).to_ascii_lowercase();
    if message.contains("daily") || message.contains("for the day") {
        QueueError::DailyLimit
    } else if message.contains("too many requests") || message.contains("storage limit") {
        QueueError::RateLimited
    } else if message.contains("too large") || message.contains("exceeds") {
        QueueError::TooLarge
    } else {
        QueueError::Failed
    }
}

/// One message of a queue batch. Crate `worker` does not show `attempts` (workers-rs#1057), so the
/// batch is taken in its JavaScript form.
pub struct QueueMessage(Message);

impl QueueMessage {
    /// The messages of a batch.
    pub fn all(batch: &worker_sys::MessageBatch) -> Vec<Self> {
        let messages = batch.messages().unwrap_or_default();
        messages
            .iter()
            .map(|message| Self(message.unchecked_into()))
            .collect()
    }

    /// The queue's id of the message.
    pub fn id(&self) -> String {
        field(&self.0, "id").as_string().unwrap_or_default()
    }

    /// The body. What is not text is not ours; it is turned into text, so that none of it is lost.
    pub fn body(&self) -> Body {
        let body = field(&self.0, "body");
        if let Some(text) = body.as_string() {
            return Body::Text(text);
        }
        let bytes = match body.dyn_ref::<ArrayBuffer>() {
            Some(buffer) => Some(Uint8Array::new(buffer)),
            None => body.dyn_ref::<Uint8Array>().cloned(),
        };
        if let Some(bytes) = bytes {
            return Body::Foreign {
                kind: "base64",
                text: STANDARD.encode(bytes.to_vec()),
            };
        }
        match JSON::stringify(&body)
            .ok()
            .and_then(|text| text.as_string())
        {
            Some(text) => Body::Foreign { kind: "json", text },
            // What has no JSON, such as a large integer.
            None => Body::Foreign {
                kind: "value",
                text: format!("{body:?}"),
            },
        }
    }

    /// Which delivery this is, from 1.
    pub fn attempt(&self) -> u32 {
        // Saturates; there are no more than a hundred.
        field(&self.0, "attempts").as_f64().unwrap_or(1.0) as u32
    }

    /// Settles the message.
    pub fn settle(&self, disposition: Disposition) {
        // Fails only for a message that is settled.
        let _ = match disposition {
            Disposition::Acknowledge => self.0.ack(),
            Disposition::Retry(delay) => self
                .0
                .retry(&object([("delaySeconds", whole_seconds(delay).into())])),
        };
    }
}
