//! What a send request must look like. Where Nylas' documents are ambiguous, the stricter reading.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The limit of a whole request.
pub const LARGEST: usize = 3 * 1024 * 1024;

const FIELDS: [&str; 17] = [
    "to",
    "cc",
    "bcc",
    "reply_to",
    "from",
    "subject",
    "body",
    "is_plaintext",
    "reply_to_message_id",
    "custom_headers",
    "metadata",
    "tracking_options",
    "attachments",
    "send_at",
    "use_draft",
    "template",
    "signature_id",
];
/// Fields that Nylas documents and the stand-in refuses, because no mail of Clerk's needs them.
const NOT_PLAYED: [&str; 5] = [
    "attachments",
    "send_at",
    "use_draft",
    "template",
    "signature_id",
];

/// Why a request is refused.
pub struct Refusal {
    pub status: u16,
    pub kind: &'static str,
    pub message: String,
}

fn refuse<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal {
        status: 400,
        kind: "invalid_request_error",
        message: message.into(),
    })
}

/// A well-formed send request.
#[derive(Clone)]
pub struct Draft {
    pub to: String,
    pub from_email: String,
    pub from_name: Option<String>,
    pub subject: String,
    pub body: String,
    pub is_plaintext: bool,
    pub reply_to: Option<String>,
    pub reply_to_message_id: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub custom_headers: Vec<(String, String)>,
    pub request: Value,
}

pub fn draft(content_type: Option<&str>, body: &[u8], own_address: &str) -> Result<Draft, Refusal> {
    if content_type.is_some_and(|given| given.starts_with("multipart/form-data")) {
        return refuse("multipart/form-data: this stand-in does not play it");
    }
    // Nylas refuses `; charset=utf-8` in this way, according to the changelog of its Python SDK (6.16.0).
    if content_type != Some("application/json") {
        return refuse("only JSON and multipart supported");
    }
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return refuse("error parsing request body");
    };
    let Some(fields) = request.as_object() else {
        return refuse("error parsing request body");
    };
    if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return refuse(format!("extra fields not permitted: {unknown}"));
    }
    if let Some(name) = NOT_PLAYED
        .into_iter()
        .find(|name| fields.contains_key(*name))
    {
        return refuse(format!("{name}: this stand-in does not play it"));
    }
    let to = addresses(fields, "to")?;
    let Some((first, _)) = to.first().cloned() else {
        return refuse("to: at least one recipient is required");
    };
    let others = [addresses(fields, "cc")?, addresses(fields, "bcc")?].concat();
    if to.len() + others.len() > 50 {
        return refuse("more than 50 recipients");
    }
    if to.iter().chain(&others).any(|(email, _)| !email.is_ascii()) {
        let message = "Sending to at least one recipient failed".to_owned();
        return Err(Refusal {
            status: 402,
            kind: "provider_error",
            message,
        });
    }
    // Optional in Nylas' reference. Its command-line tool says that Agent Accounts refuse a mail without it.
    let from = addresses(fields, "from")?;
    let [(from_email, from_name)] = from.as_slice() else {
        return refuse("from: exactly one sender is required");
    };
    if from_email != own_address {
        return refuse("from: must be the account's own address");
    }
    let subject = text(fields, "subject")?.unwrap_or_default();
    if subject.contains(['\r', '\n']) {
        return refuse("subject: must not contain line breaks");
    }
    tracking(fields)?;
    Ok(Draft {
        to: first,
        from_email: from_email.clone(),
        from_name: from_name.clone(),
        subject,
        body: text(fields, "body")?.unwrap_or_default(),
        is_plaintext: boolean(fields, "is_plaintext")?,
        reply_to: addresses(fields, "reply_to")?
            .into_iter()
            .next()
            .map(|(email, _)| email),
        reply_to_message_id: text(fields, "reply_to_message_id")?.filter(|id| !id.is_empty()),
        metadata: metadata(fields)?,
        custom_headers: custom_headers(fields)?,
        request: request.clone(),
    })
}

type Address = (String, Option<String>);

fn addresses(fields: &Map<String, Value>, name: &str) -> Result<Vec<Address>, Refusal> {
    let Some(value) = fields.get(name) else {
        return Ok(Vec::new());
    };
    let Some(entries) = value.as_array() else {
        return refuse(format!("{name}: must be an array"));
    };
    entries.iter().map(|entry| address(name, entry)).collect()
}

fn address(field: &str, entry: &Value) -> Result<Address, Refusal> {
    let Some(parts) = entry.as_object() else {
        return refuse(format!("{field}: entries must be objects"));
    };
    if parts.keys().any(|part| part != "email" && part != "name") {
        return refuse(format!("{field}: entries have only email and name"));
    }
    let name = text(parts, "name")?;
    if name
        .as_ref()
        .is_some_and(|name| name.contains(char::is_control))
    {
        return refuse(format!("{field}: name must not contain control characters"));
    }
    match text(parts, "email")? {
        Some(email) if is_email(&email) => Ok((email, name)),
        _ => refuse(format!("{field}: invalid email address")),
    }
}

pub fn is_email(email: &str) -> bool {
    let Some((local, domain)) = email.rsplit_once('@') else {
        return false;
    };
    let good_local =
        |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let good_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .chars()
                .all(|c| !c.is_ascii() || c.is_ascii_alphanumeric() || c == '-')
    };
    let dots = local.starts_with('.') || local.ends_with('.') || local.contains("..");
    (1..=64).contains(&local.len())
        && !dots
        && email.len() <= 254
        && !email.contains(|c: char| c.is_whitespace() || c.is_control())
        && local.chars().all(good_local)
        && domain.contains('.')
        && domain.split('.').all(good_label)
}

fn text(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, Refusal> {
    match fields.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => refuse(format!("{name}: must be a string")),
    }
}

fn boolean(fields: &Map<String, Value>, name: &str) -> Result<bool, Refusal> {
    match fields.get(name) {
        None => Ok(false),
        Some(Value::Bool(is)) => Ok(*is),
        Some(_) => refuse(format!("{name}: must be true or false")),
    }
}

fn tracking(fields: &Map<String, Value>) -> Result<(), Refusal> {
    match fields.get("tracking_options") {
        None => Ok(()),
        Some(Value::Object(options))
            if options.values().any(|value| value == &Value::Bool(true)) =>
        {
            refuse("Tracking options are not allowed for trial accounts")
        }
        Some(Value::Object(_)) => Ok(()),
        Some(_) => refuse("tracking_options: must be an object"),
    }
}

fn metadata(fields: &Map<String, Value>) -> Result<BTreeMap<String, String>, Refusal> {
    let pairs = match fields.get("metadata") {
        None => return Ok(BTreeMap::new()),
        Some(Value::Object(pairs)) => pairs,
        Some(_) => return refuse("metadata: must be an object"),
    };
    if pairs.len() > 50 {
        return refuse("metadata: at most 50 pairs");
    }
    let pair = |(key, value): (&String, &Value)| match value.as_str() {
        Some(value) if (1..=40).contains(&key.chars().count()) && value.chars().count() <= 500 => {
            Ok((key.clone(), value.to_owned()))
        }
        Some(_) => refuse("metadata: keys have at most 40 characters, values at most 500"),
        None => refuse("metadata: values must be strings"),
    };
    pairs.iter().map(pair).collect()
}

fn custom_headers(fields: &Map<String, Value>) -> Result<Vec<(String, String)>, Refusal> {
    let entries = match fields.get("custom_headers") {
        None => return Ok(Vec::new()),
        Some(Value::Array(entries)) => entries,
        Some(_) => return refuse("custom_headers: must be an array"),
    };
    let entry = |entry: &Value| {
        let parts = entry.as_object().filter(|parts| parts.len() == 2);
        let part = |name| parts.and_then(|parts| parts.get(name)?.as_str());
        match (part("name"), part("value")) {
            (Some(name), Some(value))
                if header_name(name) && !value.contains(['\r', '\n', '\0']) =>
            {
                Ok((name.to_owned(), value.to_owned()))
            }
            _ => refuse("custom_headers: entries have a header's name and value"),
        }
    };
    entries.iter().map(entry).collect()
}

fn header_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic() && c != ':')
}
