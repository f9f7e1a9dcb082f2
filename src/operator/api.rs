//! The operator's API under `/api/admin/`. It shows what is in the ledger anyway: nothing is written for its sake.

use super::{
    about::address,
    row::{field, field_is, history_entry, number, word},
    words::waits_for,
};
use crate::{
    config::Config,
    ledger::{
        Ledger,
        mail::{MailRecord, MailState},
        probe::ProbeId,
        recipient::{RecipientHash, Suppression},
    },
    model::{
        id::{GrantId, SvixId},
        mail::is_address,
        message::Message,
        outcome::Reason,
    },
    ports::{Ports, StoreError},
};
use serde_json::{Value, json};
use std::time::Duration;

/// How many rows the API shows unless `limit` says otherwise.
const ROWS: usize = 50;
const ROWS_MAX: usize = 1000;
/// How many states of before it was redriven a mail's history shows.
const PAST_MAX: usize = 20;

/// A request of an authorized operator.
pub struct AdminRequest<'a> {
    pub method: &'a str,
    /// The part of the path after `/api/admin/`.
    pub path: &'a str,
    /// `limit` of the query.
    pub limit: Option<usize>,
    /// `events` of the query: deliveries are listed with their delivery events, for one list operation more.
    pub with_events: bool,
    pub body: &'a [u8],
}

/// A status code and a body.
pub type AdminAnswer = (u16, Value);

fn status(code: u16, status: &str) -> AdminAnswer {
    (code, json!({"status": status}))
}

/// Answers a request of the API.
pub async fn api<P: Ports>(ports: &P, config: &Config, request: &AdminRequest<'_>) -> AdminAnswer {
    let view = View {
        ports,
        config,
        ledger: &Ledger::new(ports),
    };
    match view.answer(request).await {
        Ok(answer) => answer,
        Err(_) => status(503, "ledger_refused"),
    }
}

/// The operator's view of the ledger.
pub(super) struct View<'a, P> {
    pub ports: &'a P,
    pub config: &'a Config,
    pub ledger: &'a Ledger<'a, P>,
}

impl<P: Ports> View<'_, P> {
    async fn answer(&self, request: &AdminRequest<'_>) -> Result<AdminAnswer, StoreError> {
        let limit = request.limit.unwrap_or(ROWS).min(ROWS_MAX);
        let list = async |name: &str, kind: &str, id: &str| {
            let mut rows = self.ledger.all(kind, id).await?;
            rows.truncate(limit);
            Ok((200, json!({ name: rows })))
        };
        let mut parts = request.path.split('/');
        let place = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        match (request.method, place) {
            ("GET", ("summary", None, None)) => Ok((200, self.summary().await?)),
            ("GET", ("deliveries", None, None)) => {
                self.deliveries(limit, request.with_events, None).await
            }
            ("POST", ("deliveries", None, None)) => match self.recipient(request.body) {
                Some(to) => self.deliveries(limit, request.with_events, Some(&to)).await,
                None => Ok(status(400, "address_malformed")),
            },
            ("GET", ("deliveries", Some(id), None)) => self.delivery_with_address(id).await,
            ("GET", ("dead", None, None)) => list("dead_letters", "dead:", "id").await,
            ("POST", ("dead", Some(id), Some("redrive"))) => self.redrive(id).await,
            ("GET", ("replies", None, None)) => list("replies", "reply:", "id").await,
            ("GET", ("suppressions", None, None)) => self.suppressions(limit).await,
            ("GET", ("shapes", None, None)) => list("templates", "shape:", "slug").await,
            (method, ("probes", Some(id), None)) => match (ProbeId::parse(id), method) {
                (Some(id), "POST") => self.begin_probe(&id).await,
                (Some(id), "GET") => self.probe(&id).await,
                _ => Ok(status(404, "not_found")),
            },
            ("POST", ("suppressions", None, None)) => self.suppress(request.body).await,
            ("POST", ("suppressions", Some("check"), None)) => self.check(request.body).await,
            ("DELETE", ("suppressions", None, None)) => self.unsuppress(request.body).await,
            ("DELETE", ("guards", Some(grant_id), None)) => self.lift_guard(grant_id).await,
            _ => Ok(status(404, "not_found")),
        }
    }

    /// The newest mails; those to one recipient, if one is named.
    async fn deliveries(
        &self,
        limit: usize,
        with_events: bool,
        to: Option<&RecipientHash>,
    ) -> Result<AdminAnswer, StoreError> {
        let mut rows = self.ledger.all("mail:", "svix_id").await?;
        if let Some(to) = to {
            rows.retain(|row| field_is(row, "recipient", to.as_str()));
        }
        rows.truncate(limit);
        if with_events {
            let events = self.events().await?;
            for row in &mut rows {
                let event = events.get(word(row, "svix_id"));
                let fate = event.map(|event| field(event, "fate"));
                if let (Value::Object(row), Some(fate)) = (row, fate) {
                    row.insert("fate".to_owned(), fate);
                }
            }
        }
        Ok((200, json!({"deliveries": rows})))
    }

    /// One mail and its history, oldest first: Clerk made it, what became of it before it was redriven, its last state,
    /// when it is tried again, what Nylas reported later, replies.
    pub(super) async fn delivery(&self, id: &str) -> Result<AdminAnswer, StoreError> {
        let Some(id) = SvixId::parse(id) else {
            return Ok(status(404, "not_found"));
        };
        let dead_letter = self.ledger.dead_letter(id.as_str()).await?;
        let event = self.ledger.delivery_event(&id).await?;
        let Some(mut delivery) = self.ledger.raw_mail(&id).await? else {
            return Ok(status(404, "not_found"));
        };
        let at = number(&delivery, "at").unwrap_or_default();
        let made = at.saturating_sub(number(&delivery, "age_ms").unwrap_or_default());
        let mut history = vec![history_entry(made, "made".into(), Value::Null)];
        history.extend(self.ledger.past(&id).await?);
        let reason = field(&delivery, "reason");
        history.push(history_entry(at, field(&delivery, "state"), reason));
        let is_waiting = matches!(word(&delivery, "state"), "queued" | "waiting");
        if is_waiting && let Some(next) = number(&delivery, "retry_at") {
            history.push(history_entry(next, "next_try".into(), Value::Null));
        }
        if let Some(event) = &event {
            history.push(history_entry(
                event.at.0,
                event.event.as_str().into(),
                Value::Null,
            ));
        }
        let replies = self.ledger.all("reply:", "id").await?;
        for reply in replies.iter().rev() {
            if field_is(reply, "svix_id", id.as_str()) {
                let at = number(reply, "at").unwrap_or_default();
                history.push(history_entry(at, "reply".into(), field(reply, "class")));
            }
        }
        let reason = delivery.get("reason").and_then(Value::as_str);
        let reason = reason.map(str::to_owned);
        if let Value::Object(row) = &mut delivery {
            row.insert("svix_id".to_owned(), id.as_str().into());
            row.insert("fate".to_owned(), event.map(|event| event.event).into());
            if is_waiting {
                let waits_for = waits_for(reason.as_deref().unwrap_or_default());
                row.insert("waits_for".to_owned(), waits_for.into());
            }
        }
        let answer = json!({
            "delivery": delivery,
            "dead_letter": dead_letter.is_some(),
            "history": history,
        });
        Ok((200, answer))
    }

    /// The same, with the address of its account.
    async fn delivery_with_address(&self, id: &str) -> Result<AdminAnswer, StoreError> {
        let (code, mut answer) = self.delivery(id).await?;
        let delivery = answer.get_mut("delivery").and_then(Value::as_object_mut);
        if let Some(delivery) = delivery
            && let Some(account) = delivery.get("account").and_then(Value::as_str)
            && let Some(account) = GrantId::parse(account)
        {
            let email = address(self.ports, Some(self.config), &account).await;
            delivery.insert("account_email".to_owned(), email.into());
        }
        Ok((code, answer))
    }

    /// Puts a dead letter into the queue again, if it can still be of use.
    async fn redrive(&self, id: &str) -> Result<AdminAnswer, StoreError> {
        let Some(text) = self.ledger.dead_letter(id).await? else {
            return Ok(status(404, "not_found"));
        };
        let now = self.ports.now();
        let (lane, text) = match Message::from_text(&text) {
            None => return Ok(status(409, "unreadable")),
            Some(Message::Mail(mut mail)) => {
                if mail.email.is_expired(now) {
                    return Ok(status(409, "expired"));
                }
                // Another attempt may have got further than this route says. `queued_at` is now, so that this does not
                // count as a repeated delivery of the message that was given up.
                mail.route.require_look_up();
                mail.queued_at = now;
                let record = MailRecord {
                    recipient: Some(RecipientHash::new(
                        &mail.email.to,
                        &self.config.nylas_api_key,
                    )),
                    ..MailRecord::new(&mail.email, MailState::Queued, now)
                        .because(Reason::Redriven, mail.route.clone())
                };
                self.keep_past(&mail.email.svix_id).await?;
                self.ledger.put_mail(&mail.email.svix_id, &record).await?;
                mail.is_oldest = false;
                let message = Message::Mail(mail);
                (message.lane(), message.to_text().unwrap_or_default())
            }
            Some(message) => (message.lane(), text),
        };
        if self
            .ports
            .send_to_queue(lane, &text, Duration::ZERO)
            .await
            .is_err()
        {
            return Ok(status(503, "could_not_be_queued"));
        }
        self.ledger.delete_dead_letter(id).await?;
        Ok(status(200, "redriven"))
    }

    /// The record of a mail is about to be replaced: what it says goes into the mail's past.
    async fn keep_past(&self, id: &SvixId) -> Result<(), StoreError> {
        let mut past = self.ledger.past(id).await?;
        let Some(record) = self.ledger.raw_mail(id).await? else {
            return Ok(());
        };
        let at = number(&record, "at").unwrap_or_default();
        past.push(history_entry(
            at,
            field(&record, "state"),
            field(&record, "reason"),
        ));
        let now = self.ports.now().0;
        past.push(history_entry(now, "redriven".into(), Value::Null));
        // The newest are kept.
        past.drain(..past.len().saturating_sub(PAST_MAX));
        self.ledger.put_past(id, &past).await
    }

    /// The newest suppressions. `complete`: whether the ledger could list all that there are, so that these are the
    /// newest.
    async fn suppressions(&self, limit: usize) -> Result<AdminAnswer, StoreError> {
        let mut known = self.ledger.rows("suppressed:", "key").await?;
        known.rows.truncate(limit);
        let answer = json!({"suppressions": known.rows, "complete": known.is_complete});
        Ok((200, answer))
    }

    async fn suppress(&self, body: &[u8]) -> Result<AdminAnswer, StoreError> {
        let Some(recipient) = self.recipient(body) else {
            return Ok(status(400, "address_malformed"));
        };
        let why = Suppression::Operator;
        self.ledger.suppress(&recipient, why).await?;
        Ok(status(200, "suppressed"))
    }

    async fn unsuppress(&self, body: &[u8]) -> Result<AdminAnswer, StoreError> {
        let Some(recipient) = self.recipient(body) else {
            return Ok(status(400, "address_malformed"));
        };
        Ok(if self.ledger.unsuppress(&recipient).await? {
            status(200, "lifted")
        } else {
            status(404, "not_found")
        })
    }

    /// What is known of a recipient: whether, why and when it was suppressed, and when a mail was delivered.
    async fn check(&self, body: &[u8]) -> Result<AdminAnswer, StoreError> {
        let Some(recipient) = self.recipient(body) else {
            return Ok(status(400, "address_malformed"));
        };
        let row = self.ledger.suppression(&recipient).await?;
        let known = row.clone().unwrap_or_default();
        let answer = json!({
            "suppressed": row.is_some(),
            "reason": field(&known, "reason"),
            "at": field(&known, "at"),
            "delivered_at": self.ledger.proven_at(&recipient).await?,
        });
        Ok((200, answer))
    }

    /// The recipient that a request names, by address or by the key that the list shows.
    fn recipient(&self, body: &[u8]) -> Option<RecipientHash> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::trim);
        match text("address") {
            Some(address) => {
                is_address(address).then(|| RecipientHash::new(address, &self.config.nylas_api_key))
            }
            None => RecipientHash::parse(text("key")?),
        }
    }

    /// Lifts an account's guard until as many mails have bounced again.
    async fn lift_guard(&self, grant_id: &str) -> Result<AdminAnswer, StoreError> {
        let grant_id = GrantId::parse(grant_id);
        let account = grant_id.filter(|grant_id| self.config.account(grant_id).is_some());
        let Some(account) = account else {
            return Ok(status(404, "not_found"));
        };
        self.ledger.lift_guard(&account).await?;
        Ok(status(200, "lifted"))
    }
}
