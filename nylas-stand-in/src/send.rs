//! Sending: the idempotency key, then the request's form, then the script, then the account's state, then the mail.

use crate::events::{self, MailEvent};
use crate::idempotency::{self, Begin, Ticket};
use crate::routes::{Call, Outcome};
use crate::script::{Action, RequestKind, Subject};
use crate::state::{Account, AccountState, Answer, Held, Mail, State, Stored, folder_id};
use crate::validate::{self, Draft};
use crate::{Inbound, Shared, inbound, notify};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What has been decided and is still to be done, the state no longer locked.
enum Step {
    Done(Outcome),
    Never,
    AcceptAfter(Duration),
    AcceptThenDelay(Duration),
}

/// A send that runs: everything needed to end it later, whoever still waits.
struct Run {
    shared: Arc<Shared>,
    account: Account,
    draft: Draft,
    key: Option<String>,
    ticket: Option<Ticket>,
    with_headers: bool,
}

pub async fn send(shared: &Arc<Shared>, call: &Call, account: &Account) -> Outcome {
    let (step, run) = decide(shared, call, account);
    match (step, run) {
        (Step::Done(outcome), _) => outcome,
        (Step::Never, _) | (_, None) => std::future::pending().await,
        (Step::AcceptAfter(delay), Some(run)) => {
            // A task of its own: it goes on when the caller has hung up.
            let task = tokio::spawn(async move {
                run.shared.clock.sleep(delay).await;
                run.accept(&mut run.shared.lock(), 200)
            });
            task.await.map_or(Outcome::Dropped, Outcome::answered)
        }
        (Step::AcceptThenDelay(delay), Some(run)) => {
            let answer = run.take(&mut run.shared.lock(), 200);
            let task = tokio::spawn(async move {
                run.shared.clock.sleep(delay).await;
                run.keep(&mut run.shared.lock(), answer)
            });
            task.await.map_or(Outcome::Dropped, Outcome::answered)
        }
    }
}

fn decide(shared: &Arc<Shared>, call: &Call, account: &Account) -> (Step, Option<Run>) {
    let key = call.header("idempotency-key").map(str::to_owned);
    let recipient = call.recipient();
    let about = Subject {
        kind: RequestKind::Send,
        grant_id: &account.grant_id,
        recipient: recipient.as_deref(),
        key: key.as_deref(),
    };
    let mut guard = shared.lock();
    let state = &mut *guard;
    let rule = state.rules.iter().position(|rule| rule.matches(&about));
    if let Some(rule) = rule.and_then(|at| state.rules.get_mut(at)) {
        match &rule.action {
            Action::DropBefore => {
                rule.take();
                return (Step::Done(Outcome::Dropped), None);
            }
            Action::NeverAnswer => {
                rule.take();
                return (Step::Never, None);
            }
            _ => {}
        }
    }
    let ticket = match &key {
        None => None,
        Some(key) => match begin(shared, state, account, key, &call.body) {
            Ok(ticket) => Some(ticket),
            Err(outcome) => return (Step::Done(outcome), None),
        },
    };
    let draft = match validate::draft(call.header("content-type"), &call.body, &account.email) {
        Ok(draft) => draft,
        Err(refusal) => {
            let answer = state.error(refusal.status, refusal.kind, &refusal.message);
            return (Step::Done(end(state, ticket, answer, true)), None);
        }
    };
    let with_headers = call
        .query("fields")
        .is_some_and(|fields| fields.starts_with("include_"));
    let run = Run {
        shared: Arc::clone(shared),
        account: account.clone(),
        draft,
        key,
        ticket,
        with_headers,
    };
    let step = match rule.and_then(|at| state.rules.get_mut(at)) {
        Some(rule) => run.scripted(rule.take(), state),
        None => Step::Done(match verdict(shared, state, account) {
            Verdict::Refused(answer, kept) => end(state, run.ticket.clone(), answer, kept),
            Verdict::Sent => Outcome::answered(run.accept(state, 200)),
            Verdict::Queued => Outcome::answered(run.accept(state, 202)),
        }),
    };
    (step, Some(run))
}

/// Asks the key; an error is the answer that ends the request.
fn begin(
    shared: &Shared,
    state: &mut State,
    account: &Account,
    key: &str,
    body: &[u8],
) -> Result<Ticket, Outcome> {
    if key.chars().count() > idempotency::LONGEST {
        let message = "Idempotency-Key must be 256 characters or fewer.";
        return Err(Outcome::answered(state.error(
            400,
            "api.invalid_idempotency_key",
            message,
        )));
    }
    match state
        .keys
        .begin(&account.grant_id, key, body, shared.clock.now_ms())
    {
        Begin::First(ticket) => Ok(ticket),
        Begin::Replay(answer) => {
            let answer = answer.with("idempotent-response", "true");
            Err(Outcome::Answered {
                answer,
                replayed: true,
            })
        }
        Begin::DifferentPayload => {
            let message = "The Idempotency-Key was reused with a different request payload. Use a different key, or \
                           match the original payload.";
            Err(Outcome::answered(state.error(
                409,
                "api.invalid_idempotent_request",
                message,
            )))
        }
        Begin::InFlight => {
            let message = "A request with the same Idempotency-Key is currently in progress. Wait a moment and retry \
                           with the same key.";
            Err(Outcome::answered(state.error(
                409,
                "api.concurrent_idempotent_request",
                message,
            )))
        }
    }
}

/// Ends a request without a mail.
fn end(state: &mut State, ticket: Option<Ticket>, answer: Answer, kept: bool) -> Outcome {
    match ticket {
        Some(ticket) if kept => state.keys.keep(&ticket, &answer),
        Some(ticket) => state.keys.release(&ticket),
        None => {}
    }
    Outcome::answered(answer)
}

/// What an account's state makes of a mail.
enum Verdict {
    Sent,
    Queued,
    /// With this answer, and whether that is kept under the key.
    Refused(Answer, bool),
}

fn verdict(shared: &Shared, state: &mut State, account: &Account) -> Verdict {
    let kept = shared.options.keeps_account_refusals;
    let now_ms = shared.clock.now_ms();
    let taken = |state: &State, counts: &dyn Fn(&Mail) -> bool| {
        let own = |mail: &&Mail| mail.grant_id == account.grant_id && counts(mail);
        u32::try_from(state.mails.iter().filter(own).count()).unwrap_or(u32::MAX)
    };
    let how = state.account(&account.grant_id).map(|held| held.state);
    let (status, kind, message) = match how.unwrap_or_default() {
        AccountState::Healthy | AccountState::Gone => return Verdict::Sent,
        AccountState::Paused => (
            400,
            "api.invalid_request_error",
            "Sending is paused for this account",
        ),
        AccountState::DomainNotVerified => {
            (400, "api.invalid_request_error", "domain is not verified")
        }
        AccountState::AbuseBlocked => (
            403,
            "api.forbidden",
            "Sending from this account is blocked. Contact support.",
        ),
        AccountState::Blocked => (
            423,
            "api.resource_blocked",
            "The resource is blocked, contact your administrator",
        ),
        AccountState::RateLimited => return throttled(shared, state),
        AccountState::PerSecond { mails, queue } => {
            let second = taken(state, &|mail| now_ms < mail.at_ms + 1000);
            return match second {
                second if second < mails => Verdict::Sent,
                second if second < mails.saturating_add(queue) => Verdict::Queued,
                _ => throttled(shared, state),
            };
        }
        AccountState::DailyCap(cap) => {
            // A queued mail that was not sent does not count.
            let today = |mail: &Mail| mail.at_ms / DAY_MS == now_ms / DAY_MS && !mail.failed;
            if taken(state, &today) < cap {
                return Verdict::Sent;
            }
            let answer = state.error(429, "rate_limit_error", "Daily send limit exceeded");
            return Verdict::Refused(answer, shared.options.keeps_throttling);
        }
    };
    Verdict::Refused(state.error(status, kind, message), kept)
}

fn throttled(shared: &Shared, state: &mut State) -> Verdict {
    let message = "Too many requests, please try again shortly.";
    let answer = state.error(429, "rate_limit_error", message);
    let answer = answer.with("retry-after", "1");
    Verdict::Refused(answer, shared.options.keeps_throttling)
}

impl Run {
    fn scripted(&self, action: Action, state: &mut State) -> Step {
        match action {
            Action::AcceptAfter(delay) => Step::AcceptAfter(delay),
            Action::AcceptThenDelay(delay) => Step::AcceptThenDelay(delay),
            Action::NeverAnswer => Step::Never,
            Action::DropBefore => Step::Done(Outcome::Dropped),
            Action::DropAfter => {
                self.accept(state, 200);
                Step::Done(Outcome::Dropped)
            }
            Action::Queue202 => Step::Done(Outcome::answered(self.accept(state, 202))),
            Action::Answer {
                status,
                body,
                headers,
                accept_mail,
                keep,
            } => {
                if accept_mail {
                    self.take(state, 200);
                }
                let answer = scripted_answer(status, &body, headers);
                Step::Done(end(state, self.ticket.clone(), answer, keep))
            }
        }
    }

    /// Takes the mail and keeps the answer.
    fn accept(&self, state: &mut State, status: u16) -> Answer {
        let answer = self.take(state, status);
        self.keep(state, answer)
    }

    fn keep(&self, state: &mut State, answer: Answer) -> Answer {
        if let Some(ticket) = &self.ticket {
            state.keys.keep(ticket, &answer);
        }
        answer
    }

    /// Takes the mail; the answer says so.
    fn take(&self, state: &mut State, status: u16) -> Answer {
        let mail = self.mail(state);
        let (message, headers) = (message(state, &mail), headers(&mail));
        let mut data = message.clone();
        // Read back, a message has it; the schema of this answer does not.
        if let Some(data) = data.as_object_mut() {
            data.remove("metadata");
        }
        if self.with_headers && status == 200 {
            data["headers"] = crate::messages::header_list(&headers);
        }
        let answer =
            json!({ "request_id": state.fresh_uuid(), "grant_id": mail.grant_id, "data": data });
        let stored = Stored {
            grant_id: mail.grant_id.clone(),
            id: mail.id.clone(),
            message,
            headers,
        };
        let told = stored.message.clone();
        notify::tell(
            &self.shared,
            state,
            "message.created",
            json!({ "object": told }),
        );
        if status != 202 {
            // When a queued mail is delivered, or that it is not, a test says.
            events::mail(&self.shared, state, &mail, &MailEvent::Delivered);
        }
        state.messages.push(stored);
        if status != 202 {
            self.deliver_here(state, &mail);
        }
        state.mails.push(mail);
        self.shared.mail_came.notify_all();
        self.shared.mails_seen.send_replace(state.mails.len());
        Answer::json(status, &answer)
    }

    /// What is for accounts of this stand-in comes in there; everything else leaves it, to nowhere.
    fn deliver_here(&self, state: &mut State, mail: &Mail) {
        let to = mail.recipients();
        let is_named = |held: &&Held| {
            to.iter()
                .any(|to| to.eq_ignore_ascii_case(&held.account.email))
        };
        let receivers = state.accounts.iter().filter(is_named);
        let receivers: Vec<String> = receivers
            .map(|held| held.account.grant_id.clone())
            .collect();
        for grant_id in receivers {
            let inbound = Inbound {
                grant_id,
                from: mail.from_email.clone(),
                from_name: mail.from_name.clone(),
                subject: mail.subject.clone(),
                body: mail.body.clone(),
                headers: headers(mail),
                ..Inbound::default()
            };
            inbound::receive(&self.shared, state, inbound);
        }
    }

    fn mail(&self, state: &mut State) -> Mail {
        let draft = self.draft.clone();
        let answered = draft.reply_to_message_id.as_ref().and_then(|id| {
            let found = state.messages.iter().find(|stored| &stored.id == id)?;
            Some(found.message.get("thread_id")?.as_str()?.to_owned())
        });
        Mail {
            id: state.fresh_id(),
            thread_id: answered.unwrap_or_else(|| state.fresh_id()),
            grant_id: self.account.grant_id.clone(),
            to: draft.to,
            from_email: draft.from_email,
            from_name: draft.from_name,
            subject: draft.subject,
            body: draft.body,
            is_plaintext: draft.is_plaintext,
            reply_to: draft.reply_to,
            metadata: draft.metadata,
            custom_headers: draft.custom_headers,
            idempotency_key: self.key.clone(),
            at_ms: self.shared.clock.now_ms(),
            failed: false,
            request: draft.request,
        }
    }
}

pub fn scripted_answer(status: u16, body: &Value, headers: Vec<(String, String)>) -> Answer {
    let own_type = headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let mut answer = match body {
        Value::String(text) => Answer {
            status,
            headers: Vec::new(),
            body: text.clone().into_bytes(),
        },
        Value::Null => Answer {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        },
        body if own_type => Answer {
            status,
            headers: Vec::new(),
            body: body.to_string().into_bytes(),
        },
        body => Answer::json(status, body),
    };
    answer.headers.extend(headers);
    answer
}

fn message(state: &State, mail: &Mail) -> Value {
    let list = |name: &str| mail.request.get(name).cloned().unwrap_or_else(|| json!([]));
    let known = mail.request.get("reply_to_message_id").filter(|id| {
        state
            .messages
            .iter()
            .any(|stored| id.as_str() == Some(&stored.id))
    });
    let mut message = json!({
        "id": mail.id, "object": "message", "thread_id": mail.thread_id, "grant_id": mail.grant_id,
        "subject": mail.subject, "body": mail.body, "snippet": mail.body.chars().take(100).collect::<String>(),
        "from": list("from"), "to": list("to"), "cc": list("cc"), "bcc": list("bcc"), "reply_to": list("reply_to"),
        "date": mail.at_ms / 1000, "folders": [folder_id(&mail.grant_id, "sent")], "attachments": [],
        "metadata": mail.metadata, "starred": false, "unread": false,
    });
    if let Some(id) = known {
        message["reply_to_message_id"] = id.clone();
    }
    message
}

fn headers(mail: &Mail) -> Vec<(String, String)> {
    let mut headers = vec![
        (
            "Message-ID".to_owned(),
            format!("<{}@stand-in.invalid>", mail.id),
        ),
        ("From".to_owned(), mail.from_email.clone()),
        ("To".to_owned(), mail.recipients().join(", ")),
        ("Subject".to_owned(), mail.subject.clone()),
    ];
    if let Some(reply_to) = &mail.reply_to {
        headers.push(("Reply-To".to_owned(), reply_to.clone()));
    }
    headers.extend(mail.custom_headers.iter().cloned());
    headers
}
