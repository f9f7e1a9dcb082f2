//! Webhooks: set up with a challenge, told with a signature.

use crate::routes::Call;
use crate::state::{Answer, Mail, State, hex};
use crate::{Shared, caller, messages};
use hmac::{Hmac, Mac};
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;
use std::sync::Arc;

/// Attempts to deliver one notification.
const ATTEMPTS: u32 = 3;
/// The only statuses after which there is another attempt.
const RETRIED: [u16; 6] = [408, 429, 502, 503, 504, 507];

/// A destination for notifications.
pub struct Webhook {
    id: String,
    url: String,
    triggers: Vec<String>,
    secret: String,
    description: Option<String>,
    emails: Vec<String>,
}

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
            "webhook_url": self.url, "status": "active", "notification_email_addresses": self.emails,
            "compressed_delivery": false,
        });
        if with_secret {
            data["webhook_secret"] = json!(self.secret);
        }
        data
    }

    /// Whether it asked for this type. A variant, as `message.created.truncated`, goes to who asked for its base.
    fn wants(&self, kind: &str) -> bool {
        let variant_of = |trigger: &String| {
            kind.strip_prefix(trigger.as_str())
                .is_some_and(|rest| rest.starts_with('.'))
        };
        self.triggers
            .iter()
            .any(|trigger| trigger == kind || variant_of(trigger))
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
    };
    let data = webhook.data(true);
    state.webhooks.push(webhook);
    messages::ok(&mut state, data)
}

fn problem(state: &State, wanted: &Wanted) -> Option<&'static str> {
    if wanted.trigger_types.is_empty() {
        Some("trigger_types: at least one is required")
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

/// Tells of a mail just sent, as Nylas does: the message is there, and it was delivered.
pub fn sent(shared: &Arc<Shared>, state: &mut State, message: &Value, mail: &Mail) {
    let at = mail.at_ms / 1000;
    let delivered = json!({
        "message": {
            "id": mail.id, "subject": mail.subject, "from": mail.from_email, "to": mail.recipients(), "sent_at": at,
            "metadata": mail.metadata,
        },
        "delivered": { "delivered_at": at, "recipients": mail.recipients() },
    });
    tell(shared, state, "message.created", message.clone(), None);
    tell(
        shared,
        state,
        "message.delivered",
        delivered,
        Some(&mail.grant_id),
    );
}

/// Tells everybody who asked. Delivery events name the account beside the object, the others inside it.
pub fn tell(
    shared: &Arc<Shared>,
    state: &mut State,
    kind: &str,
    object: Value,
    grant_id: Option<&str>,
) {
    let mut data = json!({ "application_id": "stand-in", "object": object });
    if let Some(grant_id) = grant_id {
        data["grant_id"] = json!(grant_id);
    }
    let envelope = json!({
        "specversion": "1.0", "type": kind, "source": "/nylas/stand-in", "id": state.fresh_id(),
        "time": shared.clock.now_ms() / 1000, "data": data,
    });
    for webhook in state.webhooks.iter().filter(|webhook| webhook.wants(kind)) {
        let (shared, id, url) = (Arc::clone(shared), webhook.id.clone(), webhook.url.clone());
        let envelope = envelope.clone();
        shared
            .runtime
            .clone()
            .spawn(async move { deliver(&shared, &id, &url, envelope).await });
    }
}

async fn deliver(shared: &Shared, webhook: &str, url: &str, mut envelope: Value) {
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
        match caller::call(Method::POST, url, &headers, body).await {
            Ok(reply) if !RETRIED.contains(&reply.status) => return,
            _ => shared.clock.sleep(shared.options.notify_interval).await,
        }
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
