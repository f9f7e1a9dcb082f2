//! Webhooks: who is told about what.

/// A destination for notifications.
pub struct Webhook {
    pub id: String,
    pub url: String,
    pub triggers: Vec<String>,
    pub secret: String,
    pub description: Option<String>,
    pub emails: Vec<String>,
}

/// Tells of a mail just sent.
pub fn sent(
    _shared: &crate::Shared,
    _state: &mut crate::state::State,
    _message: &serde_json::Value,
    _mail: &crate::Mail,
) {
}
