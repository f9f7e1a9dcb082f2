//! Sends a mail. A request passes these in order: refusals that no key stores, the idempotency key, the request's form,
//! the rules of the script, the account's state.

use crate::api::limits::{Verdict, verdict};
use crate::api::validate::{self, Draft};
use crate::events::{self, MailEvent};
use crate::idempotency::{self, Begin, Ticket};
use crate::inbound::{self, Inbound};
use crate::model::account::{Account, Held};
use crate::model::answer::{Answer, Outcome};
use crate::model::call::Call;
use crate::model::mail::Mail;
use crate::model::mailbox::{Stored, header_list};
use crate::model::script::{Action, RequestKind, Subject};
use crate::model::unknowns::OnHangUp;
use crate::notify;
use crate::shared::Shared;
use crate::state::State;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// What is still to be done once the state is no longer locked.
enum Step {
    Done(Outcome),
    Never,
    AcceptAfter(Duration),
    FreeKeyOnHangUp(Duration),
    EndOnHangUp(Duration),
    AcceptThenDelay(Duration),
}

/// A send in progress: everything needed to end it later, even if the caller hangs up.
struct Run {
    shared: Arc<Shared>,
    account: Account,
    draft: Draft,
    key: Option<String>,
    ticket: Option<Ticket>,
    with_headers: bool,
}

/// Frees the key of a request in progress when dropped. The server drops what answers a request if the caller hangs up.
struct FreesKey {
    shared: Arc<Shared>,
    ticket: Ticket,
}

impl Drop for FreesKey {
    fn drop(&mut self) {
        self.shared.lock().keys.release(&self.ticket);
    }
}

pub async fn send(shared: &Arc<Shared>, call: &Call, account: &Account) -> Outcome {
    let (step, run) = decide(shared, call, account);
    match (step, run) {
        (Step::Done(outcome), _) => outcome,
        (Step::Never, _) | (_, None) => std::future::pending().await,
        (Step::AcceptAfter(delay), Some(run)) => run.accept_after(delay).await,
        (Step::FreeKeyOnHangUp(delay), Some(run)) => {
            let _frees = run.ticket.clone().map(|ticket| FreesKey {
                shared: Arc::clone(shared),
                ticket,
            });
            run.accept_after(delay).await
        }
        (Step::EndOnHangUp(delay), Some(run)) => {
            let _frees = run.ticket.clone().map(|ticket| FreesKey {
                shared: Arc::clone(shared),
                ticket,
            });
            shared.clock.sleep(delay).await;
            Outcome::answered(run.accept(&mut shared.lock(), 200))
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
    // A refusal that is not stored under the key comes before keys are looked at.
    if rule.is_none()
        && let Verdict::Refused(answer, false) = verdict(shared, state, account)
    {
        return (Step::Done(Outcome::answered(answer)), None);
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
            let kept = shared.options.unknowns.keeps_refusals;
            return (Step::Done(end(state, ticket, answer, kept)), None);
        }
    };
    if rule.is_none()
        && let Some(answer) = evaluate(shared, state, account, &draft)
    {
        return (Step::Done(end(state, ticket, answer, true)), None);
    }
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
        None => match verdict(shared, state, account) {
            Verdict::Refused(answer, kept) => {
                Step::Done(end(state, run.ticket.clone(), answer, kept))
            }
            Verdict::Sent => run.unscripted(state),
            Verdict::Queued => Step::Done(Outcome::answered(run.accept(state, 202))),
        },
    };
    (step, Some(run))
}

/// Evaluates the workspace's outbound rule, if there is one: the refusal of a recipient that it blocks. That says no
/// more than any other 403; the record of the evaluation tells.
fn evaluate(
    shared: &Shared,
    state: &mut State,
    account: &Account,
    draft: &Draft,
) -> Option<Answer> {
    if state.blocked.is_empty() {
        return None;
    }
    let is_blocked = state
        .blocked
        .iter()
        .any(|blocked| blocked.eq_ignore_ascii_case(&draft.to));
    let (id, now) = (state.fresh_uuid(), shared.clock.now_ms() / 1000);
    let address = draft.to.to_ascii_lowercase();
    let domain = address.rsplit('@').next().unwrap_or_default();
    state.evaluations.push(json!({
        "id": id, "grant_id": account.grant_id, "message_id": null, "evaluated_at": now,
        "evaluation_stage": "outbound_send",
        "evaluation_input": {
            "from_address": account.email, "recipient_addresses": [address], "recipient_domains": [domain],
            "outbound_type": "compose",
        },
        "applied_actions": { "blocked": is_blocked },
        "matched_rule_ids": if is_blocked { vec!["rule-1"] } else { Vec::new() },
    }));
    is_blocked.then(|| state.error(403, "api.forbidden", "The request is not allowed."))
}

/// Looks up the key. An error is the answer that ends the request.
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
    match state.keys.begin(
        &account.grant_id,
        key,
        body,
        shared.clock.now_ms(),
        &shared.options.unknowns,
    ) {
        Begin::First(ticket) => Ok(ticket),
        Begin::Replay(answer) => {
            let answer = answer.replayed();
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

impl Run {
    /// A send that nothing disturbs.
    fn unscripted(&self, state: &mut State) -> Step {
        let unknowns = &self.shared.options.unknowns;
        match (unknowns.send_takes, unknowns.on_hang_up) {
            (Duration::ZERO, _) => Step::Done(Outcome::answered(self.accept(state, 200))),
            (takes, OnHangUp::HoldsKey) => Step::AcceptAfter(takes),
            (takes, OnHangUp::FreesKey) => Step::FreeKeyOnHangUp(takes),
            (takes, OnHangUp::EndsSend) => Step::EndOnHangUp(takes),
        }
    }

    fn scripted(&self, action: Action, state: &mut State) -> Step {
        match action {
            Action::AcceptAfter(delay) => Step::AcceptAfter(delay),
            Action::FreeKeyOnHangUp(delay) => Step::FreeKeyOnHangUp(delay),
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
                let answer = Answer::scripted(status, &body, headers);
                Step::Done(end(state, self.ticket.clone(), answer, keep))
            }
        }
    }

    /// Accepts the mail after this time, even if the caller has hung up: the task is not the caller's.
    async fn accept_after(self, delay: Duration) -> Outcome {
        let task = tokio::spawn(async move {
            self.shared.clock.sleep(delay).await;
            self.accept(&mut self.shared.lock(), 200)
        });
        task.await.map_or(Outcome::Dropped, Outcome::answered)
    }

    /// Accepts the mail and stores the answer under the key.
    fn accept(&self, state: &mut State, status: u16) -> Answer {
        let answer = self.take(state, status);
        self.keep(state, answer)
    }

    fn keep(&self, state: &mut State, answer: Answer) -> Answer {
        match &self.ticket {
            Some(ticket) if self.shared.options.unknowns.keeps_success => {
                state.keys.keep(ticket, &answer);
            }
            Some(ticket) => state.keys.release(ticket),
            None => {}
        }
        answer
    }

    /// Accepts the mail and returns the answer.
    fn take(&self, state: &mut State, status: u16) -> Answer {
        let mail = self.mail(state);
        let answered = mail.request.get("reply_to_message_id");
        let is_known = state
            .messages
            .iter()
            .any(|stored| answered.and_then(Value::as_str) == Some(&stored.id));
        let (message, headers) = (mail.message(is_known), mail.headers());
        let mut data = message.clone();
        // A message that is read has metadata; the schema of the answer to a send does not.
        if let Some(data) = data.as_object_mut() {
            data.remove("metadata");
        }
        if self.with_headers && status == 200 {
            data["headers"] = header_list(&headers);
        }
        let answer =
            json!({ "request_id": state.fresh_uuid(), "grant_id": mail.grant_id, "data": data });
        let stored = Stored {
            grant_id: mail.grant_id.clone(),
            id: mail.id.clone(),
            message,
            headers,
        };
        let data = json!({ "object": stored.message.clone() });
        notify::notify(&self.shared, state, "message.created", data);
        if status != 202 {
            // For a queued mail, a test decides whether and when it is delivered.
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

    /// Puts the mail into the mailboxes of its recipients that are accounts of this stand-in.
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
                headers: self.passed_on(mail),
                ..Inbound::default()
            };
            inbound::receive(&self.shared, state, inbound);
        }
    }

    /// The headers that reach the recipient.
    fn passed_on(&self, mail: &Mail) -> Vec<(String, String)> {
        let passes = self.shared.options.unknowns.passes_auto_submitted;
        let mut headers = mail.headers();
        headers.retain(|(name, _)| passes || !name.eq_ignore_ascii_case("auto-submitted"));
        headers
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
