//! Webhooks, and attempts to deliver notifications.

use serde::Serialize;
use serde_json::{Value, json};

/// A destination for notifications.
pub struct Webhook {
    pub id: String,
    pub url: String,
    pub triggers: Vec<String>,
    pub secret: String,
    pub description: Option<String>,
    pub emails: Vec<String>,
    pub paused: bool,
    /// Whether it asks for compressed notifications.
    pub compressed: bool,
}

impl Webhook {
    pub fn data(&self, with_secret: bool) -> Value {
        let mut data = json!({
            "id": self.id, "description": self.description, "trigger_types": self.triggers,
            "webhook_url": self.url, "status": if self.paused { "pause" } else { "active" },
            "notification_email_addresses": self.emails, "compressed_delivery": self.compressed,
        });
        if with_secret {
            data["webhook_secret"] = json!(self.secret);
        }
        data
    }

    /// Whether it subscribed to this type. A variant such as `message.created.truncated` counts as its base type. A
    /// webhook without triggers gets everything.
    pub fn wants(&self, kind: &str) -> bool {
        let variant_of = |trigger: &String| {
            kind.strip_prefix(trigger.as_str())
                .is_some_and(|rest| rest.starts_with('.'))
        };
        let wanted = |trigger: &String| trigger == kind || variant_of(trigger);
        !self.paused && (self.triggers.is_empty() || self.triggers.iter().any(wanted))
    }
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
    /// The answer's status. None if there was no answer within ten seconds.
    pub status: Option<u16>,
    /// When it ended, on the stand-in's clock.
    pub at_ms: u64,
}
