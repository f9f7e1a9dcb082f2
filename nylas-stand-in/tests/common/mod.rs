//! What the tests share: a stand-in with two accounts, and a small client.
#![allow(dead_code, clippy::unwrap_used)]

use nylas_stand_in::{Account, Options, StandIn};
use serde_json::{Value, json};
use std::time::Duration;

pub const KEY: &str = "nyk_test";
pub const GRANT: &str = "11111111-1111-4111-8111-111111111111";
pub const OTHER: &str = "22222222-2222-4222-8222-222222222222";

pub fn options() -> Options {
    let account = |grant_id: &str, email: &str, name: Option<&str>| Account {
        grant_id: grant_id.to_owned(),
        email: email.to_owned(),
        name: name.map(str::to_owned),
    };
    Options::new(
        KEY,
        vec![
            account(GRANT, "login@app.example.com", Some("App")),
            account(OTHER, "login2@app.example.com", None),
        ],
    )
}

pub fn start() -> StandIn {
    StandIn::start_blocking(options()).unwrap()
}

pub fn mail(to: &str) -> Value {
    json!({
        "to": [{ "email": to }], "from": [{ "email": "login@app.example.com", "name": "App" }],
        "subject": "123456 is your code", "body": "<p>123456</p>", "metadata": { "key1": "msg_1" },
    })
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: Value,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn kind(&self) -> &str {
        self.body
            .pointer("/error/type")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub fn message(&self) -> &str {
        self.body
            .pointer("/error/message")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub fn replayed(&self) -> bool {
        self.header("idempotent-response") == Some("true")
    }
}

fn agent(timeout: Duration) -> ureq::Agent {
    // Without a pool, so that a test never gets a stale connection of an earlier request.
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_idle_connections(0);
    config.timeout_global(Some(timeout)).build().into()
}

fn read(
    response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<Reply, ureq::Error> {
    let (parts, mut body) = response?.into_parts();
    let body = body.read_to_string()?;
    let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
    Ok(Reply {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
    })
}

/// One request with any body and headers.
pub fn post(
    nylas: &StandIn,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Reply, ureq::Error> {
    let mut request = agent(Duration::from_secs(5)).post(format!("{}{path}", nylas.base_url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    read(request.send(body))
}

/// A PUT of a JSON body.
pub fn put(nylas: &StandIn, path: &str, body: &Value) -> Reply {
    let request = agent(Duration::from_secs(5))
        .put(format!("{}{path}", nylas.base_url()))
        .header("authorization", format!("Bearer {KEY}"))
        .header("content-type", "application/json");
    read(request.send(body.to_string())).unwrap()
}

/// A send whose connection may fail.
pub fn try_send(
    nylas: &StandIn,
    grant: &str,
    key: Option<&str>,
    mail: &Value,
) -> Result<Reply, ureq::Error> {
    let bearer = format!("Bearer {KEY}");
    let mut headers = vec![
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    headers.extend(key.map(|key| ("idempotency-key", key)));
    post(
        nylas,
        &format!("/v3/grants/{grant}/messages/send"),
        &headers,
        mail.to_string().as_bytes(),
    )
}

pub fn send(nylas: &StandIn, key: &str, mail: &Value) -> Reply {
    send_from(nylas, GRANT, key, mail)
}

pub fn send_from(nylas: &StandIn, grant: &str, key: &str, mail: &Value) -> Reply {
    try_send(nylas, grant, Some(key), mail).unwrap()
}

/// Sends with a short time limit. Returns whether that time ran out.
pub fn send_briefly(nylas: &StandIn, key: &str, mail: &Value) -> bool {
    let url = format!("{}/v3/grants/{GRANT}/messages/send", nylas.base_url());
    let request = agent(Duration::from_millis(200)).post(url);
    let request = request
        .header("authorization", format!("Bearer {KEY}"))
        .header("idempotency-key", key);
    read(
        request
            .header("content-type", "application/json")
            .send(mail.to_string().as_bytes()),
    )
    .is_err()
}

pub fn try_get(nylas: &StandIn, path: &str) -> Result<Reply, ureq::Error> {
    let request = agent(Duration::from_secs(5)).get(format!("{}{path}", nylas.base_url()));
    read(
        request
            .header("authorization", format!("Bearer {KEY}"))
            .call(),
    )
}

pub fn get(nylas: &StandIn, path: &str) -> Reply {
    try_get(nylas, path).unwrap()
}
