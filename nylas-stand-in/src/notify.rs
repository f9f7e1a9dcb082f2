//! Sends notifications: signed, in up to three attempts.

use crate::caller;
use crate::hex::hex;
use crate::model::unknowns::Compresses;
use crate::model::webhook::Notified;
use crate::shared::Shared;
use crate::state::State;
use flate2::{Compression, write::GzEncoder};
use hmac::{Hmac, Mac};
use hyper::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use std::io::Write;
use std::sync::Arc;

/// How many attempts there are to deliver a notification.
const ATTEMPTS: u32 = 3;
/// The only statuses after which there is another attempt.
const RETRIED: [u16; 6] = [408, 429, 502, 503, 504, 507];

/// A longer notification leaves out the body of its message. Nylas says "1 MB".
const LARGEST: usize = 1024 * 1024;

/// Notifies every webhook that subscribed to this type. A message that is too large loses its body and gets the type
/// `.truncated`.
pub fn notify(shared: &Arc<Shared>, state: &mut State, kind: &str, mut data: Value) {
    let mut kind = kind.to_owned();
    let large = data.to_string().len() > LARGEST;
    if let Some(object) = data.get_mut("object").and_then(Value::as_object_mut)
        && large
        && object.remove("body").is_some()
    {
        kind.push_str(".truncated");
    }
    data["application_id"] = json!("stand-in");
    let source = match kind.split('.').next() {
        Some("grant") => "/nylas/system",
        _ if kind.starts_with("message.created") => "/nylas/stand-in",
        _ => "/nylas/send",
    };
    let envelope = json!({
        "specversion": "1.0", "type": kind, "source": source, "id": state.fresh_id(),
        "time": shared.clock.now_ms() / 1000, "data": data,
    });
    for webhook in state.webhooks.iter().filter(|webhook| webhook.wants(&kind)) {
        let (shared, id, url) = (Arc::clone(shared), webhook.id.clone(), webhook.url.clone());
        let envelope = envelope.clone();
        shared
            .runtime
            .clone()
            .spawn(async move { deliver(&shared, &id, &url, envelope).await });
    }
}

async fn deliver(shared: &Shared, webhook: &str, url: &str, mut envelope: Value) {
    let text = |name: &str| {
        envelope
            .get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let (id, kind) = (
        text("id").unwrap_or_default(),
        text("type").unwrap_or_default(),
    );
    let mut pause = shared.options.notify_interval;
    for attempt in 1..=ATTEMPTS {
        envelope["webhook_delivery_attempt"] = json!(attempt);
        let mut body = envelope.to_string().into_bytes();
        // Looked up for each attempt, because it may have been changed.
        let known = shared
            .lock()
            .webhooks
            .iter()
            .find(|known| known.id == webhook)
            .map(|known| (known.secret.clone(), known.compressed));
        let (secret, asks) = known.unwrap_or_default();
        let mut headers = vec![("content-type", "application/json")];
        let is_compressed = match shared.options.unknowns.compresses {
            Compresses::WhatAsksForIt => asks,
            Compresses::Everything => true,
            Compresses::Nothing => false,
        };
        if is_compressed && let Ok(packed) = gzip(&body) {
            body = packed;
            headers.push(("content-encoding", "gzip"));
        }
        let signature = sign(&secret, &body);
        headers.push(("x-nylas-signature", &signature));
        let reply = caller::call(Method::POST, url, &headers, body).await;
        let status = reply.ok().map(|reply| reply.status);
        shared.lock().notified.push(Notified {
            id: id.clone(),
            kind: kind.clone(),
            url: url.to_owned(),
            attempt,
            status,
            at_ms: shared.clock.now_ms(),
        });
        if status.is_some_and(|status| !RETRIED.contains(&status)) {
            return;
        }
        shared.clock.sleep(pause).await;
        pause *= 2;
    }
}

fn gzip(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body)?;
    encoder.finish()
}

/// Lower-case hexadecimal HMAC-SHA256 of the exact body as it is sent, compressed or not, keyed with the secret as it
/// is written.
fn sign(secret: &str, body: &[u8]) -> String {
    // HMAC takes keys of any length.
    Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_or_else(
        |_| String::new(),
        |mac| hex(&mac.chain_update(body).finalize().into_bytes(), 64),
    )
}
