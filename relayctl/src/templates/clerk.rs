//! Clerk's Backend API, as far as it is about who delivers a template's mails.

use crate::{
    failure::Failure,
    http::{Ask, Http, Reply, list, text},
    nylas::base,
    places::place,
    secrets::Found,
};
use clerk_nylas_relay::model::mail::Slug;
use serde_json::{Value, json};
use std::time::Duration;

/// The longest page that Clerk's specification allows. Without a limit a page has ten templates.
const PAGE: usize = 500;
const PAGES_MAX: usize = 4;
/// How many templates are listed at most. If there are as many, there may be more.
pub const TEMPLATES_MAX: usize = PAGE.saturating_mul(PAGES_MAX);
/// A busy Clerk (423, 429, 5xx) is asked so often.
const TRIES: u32 = 4;
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A client of one instance's API.
#[derive(Clone, Debug)]
pub struct Clerk<'a> {
    http: &'a Http,
    base: String,
    key: Found,
}

/// An e-mail template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Its name for machines.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// The local part of the address that it is sent from.
    pub from: String,
    /// Whether Clerk delivers it.
    pub delivered_by_clerk: bool,
}

impl<'a> Clerk<'a> {
    /// A client. The key goes to https, or to this machine.
    pub fn new(http: &'a Http, address: &str, key: Found) -> Result<Self, Failure> {
        let base = base(address).ok_or_else(|| {
            Failure::usage(
                "CLERK_API_BASE is not an address the key may go to",
                "https://api.clerk.com",
            )
        })?;
        Ok(Self { http, base, key })
    }

    /// All e-mail templates, in Clerk's order.
    pub fn templates(&self) -> Result<Vec<Template>, Failure> {
        let mut templates = Vec::new();
        for page in 0..PAGES_MAX {
            let offset = page.saturating_mul(PAGE);
            let path = format!("?limit={PAGE}&offset={offset}");
            let body = self.ask(Ask::get(self.url(&path)))?.json();
            // Clerk's API answers some lists bare and some in `data`.
            let rows = match body.as_array() {
                Some(rows) => rows.as_slice(),
                None => list(&body, "/data"),
            };
            templates.extend(rows.iter().filter_map(template));
            if rows.len() < PAGE {
                break;
            }
        }
        Ok(templates)
    }

    /// Sets who delivers a template.
    pub fn deliver(&self, slug: &str, by_clerk: bool) -> Result<(), Failure> {
        let url = self.url(&format!("/{slug}/toggle_delivery"));
        let wanted = json!({"delivered_by_clerk": by_clerk});
        let answer = self.ask(Ask::get(url).json("POST", &wanted))?.json();
        if answer.get("delivered_by_clerk") == Some(&Value::Bool(by_clerk)) {
            return Ok(());
        }
        Err(Failure::new(
            format!("Clerk answered 200 and did not switch {slug}"),
            "look at Customization, Emails, in Clerk's dashboard",
        ))
    }

    fn url(&self, path: &str) -> String {
        format!("{}/v1/templates/email{path}", self.base)
    }

    /// Makes a request. One that Clerk is too busy for is repeated.
    fn ask(&self, ask: Ask) -> Result<Reply, Failure> {
        let ask = ask.bearer(self.key.secret.reveal());
        let mut reply = self.http.call(&ask)?;
        let mut wait = Duration::from_secs(1);
        for _ in 1..TRIES {
            if !matches!(reply.code, 423 | 429 | 500..=599) {
                break;
            }
            let asked = reply.header("retry-after");
            let asked = asked.and_then(|seconds| seconds.trim().parse().ok());
            let asked = asked.map_or(wait, Duration::from_secs);
            std::thread::sleep(asked.min(WAIT_MAX));
            wait = wait.saturating_mul(2);
            reply = self.http.call(&ask)?;
        }
        match reply.code {
            200 => Ok(reply),
            _ => Err(refused(&reply, &self.key.from)),
        }
    }
}

/// A template that has the name of one: a slug is part of an address.
fn template(row: &Value) -> Option<Template> {
    let slug = Slug::new(row.get("slug").and_then(Value::as_str));
    Some(Template {
        slug: slug.as_str()?.to_owned(),
        name: text(row, "/name").to_owned(),
        from: text(row, "/from_email_name").to_owned(),
        delivered_by_clerk: row.get("delivered_by_clerk")?.as_bool()?,
    })
}

fn refused(reply: &Reply, from: &str) -> Failure {
    let said = reply.json();
    let said = text(&said, "/errors/0/code");
    let said = if said.is_empty() {
        String::new()
    } else {
        format!(": {said}")
    };
    let refused_key = format!(
        "the CLERK_SECRET_KEY from {from} is not this instance's: {}",
        place("CLERK_SECRET_KEY")
    );
    Failure::new(
        format!("Clerk answered {}{said}", reply.code),
        match reply.code {
            401 | 403 => &refused_key,
            404 | 410 => {
                "Clerk calls this operation deprecated and may have removed it; switch \"Delivered by Clerk\" in its \
                 dashboard: Customization, Emails, the template"
            }
            423 => "somebody is changing the template; try again in a minute",
            429 => "too many requests; try again in a minute",
            500.. => "Clerk fails at the moment: https://status.clerk.com, then again",
            _ => {
                "Clerk's API has changed; switch \"Delivered by Clerk\" in its dashboard, and report it as a bug"
            }
        },
    )
}
