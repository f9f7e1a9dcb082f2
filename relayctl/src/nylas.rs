//! Nylas' API, as far as an operator needs it.

use crate::{
    failure::Failure,
    http::{Ask, Http, Reply, list, text},
    places::place,
    secrets::Found,
};
use clerk_nylas_relay::{config::ApiBase, model::secret::Secret};
use serde_json::{Value, json};

/// The two regions.
pub const REGIONS: [(&str, &str); 2] = [
    ("US", "https://api.us.nylas.com"),
    ("EU", "https://api.eu.nylas.com"),
];

/// The triggers that the relay's webhook needs: users' answers, delivery events, and changes of an account.
pub const TRIGGERS: [&str; 9] = [
    "message.created",
    "message.send_failed",
    "message.delivered",
    "message.bounced",
    "message.complaint",
    "message.rejected",
    "grant.expired",
    "grant.deleted",
    "grant.updated",
];

/// The needed triggers that a webhook lacks.
pub fn missing_triggers(webhook: &Value) -> Vec<&'static str> {
    let has = list(webhook, "/trigger_types");
    let has: Vec<&str> = has.iter().filter_map(Value::as_str).collect();
    let mut missing = TRIGGERS.to_vec();
    missing.retain(|trigger| !has.contains(trigger));
    missing
}

/// The route Nylas' notifications go to.
pub const WEBHOOK_PATH: &str = "/api/webhooks/nylas";

/// A client of one application's API.
#[derive(Clone, Debug)]
pub struct Nylas<'a> {
    /// The client for every request.
    pub http: &'a Http,
    /// The address of the region.
    pub base: String,
    /// The API key.
    pub key: Secret,
    /// Where the key was found.
    pub key_from: String,
}

impl<'a> Nylas<'a> {
    /// A client with that key.
    pub fn new(http: &'a Http, base: String, key: Found) -> Self {
        Self {
            http,
            base,
            key: key.secret,
            key_from: key.from,
        }
    }

    fn ask(&self, path: &str) -> Ask {
        Ask::get(format!("{}{path}", self.base)).bearer(self.key.reveal())
    }

    fn call(&self, ask: &Ask) -> Result<Reply, Failure> {
        let reply = self.http.call(ask)?;
        Ok(Reply {
            key_from: Some(self.key_from.clone()),
            ..reply
        })
    }

    /// `GET` of a path.
    pub fn get(&self, path: &str) -> Result<Reply, Failure> {
        self.call(&self.ask(path))
    }

    /// `POST` of a JSON body.
    pub fn post(&self, path: &str, body: &Value) -> Result<Reply, Failure> {
        self.call(&self.ask(path).json("POST", body))
    }

    /// `PUT` of a JSON body.
    pub fn put(&self, path: &str, body: &Value) -> Result<Reply, Failure> {
        self.call(&self.ask(path).json("PUT", body))
    }

    /// `PATCH` of a JSON body.
    pub fn patch(&self, path: &str, body: &Value) -> Result<Reply, Failure> {
        self.call(&self.ask(path).json("PATCH", body))
    }

    /// The account's record.
    pub fn grant(&self, grant_id: &str) -> Result<Reply, Failure> {
        self.get(&format!("/v3/grants/{grant_id}"))
    }

    /// All webhooks of the application.
    pub fn webhooks(&self) -> Result<Vec<Value>, Failure> {
        let reply = self.get("/v3/webhooks")?;
        ok(&reply)?;
        Ok(list(&reply.json(), "/data").to_vec())
    }

    /// The ids of Inbox and Sent: filters take ids, and ids need not be names.
    pub fn folders(&self, grant_id: &str) -> Result<Folders, Failure> {
        let reply = self.get(&format!("/v3/grants/{grant_id}/folders?limit=200"))?;
        ok(&reply)?;
        let body = reply.json();
        let find = |attribute: &str, name: &str| {
            let folders = list(&body, "/data");
            let by_attribute = folders.iter().find(|folder| {
                list(folder, "/attributes")
                    .iter()
                    .any(|known| known.as_str() == Some(attribute))
            });
            let by_name = || {
                folders
                    .iter()
                    .find(|folder| text(folder, "/name").eq_ignore_ascii_case(name))
            };
            by_attribute
                .or_else(by_name)
                .map(|folder| text(folder, "/id").to_owned())
        };
        Ok(Folders {
            inbox: find("\\Inbox", "inbox"),
            sent: find("\\Sent", "sent"),
        })
    }

    /// How many mails are in Sent since that moment (Unix seconds); at most 10,000 are counted.
    pub fn sent_since(&self, grant_id: &str, sent: &str, since: u64) -> Result<u64, Failure> {
        let (mut count, mut page) = (0_u64, String::new());
        for _ in 0..50 {
            let reply = self.get(&format!(
                "/v3/grants/{grant_id}/messages?in={}&received_after={}&limit=200&select=id{page}",
                encode(sent),
                since.saturating_sub(1)
            ))?;
            ok(&reply)?;
            let body = reply.json();
            count = count.saturating_add(u64::try_from(list(&body, "/data").len()).unwrap_or(0));
            match text(&body, "/next_cursor") {
                "" => break,
                cursor => page = format!("&page_token={}", encode(cursor)),
            }
        }
        Ok(count)
    }

    /// Creates an Agent Account, or finds the one with this address. Returns its record.
    pub fn create_account(&self, email: &str, name: Option<&str>) -> Result<Value, Failure> {
        let mut body = json!({"provider": "nylas", "settings": {"email": email}});
        if let (Some(name), Some(object)) = (name, body.as_object_mut()) {
            object.insert("name".to_owned(), json!(name));
        }
        let reply = self.post("/v3/connect/custom", &body)?;
        ok(&reply)?;
        Ok(reply.json().get("data").cloned().unwrap_or_default())
    }
}

/// The ids of two folders.
#[derive(Clone, Debug, Default)]
pub struct Folders {
    /// The folder of incoming mail.
    pub inbox: Option<String>,
    /// The folder of sent mail.
    pub sent: Option<String>,
}

/// Fails unless the answer is 2xx, with the usual fix for its status.
pub fn ok(reply: &Reply) -> Result<(), Failure> {
    if (200..300).contains(&reply.code) {
        return Ok(());
    }
    let said = said(reply);
    let refused_key = format!(
        "{} is not this application's, or of another region: {}",
        key_of(reply),
        place("NYLAS_API_KEY")
    );
    let unknown = format!(
        "the grant id or the domain is not known in this region: check NYLAS_API_BASE, and NYLAS_GRANT_ID ({})",
        place("NYLAS_GRANT_ID")
    );
    Err(Failure::new(
        format!("Nylas answered {}{said}", reply.code),
        match reply.code {
            401 => &refused_key,
            403 => "the key or the plan does not allow it: Nylas' dashboard",
            404 => &unknown,
            423 => "the account is blocked: Nylas' support",
            429 => "too many requests: wait a minute",
            500.. => "Nylas fails at the moment: https://status.nylas.com, then again",
            _ => "see the message; https://developer.nylas.com/docs/api/errors/ lists them",
        },
    ))
}

/// The key that was asked with, by where it came from.
pub fn key_of(reply: &Reply) -> String {
    let from = reply.key_from.as_ref();
    from.map_or_else(
        || "NYLAS_API_KEY".to_owned(),
        |from| format!("the NYLAS_API_KEY from {from}"),
    )
}

/// Nylas' own error message, if there is one.
pub fn said(reply: &Reply) -> String {
    let body = reply.json();
    let message = [text(&body, "/error/message"), text(&body, "/message")]
        .into_iter()
        .find(|message| !message.is_empty())
        .unwrap_or_default();
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    }
}

/// The base as the relay accepts it.
pub fn base(text: &str) -> Option<String> {
    ApiBase::parse(text).map(|_| text.trim().trim_end_matches('/').to_owned())
}

/// Percent-encodes what is not plain in a query.
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
