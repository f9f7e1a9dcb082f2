//! The shapes of Nylas' answers and notifications, as in its OpenAPI document and its schemas of notifications.
//!
//! The facts are written out here. Where the schemas themselves lie beside the checkout, answers are checked against
//! them, too.

#![allow(clippy::unwrap_used)]

mod common;

use common::{GRANT, KEY, Reply, get, mail, post, send, start, try_send};
use nylas_stand_in::{AccountState, Action, Rule, StandIn};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Checks the type of each field: s(tring), n(umber), b(ool), a(rray), o(bject). A capital also allows null.
fn shape(value: &Value, fields: &str) {
    for field in fields.split(' ') {
        let (name, wanted) = field.split_once(':').unwrap();
        let is = match &value[name] {
            Value::String(_) => "s",
            Value::Number(_) => "n",
            Value::Bool(_) => "b",
            Value::Array(_) => "a",
            Value::Object(_) => "o",
            Value::Null => "null",
        };
        let fits = is == wanted.to_lowercase() || (is == "null" && wanted != wanted.to_lowercase());
        assert!(fits && value.get(name).is_some(), "{name}: {is} in {value}");
    }
}

const MESSAGE: &str = "id:s object:s thread_id:s grant_id:s subject:s body:s snippet:s from:a to:a cc:a bcc:a \
                       reply_to:a date:n folders:a attachments:a starred:b unread:b";

#[test]
fn a_send_answers_a_message() {
    let nylas = start();
    let answer = send(&nylas, "k", &mail("a@example.com"));
    shape(&answer.body, "request_id:s grant_id:s data:o");
    shape(&answer.body["data"], MESSAGE);
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[test]
fn a_queued_send_answers_the_same_without_headers() {
    let nylas = start();
    nylas.set_account_state(GRANT, AccountState::PerSecond { mails: 0, queue: 1 });
    let path = format!("/v3/grants/{GRANT}/messages/send?fields=include_headers");
    let bearer = format!("Bearer {KEY}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let body = mail("a@example.com").to_string();
    let queued = post(&nylas, &path, &headers, body.as_bytes()).unwrap();
    assert_eq!(
        (queued.status, queued.body["data"].get("headers")),
        (202, None)
    );
    shape(&queued.body["data"], MESSAGE);
    nylas.set_account_state(GRANT, AccountState::Healthy);
    let sent = post(&nylas, &path, &headers, body.as_bytes()).unwrap();
    assert_eq!(sent.status, 200);
    shape(&sent.body["data"], "headers:a");
}

#[test]
fn messages_folders_and_accounts() {
    let nylas = start();
    send(&nylas, "k", &mail("a@example.com"));
    let list = get(&nylas, &format!("/v3/grants/{GRANT}/messages")).body;
    shape(&list, "request_id:s data:a");
    shape(&list["data"][0], MESSAGE);
    assert_eq!(list["data"][0]["metadata"], json!({ "key1": "msg_1" }));
    let id = list["data"][0]["id"].as_str().unwrap();
    let found = get(
        &nylas,
        &format!("/v3/grants/{GRANT}/messages/{id}?fields=include_headers"),
    );
    shape(&found.body["data"], MESSAGE);
    shape(&found.body["data"]["headers"][0], "name:s value:s");
    let folders = get(&nylas, &format!("/v3/grants/{GRANT}/folders")).body;
    shape(
        &folders["data"][0],
        "id:s grant_id:s name:s system_folder:b attributes:a object:s",
    );
    let grant = get(&nylas, &format!("/v3/grants/{GRANT}")).body;
    shape(&grant, "request_id:s data:o");
    shape(
        &grant["data"],
        "id:s provider:s scope:a created_at:n email:s grant_status:s name:S blocked:b settings:o",
    );
}

fn error(answer: &Reply) -> (u16, &str, &str) {
    shape(&answer.body, "request_id:s error:o");
    (answer.status, answer.kind(), answer.message())
}

#[test]
fn errors_in_nylas_words() {
    let nylas = start();
    assert_eq!(
        error(&send(&nylas, &"k".repeat(257), &mail("a@example.com"))),
        (
            400,
            "api.invalid_idempotency_key",
            "Idempotency-Key must be 256 characters or fewer."
        )
    );
    send(&nylas, "k", &mail("a@example.com"));
    assert_eq!(
        error(&send(&nylas, "k", &mail("b@example.com"))),
        (
            409,
            "api.invalid_idempotent_request",
            "The Idempotency-Key was reused with a different request payload. Use a different key, or match the \
             original payload."
        )
    );
    nylas.script(Rule::once(Action::AcceptAfter(Duration::from_secs(60))));
    common::send_briefly(&nylas, "busy", &mail("a@example.com"));
    assert_eq!(
        error(&send(&nylas, "busy", &mail("a@example.com"))),
        (
            409,
            "api.concurrent_idempotent_request",
            "A request with the same Idempotency-Key is currently in progress. Wait a moment and retry with the \
             same key."
        )
    );
    nylas.set_account_state(GRANT, AccountState::RateLimited);
    assert_eq!(
        error(&send(&nylas, "fast", &mail("a@example.com"))),
        (
            429,
            "rate_limit_error",
            "Too many requests, please try again shortly."
        )
    );
    assert_eq!(
        error(&get(&nylas, &format!("/v3/grants/{GRANT}/messages/none"))),
        (404, "not_found_error", "requested object not found")
    );
    let stranger = post(
        &nylas,
        "/v3/webhooks",
        &[("authorization", "Bearer other")],
        b"{}",
    )
    .unwrap();
    assert_eq!(
        error(&stranger),
        (401, "token.unauthorized_access", "Bearer token invalid")
    );
}

/// The request in Nylas' guide to idempotent sending. It has no sender, which Agent Accounts refuse.
#[test]
fn the_sample_of_an_idempotent_send() {
    let nylas = start();
    let mut sample = json!({
        "subject": "Welcome to Nylas",
        "to": [{ "name": "Leyah Miller", "email": "leyah@example.com" }],
        "body": "<p>Thanks for signing up!</p>",
    });
    let try_sample =
        |key: &str, sample: &Value| try_send(&nylas, GRANT, Some(key), sample).unwrap();
    let refused = try_sample("without", &sample);
    assert_eq!(
        (refused.status, refused.message()),
        (400, "from: exactly one sender is required")
    );
    sample["from"] = json!([{ "email": "login@app.example.com" }]);
    assert_eq!(try_sample("with", &sample).status, 200);
}

/// Checks a value against a JSON schema, with the features that Nylas uses: types, required and nested properties,
/// enumerations. A property that the schema does not name is a finding, too, unless the schema is one of several parts.
fn hold(value: &Value, schema: &Value, at: &str, partly: bool, found: &mut Vec<String>) {
    for part in schema["allOf"].as_array().into_iter().flatten() {
        hold(value, part, at, true, found);
    }
    let variants = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
    if let Some(variants) = variants {
        let fits = |variant: &&Value| {
            let mut wrong = Vec::new();
            hold(value, variant, at, partly, &mut wrong);
            wrong.is_empty()
        };
        if !variants.iter().any(|variant| fits(&variant)) {
            found.push(format!("{at}: none of the variants"));
        }
    }
    let is = match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::Null => "null",
    };
    let allowed = |kind: &Value| kind == is || (kind == "number" && is == "integer");
    let type_fits = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().any(allowed),
        Value::Null => true,
        kind => allowed(kind),
    };
    let may_be_null = is == "null" && schema["nullable"] == true;
    if !type_fits && !may_be_null {
        found.push(format!("{at}: {is}, not {}", schema["type"]));
    }
    if let Some(known) = schema["enum"].as_array()
        && !known.contains(value)
    {
        found.push(format!("{at}: {value} is none of {known:?}"));
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.is_object() && value.get(name.as_str().unwrap_or_default()).is_none() {
            found.push(format!("{at}: no {name}"));
        }
    }
    for (n, item) in value.as_array().into_iter().flatten().enumerate() {
        hold(item, &schema["items"], &format!("{at}/{n}"), partly, found);
    }
    if let Some(properties) = schema["properties"].as_object() {
        for (name, field) in value.as_object().into_iter().flatten() {
            let path = format!("{at}/{name}");
            match properties.get(name) {
                Some(schema) => hold(field, schema, &path, partly, found),
                None if partly => {}
                None => found.push(format!("{path}: not in the schema")),
            }
        }
    }
}

fn beside(name: &str) -> Option<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/nylas");
    let text = std::fs::read_to_string(folder.join(name)).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

fn answers(operation: &Value, status: &str) -> Value {
    operation["responses"][status]["content"]["application/json"]["schema"].clone()
}

fn held(name: &str, status: &str, answer: &Reply) {
    let Some(operation) = beside(name) else {
        return;
    };
    let schema = answers(&operation, status);
    assert!(schema.is_object(), "{name} has no {status}");
    let mut found = Vec::new();
    hold(&answer.body, &schema, "", false, &mut found);
    assert!(found.is_empty(), "{name} {status}: {found:#?}");
}

fn api(nylas: &StandIn, path: &str, body: &Value) -> Reply {
    let bearer = format!("Bearer {KEY}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    post(nylas, path, &headers, body.to_string().as_bytes()).unwrap()
}

#[test]
fn answers_fit_the_openapi_document() {
    let nylas = start();
    let send_message = "openapi-operation-send-message.resolved.json";
    let sent = send(&nylas, "k", &mail("a@example.com"));
    held(send_message, "200", &sent);
    held(
        send_message,
        "409",
        &send(&nylas, "k", &mail("b@example.com")),
    );
    held(send_message, "400", &send(&nylas, "bad", &json!({})));
    nylas.set_account_state(GRANT, AccountState::RateLimited);
    held(
        send_message,
        "429",
        &send(&nylas, "fast", &mail("a@example.com")),
    );
    let grant = get(&nylas, &format!("/v3/grants/{GRANT}"));
    held("openapi-operation-get-grant.resolved.json", "200", &grant);
    let connect = "openapi-operation-connect-custom.resolved.json";
    let wanted = json!({ "provider": "nylas", "name": "New", "settings": { "email": "new@app.example.com" } });
    held(connect, "201", &api(&nylas, "/v3/connect/custom", &wanted));
    let wrong = json!({ "provider": "nylas" });
    held(connect, "400", &api(&nylas, "/v3/connect/custom", &wrong));
    let webhook =
        json!({ "trigger_types": ["message.created"], "webhook_url": "http://127.0.0.1:1/" });
    let refused = api(&nylas, "/v3/webhooks", &webhook);
    held(
        "openapi-operation-create-webhook.resolved.json",
        "400",
        &refused,
    );
}
