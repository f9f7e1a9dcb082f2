//! The interface of both to the cases, and the part of their answers that is compared.

use serde_json::{Map, Value, json};
use std::time::Duration;

pub const GRANT: &str = "g0";
pub const OTHER: &str = "g1";

/// The state of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    Healthy,
    Paused,
    AbuseBlocked,
    OverDailyCap,
    Throttled,
    Gone,
}

/// How Nylas handles the next send, if its key is free and the account healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// It takes 29 seconds.
    Slow,
    /// 202.
    Queued,
    /// 202, and then the mail cannot be sent.
    QueuedInVain,
    /// 400.
    Refused,
    /// 503, and the mail is not accepted.
    Unavailable,
    /// 504, and the mail is accepted.
    TimedOut,
}

/// A request below `/v3/grants/`.
pub struct Ask<'a> {
    pub path: String,
    pub key: Option<&'a str>,
    /// A send has one.
    pub body: Option<String>,
}

/// An answer; the names of its headers in lower case.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn is_replayed(&self) -> bool {
        self.header("idempotent-response") == Some("true")
    }

    pub fn error_type(&self) -> &str {
        self.body["error"]["type"].as_str().unwrap_or_default()
    }

    /// The status, the error's type, and whether the answer was replayed.
    pub fn gist(&self) -> (u16, &str, bool) {
        (self.status, self.error_type(), self.is_replayed())
    }
}

/// Something that plays Nylas.
pub trait Played {
    /// Makes a request and waits for the answer.
    fn ask(&mut self, ask: &Ask) -> Answer;
    /// Makes a request and hangs up. Nylas goes on with it.
    fn ask_and_hang_up(&mut self, ask: &Ask);
    fn next_send(&mut self, behaviour: Behaviour);
    fn set_account(&mut self, grant: &str, account: Account);
    fn advance(&mut self, by: Duration);
    /// A mail comes in that answers the message with this id. Returns its own id.
    fn receive(&mut self, grant: &str, from: &str, answers: &str) -> String;
    /// Nylas gives up the mail that was queued in vain. Returns its notification.
    fn give_up_queued(&mut self) -> Value;
    /// The number of accepted mails, of all accounts.
    fn accepted(&self) -> usize;
}

/// Plays a case on one of them, and records what the relay would read of each answer.
pub struct Recorder {
    nylas: Box<dyn Played>,
    seen: Vec<Value>,
    ids: Vec<String>,
}

impl Recorder {
    pub fn new(nylas: Box<dyn Played>) -> Self {
        let (seen, ids) = (Vec::new(), Vec::new());
        Self { nylas, seen, ids }
    }

    pub fn transcript(self) -> Vec<Value> {
        self.seen
    }

    /// A send, its body byte for byte the same for the same recipient and Svix id.
    pub fn send(&mut self, grant: &str, key: Option<&str>, to: &str, svix_id: &str) -> Answer {
        let ask = sending(grant, key, to, svix_id);
        let answer = self.nylas.ask(&ask);
        self.record("send", &answer);
        answer
    }

    pub fn send_and_hang_up(&mut self, grant: &str, key: &str, to: &str, svix_id: &str) {
        let ask = sending(grant, Some(key), to, svix_id);
        self.nylas.ask_and_hang_up(&ask);
    }

    pub fn get(&mut self, grant: &str, what: &str) -> Answer {
        let answer = self.get_unrecorded(grant, what);
        self.record("get", &answer);
        answer
    }

    /// Where only what the case itself asserts need be the same.
    pub fn get_unrecorded(&mut self, grant: &str, what: &str) -> Answer {
        let path = format!("{grant}{what}");
        let (key, body) = (None, None);
        self.nylas.ask(&Ask { path, key, body })
    }

    /// The ids of the messages a list has, newest first.
    pub fn list(&mut self, grant: &str, query: &str) -> Vec<String> {
        let answer = self.get(grant, &format!("/messages?{query}"));
        assert_eq!(answer.status, 200, "{query}");
        let entries = answer.body["data"].as_array().cloned().unwrap();
        entries.iter().map(|entry| text(&entry["id"])).collect()
    }

    pub fn give_up_queued(&mut self) -> Value {
        let notification = self.nylas.give_up_queued();
        let object = &notification["data"]["object"];
        let seen = json!({
            "type": notification["type"], "has_id": notification["id"].is_string(),
            "reason": notification["data"]["reason"].is_string(),
            "error": shape(&notification["data"]["error"], &["type", "message", "status_code"]),
            "of": notification["data"]["grant_id"], "object": shape(object, &["id", "grant_id", "object"]),
            "message": self.label(&object["id"]), "metadata": object.get("metadata"),
        });
        self.seen.push(seen);
        notification
    }

    pub fn next_send(&mut self, behaviour: Behaviour) {
        self.nylas.next_send(behaviour);
    }

    pub fn set_account(&mut self, grant: &str, account: Account) {
        self.nylas.set_account(grant, account);
    }

    pub fn advance(&mut self, by: Duration) {
        self.nylas.advance(by);
    }

    pub fn receive(&mut self, grant: &str, from: &str, answers: &str) -> String {
        self.nylas.receive(grant, from, answers)
    }

    pub fn accepted(&self) -> usize {
        self.nylas.accepted()
    }

    /// Ids differ; which of them are the same does not.
    fn label(&mut self, id: &Value) -> Value {
        let Some(id) = id.as_str() else {
            return Value::Null;
        };
        let known = self.ids.iter().position(|known| known == id);
        let number = known.unwrap_or_else(|| {
            self.ids.push(id.to_owned());
            self.ids.len() - 1
        });
        json!(format!("id {number}"))
    }

    fn record(&mut self, what: &str, answer: &Answer) {
        let data = match &answer.body["data"] {
            Value::Array(list) => list.iter().map(|entry| self.of_message(entry)).collect(),
            Value::Null => Value::Null,
            one => self.of_message(one),
        };
        self.seen.push(json!({
            "what": what, "status": answer.status, "error": shape(&answer.body["error"], &["type", "message"]),
            "type": answer.error_type(), "replayed": answer.is_replayed(),
            "retry_after": answer.header("retry-after"), "x_request_id": answer.header("x-request-id").is_some(),
            "envelope": shape(&answer.body, &["request_id", "grant_id", "data"]), "data": data,
        }));
    }

    /// What the relay reads of a message, of an account, of a folder.
    fn of_message(&mut self, message: &Value) -> Value {
        let read = [
            "object",
            "from",
            "to",
            "subject",
            "body",
            "date",
            "folders",
            "metadata",
            "headers",
            "email",
            "grant_status",
            "blocked",
            "attributes",
        ];
        json!({
            "id": self.label(&message["id"]), "thread_id": self.label(&message["thread_id"]),
            "grant_id": message["grant_id"], "to": message["to"][0]["email"], "from": message["from"][0]["email"],
            "key1": message["metadata"]["key1"], "folders": self.label(&message["folders"][0]),
            "fields": shape(message, &read),
        })
    }
}

fn sending<'a>(grant: &str, key: Option<&'a str>, to: &str, svix_id: &str) -> Ask<'a> {
    let body = json!({
        "to": [{ "email": to }], "from": [{ "email": address_of(grant) }], "subject": "123456 is your code",
        "body": "<p>123456</p>", "metadata": { "key1": svix_id },
        "custom_headers": [{ "name": "Auto-Submitted", "value": "auto-generated" }],
    });
    let path = format!("{grant}/messages/send");
    let body = Some(body.to_string());
    Ask { path, key, body }
}

pub fn address_of(grant: &str) -> String {
    format!("auth@{grant}.example.com")
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Which of these fields there are, and of which type.
fn shape(value: &Value, fields: &[&str]) -> Value {
    let mut shape = Map::new();
    for field in fields {
        let kind = match value.get(field) {
            None | Some(Value::Null) => continue,
            Some(Value::Bool(_)) => "boolean",
            Some(Value::Number(_)) => "number",
            Some(Value::String(_)) => "string",
            Some(Value::Array(_)) => "array",
            Some(Value::Object(_)) => "object",
        };
        shape.insert((*field).to_owned(), json!(kind));
    }
    Value::Object(shape)
}
