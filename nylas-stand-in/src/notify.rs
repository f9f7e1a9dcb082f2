//! Webhooks: set up with a challenge, told with a signature.

use crate::routes::Call;
use crate::state::{Answer, State, hex};
use crate::{Shared, caller, messages};
use hmac::{Hmac, Mac};
use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;
use std::sync::Arc;

/// Attempts to deliver one notification.
const ATTEMPTS: u32 = 3;
/// The only statuses after which there is another attempt.
const RETRIED: [u16; 6] = [408, 429, 502, 503, 504, 507];

/// A message longer than this is told of without its body. "1 MB", in Nylas' words.
const LARGEST: usize = 1024 * 1024;

/// A destination for notifications.
pub struct Webhook {
    id: String,
    url: String,
    triggers: Vec<String>,
    secret: String,
    description: Option<String>,
    emails: Vec<String>,
    paused: bool,
}

/// Every type there is.
const TRIGGERS: [&str; 47] = [
    "calendar.created",
    "calendar.updated",
    "calendar.deleted",
    "event.created",
    "event.updated",
    "event.deleted",
    "grant.created",
    "grant.updated",
    "grant.deleted",
    "grant.expired",
    "grant.imap_sync_completed",
    "message.send_success",
    "message.send_failed",
    "message.bounce_detected",
    "message.created",
    "message.created.cleaned",
    "message.opened",
    "message.opened.legacy",
    "message.updated",
    "message.link_clicked",
    "message.link_clicked.legacy",
    "thread.replied",
    "thread.replied.legacy",
    "contact.updated",
    "contact.deleted",
    "folder.created",
    "folder.updated",
    "folder.deleted",
    "booking.created",
    "booking.pending",
    "booking.rescheduled",
    "booking.cancelled",
    "booking.reminder",
    "message.deleted",
    "message.transactional.bounced",
    "message.transactional.complaint",
    "message.transactional.delivered",
    "message.transactional.rejected",
    "message.bounced",
    "message.complaint",
    "message.delivered",
    "message.rejected",
    "notetaker.created",
    "notetaker.updated",
    "notetaker.deleted",
    "notetaker.meeting_state",
    "notetaker.media",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    trigger_types: Vec<String>,
    webhook_url: String,
    description: Option<String>,
    #[serde(default)]
    notification_email_addresses: Vec<String>,
    #[serde(default)]
    compressed_delivery: bool,
}

impl Webhook {
    fn data(&self, with_secret: bool) -> Value {
        let mut data = json!({
            "id": self.id, "description": self.description, "trigger_types": self.triggers,
            "webhook_url": self.url, "status": if self.paused { "pause" } else { "active" }, "notification_email_addresses": self.emails,
            "compressed_delivery": false,
        });
        if with_secret {
            data["webhook_secret"] = json!(self.secret);
        }
        data
    }

    /// Whether it asked for this type. A variant, as `message.created.truncated`, goes to who asked for its base;
    /// everything to who named nothing.
    fn wants(&self, kind: &str) -> bool {
        let variant_of = |trigger: &String| {
            kind.strip_prefix(trigger.as_str())
                .is_some_and(|rest| rest.starts_with('.'))
        };
        let wanted = |trigger: &String| trigger == kind || variant_of(trigger);
        !self.paused && (self.triggers.is_empty() || self.triggers.iter().any(wanted))
    }
}

pub async fn create(shared: &Shared, call: &Call) -> Answer {
    let wanted: Wanted = match serde_json::from_slice(&call.body) {
        Ok(wanted) => wanted,
        Err(error) => {
            return shared
                .lock()
                .error(400, "invalid_request_error", &error.to_string());
        }
    };
    // On a line of its own: in the condition, the lock would be held through the block.
    let problem = problem(&shared.lock(), &wanted);
    if let Some(problem) = problem {
        return shared.lock().error(400, "invalid_request_error", problem);
    }
    let challenge = shared.lock().fresh_id();
    if let Err(reason) = challenged(&wanted.webhook_url, &challenge).await {
        let message = format!("unable.verify.webhook_url : {reason}");
        return shared.lock().error(400, "70005", &message);
    }
    let mut state = shared.lock();
    let webhook = Webhook {
        id: state.fresh_id(),
        url: wanted.webhook_url,
        triggers: wanted.trigger_types,
        secret: state.fresh_id(),
        description: wanted.description,
        emails: wanted.notification_email_addresses,
        paused: false,
    };
    let data = webhook.data(true);
    state.webhooks.push(webhook);
    messages::ok(&mut state, data)
}

fn problem(state: &State, wanted: &Wanted) -> Option<&'static str> {
    if wanted.trigger_types.is_empty() {
        Some("trigger_types: at least one is required")
    } else if !are_known(&wanted.trigger_types) {
        Some("trigger_types: unknown")
    } else if wanted.compressed_delivery {
        Some("compressed_delivery: this stand-in does not play it")
    } else if state
        .webhooks
        .iter()
        .any(|webhook| webhook.url == wanted.webhook_url)
    {
        Some("webhook_url: must be unique")
    } else {
        None
    }
}

fn are_known(triggers: &[String]) -> bool {
    triggers
        .iter()
        .all(|trigger| TRIGGERS.contains(&trigger.as_str()))
}

/// What is to be changed; what is not named stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    description: Option<String>,
    #[serde(default)]
    trigger_types: Vec<String>,
    webhook_url: Option<String>,
    status: Option<String>,
    #[serde(default)]
    notification_email_addresses: Vec<String>,
    #[serde(default)]
    compressed_delivery: bool,
}

pub fn update(shared: &Shared, id: &str, call: &Call) -> Answer {
    let mut state = shared.lock();
    let change: Change = match serde_json::from_slice(&call.body) {
        Ok(change) => change,
        Err(error) => return state.error(400, "invalid_request_error", &error.to_string()),
    };
    let problem = if !are_known(&change.trigger_types) {
        Some("trigger_types: unknown")
    } else if !matches!(change.status.as_deref(), None | Some("active" | "pause")) {
        Some("status: active or pause")
    } else if change.compressed_delivery || change.webhook_url.is_some() {
        Some("compressed_delivery, webhook_url: this stand-in does not play them")
    } else {
        None
    };
    if let Some(problem) = problem {
        return state.error(400, "invalid_request_error", problem);
    }
    let found = state.webhooks.iter_mut().find(|webhook| webhook.id == id);
    let Some(webhook) = found else {
        return state.error(400, "70000", "destination.id.not.found : record not found");
    };
    if !change.trigger_types.is_empty() {
        webhook.triggers = change.trigger_types;
    }
    if !change.notification_email_addresses.is_empty() {
        webhook.emails = change.notification_email_addresses;
    }
    webhook.description = change.description.or(webhook.description.take());
    if let Some(status) = change.status {
        webhook.paused = status == "pause";
    }
    let data = webhook.data(false);
    messages::ok(&mut state, data)
}

/// Asks the destination for an echo.
async fn challenged(url: &str, challenge: &str) -> Result<(), String> {
    let joint = if url.contains('?') { '&' } else { '?' };
    let reply = caller::call(
        Method::GET,
        &format!("{url}{joint}challenge={challenge}"),
        &[],
        Vec::new(),
    )
    .await?;
    match reply.status {
        200 if reply.body != challenge.as_bytes() => Err("challenge is not echoed".to_owned()),
        200 if !reply.sized => Err("chunked answers are not taken".to_owned()),
        200 => Ok(()),
        status => Err(format!("status is not ok, got {status}")),
    }
}

pub fn list(shared: &Shared) -> Answer {
    let mut state = shared.lock();
    let data = state
        .webhooks
        .iter()
        .map(|webhook| webhook.data(false))
        .collect();
    messages::ok(&mut state, data)
}

pub fn rotate(shared: &Shared, id: &str) -> Answer {
    let mut state = shared.lock();
    let secret = state.fresh_id();
    let found = state.webhooks.iter_mut().find(|webhook| webhook.id == id);
    let Some(webhook) = found else {
        return state.error(404, "not_found_error", "requested object not found");
    };
    webhook.secret = secret;
    let data = webhook.data(true);
    messages::ok(&mut state, data)
}

/// Adds a destination without asking it for an echo.
pub fn add(state: &mut State, url: String, secret: String, triggers: Vec<String>) {
    let webhook = Webhook {
        id: state.fresh_id(),
        url,
        triggers,
        secret,
        description: None,
        emails: Vec::new(),
        paused: false,
    };
    state.webhooks.push(webhook);
}

/// An attempt to deliver a notification.
#[derive(Clone, Debug, Serialize)]
pub struct Notified {
    /// The notification's id, the same in each attempt.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it went.
    pub url: String,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// The answer's status; None if there was none within ten seconds.
    pub status: Option<u16>,
    /// When it ended, on the stand-in's clock.
    pub at_ms: u64,
}

/// Tells everybody who asked. A message too large loses its body, and says so in the type.
pub fn tell(shared: &Arc<Shared>, state: &mut State, kind: &str, mut data: Value) {
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
        let body = envelope.to_string().into_bytes();
        // Looked up each time: the secret may have been changed since.
        let secret = shared
            .lock()
            .webhooks
            .iter()
            .find(|known| known.id == webhook)
            .map(|known| known.secret.clone());
        let signature = sign(&secret.unwrap_or_default(), &body);
        let headers = [
            ("content-type", "application/json"),
            ("x-nylas-signature", signature.as_str()),
        ];
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

/// Lower-case hexadecimal HMAC-SHA256 of the exact body, keyed with the secret as it is written.
fn sign(secret: &str, body: &[u8]) -> String {
    // HMAC takes keys of any length.
    Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_or_else(
        |_| String::new(),
        |mac| hex(&mac.chain_update(body).finalize().into_bytes(), 64),
    )
}
