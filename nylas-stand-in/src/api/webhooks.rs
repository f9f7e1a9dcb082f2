//! Webhooks: created with a challenge, changed, listed.

use crate::caller;
use crate::model::answer::Answer;
use crate::model::call::Call;
use crate::model::webhook::Webhook;
use crate::shared::Shared;
use crate::state::State;
use hyper::Method;
use serde::Deserialize;

/// Nylas' notification types.
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

pub async fn create(shared: &Shared, call: &Call) -> Answer {
    let wanted: Wanted = match serde_json::from_slice(&call.body) {
        Ok(wanted) => wanted,
        Err(error) => {
            return shared
                .lock()
                .error(400, "invalid_request_error", &error.to_string());
        }
    };
    // Not in the condition below, which would hold the lock throughout the block.
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
        compressed: wanted.compressed_delivery,
    };
    let data = webhook.data(true);
    state.webhooks.push(webhook);
    state.ok(data)
}

fn problem(state: &State, wanted: &Wanted) -> Option<&'static str> {
    if wanted.trigger_types.is_empty() {
        Some("trigger_types: at least one is required")
    } else if !are_known(&wanted.trigger_types) {
        Some("trigger_types: unknown")
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

/// The changes to a webhook. A field that is absent is not changed.
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
    compressed_delivery: Option<bool>,
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
    } else if change.webhook_url.is_some() {
        Some("webhook_url: this stand-in does not play it")
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
    webhook.compressed = change.compressed_delivery.unwrap_or(webhook.compressed);
    let data = webhook.data(false);
    state.ok(data)
}

/// Sends the challenge, which the destination must echo.
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
        200 if !reply.sized => Err("chunked answers are not accepted".to_owned()),
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
    state.ok(data)
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
    state.ok(data)
}

/// Adds a destination without a challenge.
pub fn add(state: &mut State, url: String, secret: String, triggers: Vec<String>) {
    let webhook = Webhook {
        id: state.fresh_id(),
        url,
        triggers,
        secret,
        description: None,
        emails: Vec::new(),
        paused: false,
        compressed: false,
    };
    state.webhooks.push(webhook);
}
