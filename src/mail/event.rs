//! One verified e-mail event: sends the mail within the budget, or queues it.

use super::decide::{self, Ended, Ending, RECORD_RETRY_IN, Receive, Received};
use crate::{
    context::Context,
    delivery::{
        attempt::{Attempt, RECONCILING_TIME, Verdict},
        identity::must_be_looked_up,
        record::{Accepted, record, record_sent, unsent},
    },
    ledger::mail::{MailRecord, MailState},
    model::{
        id::GrantId,
        log::Record,
        mail::{Content, Email},
        outcome::{Event, Outcome, Reason},
        route::{Route, order},
        time::millis,
    },
    nylas::send::SentMail,
    ports::Ports,
    queue::{
        backoff::retry_delay,
        enqueue::{enqueue_mail, enqueue_named},
        standstill::{Name, name_of_oldest, name_oldest, stands_still},
    },
};
use futures_util::future::{Either, join, select};
use std::{cell::RefCell, pin::pin, time::Duration};

/// The mail of one verified event.
pub struct Mail<'a, 'c, P> {
    pub context: &'a Context<'c, P>,
    pub email: &'a Email,
    pub content: &'a Content,
}

impl<P: Ports> Mail<'_, '_, P> {
    /// Handles the event, and goes on after the answer until everything is recorded.
    ///
    /// `may_have_been_tried`: an earlier delivery of the webhook may have sent the mail. `respond` answers and logs. It
    /// is called once, as soon as the answer is true.
    pub async fn handle(&self, may_have_been_tried: bool, respond: impl FnOnce(&Ended)) {
        let (context, email) = (self.context, self.email);
        if !decide::is_relayed(email, context.config.templates.as_deref()) {
            let ending = Ending::quiet(Outcome::Filtered, Reason::TemplateNotInTemplates);
            return respond(&ending.into());
        }
        // A stand-in on this machine sends to nobody, and tests and demonstrations write to such addresses.
        if decide::is_test_recipient(&email.to) && !context.config.nylas_api_base.is_loopback() {
            let ending = Ending::quiet(Outcome::Filtered, Reason::TestRecipient);
            return respond(&ending.into());
        }
        let known = match self.gather().await {
            (Receive::Answer(ending), _) => return respond(&ending.into()),
            (Receive::GiveUp(state, ending), known) => {
                respond(&ending.into());
                let route = known.map(|known| known.route).unwrap_or_default();
                return self.record_unless_sent(state, ending.reason, &route).await;
            }
            (Receive::Attempt, known) => known,
        };
        let mut route = known.map(|record| record.route).unwrap_or_default();
        if may_have_been_tried {
            route.require_look_up();
        }
        let budget = context.config.inline_send_budget;
        if budget.is_zero() {
            // The route starts here, so that another delivery of this webhook follows the same one. Over SMTP there is
            // none.
            if !route.is_over_smtp(context.config.smtp.is_some()) {
                route.start(&order(&context.config.accounts, email), context.now());
            }
            let queued = self.queue(&route, Reason::AlwaysQueued, None).await;
            respond(&queued.ended);
            return queued.record(self, &route).await;
        }
        let doubt_before = route.doubt().cloned();
        let route = RefCell::new(route);
        let attempt = Attempt {
            context,
            email,
            content: self.content,
            is_queued: false,
        };
        let left = context.started.plus(budget).since(context.now());
        let attempt = pin!(attempt.run(&route));
        let verdict = match select(attempt, pin!(context.ports.sleep(left))).await {
            Either::Left((verdict, _)) => verdict,
            Either::Right(((), attempt)) => {
                // The mail goes into the queue, and the send goes on, because aborting it could make a second mail.
                // The consumer's attempt gets 409 while the send is in flight, and its outcome afterwards.
                let so_far = route.borrow().clone();
                let over_smtp = so_far.is_over_smtp(context.config.smtp.is_some());
                let queued = self.queue_late(&so_far, over_smtp).await;
                respond(&queued.ended);
                queued.record(self, &so_far).await;
                // Over SMTP the connection is broken off before the final dot, so that this attempt certainly sends
                // nothing.
                if over_smtp && so_far.doubt() == doubt_before.as_ref() {
                    return;
                }
                let verdict = attempt.await;
                let so_far = route.borrow().clone();
                return self.finish(verdict, &so_far).await;
            }
        };
        let route = route.borrow().clone();
        self.conclude(verdict, &route, respond).await;
    }

    /// Queues the mail when the budget ends before its attempt does.
    async fn queue_late(&self, route: &Route, over_smtp: bool) -> Queued {
        let (reason, wait) = match over_smtp {
            true => {
                let in_doubt = route.doubt().map(|_| RECONCILING_TIME);
                (Reason::SmtpTimeout, in_doubt)
            }
            false => (Reason::NylasTimeout, None),
        };
        self.queue(route, reason, wait).await
    }

    /// Reads what is known of the mail and its recipient, in one operation of the ledger, and decides.
    async fn gather(&self) -> (Receive, Option<MailRecord>) {
        let (context, email) = (self.context, self.email);
        let (ledger, recipient) = (&context.ledger, context.recipient(&email.to));
        let first = order(&context.config.accounts, email).into_iter().next();
        let account = first.and_then(|first| context.config.account(first));
        let guarded = first.filter(|_| context.config.hears_nylas());
        let unknown = account.filter(|account| must_be_looked_up(context, account));
        let unknown = unknown.map(|account| &account.grant_id);
        ledger
            .read_mail_ahead(email, &recipient, guarded, unknown)
            .await;
        // A ledger that cannot be read must not stop a mail: Nylas' idempotency still holds.
        let known = ledger.mail(&email.svix_id).await.ok().flatten();
        let facts = Received {
            email,
            now: context.now(),
            known: known.as_ref(),
            is_suppressed: ledger.is_suppressed(&recipient).await == Ok(true),
            is_held_back: match guarded {
                Some(account) => {
                    context
                        .is_held_back(account, &email.svix_id, &recipient)
                        .await
                }
                None => false,
            },
        };
        (decide::receive(&facts), known)
    }

    /// The attempt ended within the budget: answers, and records the outcome.
    async fn conclude(&self, verdict: Verdict, route: &Route, respond: impl FnOnce(&Ended)) {
        let failed_over = decide::failed_over(&verdict, route);
        let last_tried = route.current().map(|hop| hop.account.clone());
        match verdict {
            Verdict::Sent { account, mail } => {
                self.sent(account, mail, route, failed_over, respond).await;
            }
            Verdict::Rejected { reason } => {
                let ending = Ending::rejected(reason);
                respond(&Ended {
                    account: last_tried,
                    ..ending.into()
                });
                record(self.context, self.email, MailState::Rejected, reason, route).await;
            }
            Verdict::Retry { reason, wait } => {
                let queued = self.queue(route, reason, wait).await;
                respond(&Ended {
                    account: last_tried,
                    ..queued.ended.clone()
                });
                queued.record(self, route).await;
            }
        }
    }

    /// Nylas accepted the mail.
    async fn sent(
        &self,
        account: GrantId,
        mail: SentMail,
        route: &Route,
        failed_over: bool,
        respond: impl FnOnce(&Ended),
    ) {
        let accepted = self.accepted(&account, mail, route);
        let sent = |ending: Ending| Ended {
            account: Some(account.clone()),
            ..ending.into()
        };
        if !accepted.may_fail_later(self.context) {
            // The answer need not wait for the record. Without it, another delivery of the webhook sends under the same
            // key, which is safe.
            respond(&sent(Ending::sent(Reason::AcceptedByNylas, failed_over)));
            let _ = record_sent(self.context, &accepted).await;
            return;
        }
        // Nylas may still fail to send the mail, so its content has to be durable before the answer. If the ledger
        // refuses it, the queue keeps it: the consumer sends under the same key, and then stores it.
        let is_durable = record_sent(self.context, &accepted).await.is_ok()
            || enqueue_mail(
                self.context,
                self.email,
                self.content,
                route,
                RECORD_RETRY_IN,
            )
            .await
            .is_ok();
        let ending = if is_durable {
            Ending::sent(Reason::AcceptedByNylas, failed_over)
        } else {
            let ending = Ending::sent(Reason::SentButNotRecorded, failed_over);
            Ending {
                outcome: Outcome::Retry,
                ..ending
            }
        };
        respond(&sent(ending));
    }

    fn accepted<'b>(
        &'b self,
        account: &'b GrantId,
        mail: SentMail,
        route: &'b Route,
    ) -> Accepted<'b> {
        Accepted {
            email: self.email,
            content: self.content,
            account,
            mail,
            route,
            attempt: 1,
        }
    }

    /// The attempt ended after the answer. The mail is in the queue, or Clerk was asked to send it again. A success is
    /// recorded, so that the next attempt has nothing left to do.
    async fn finish(&self, verdict: Verdict, route: &Route) {
        let context = self.context;
        let (ending, account) = match verdict {
            Verdict::Sent { account, mail } => {
                let accepted = self.accepted(&account, mail, route);
                // Safe to lose: under the same key the next attempt gets the same outcome.
                let _ = record_sent(context, &accepted).await;
                (
                    Ending::quiet(Outcome::Sent, Reason::AcceptedAfterTheAnswer),
                    Some(account),
                )
            }
            // What follows is for the next attempt to decide. Nylas replays a refusal under the same key.
            Verdict::Rejected { reason } | Verdict::Retry { reason, .. } => {
                let last_tried = route.current().map(|hop| hop.account.clone());
                (Ending::quiet(Outcome::Retry, reason), last_tried)
            }
        };
        context.report(&context.complete(Record {
            svix_id: Some(self.email.svix_id.clone()),
            slug: self.email.slug.clone(),
            account,
            age_ms: Some(millis(self.email.age(context.now()))),
            ..Record::new(Event::ClerkWebhook, ending.outcome, ending.reason)
        }));
    }

    /// Records the state, unless another delivery of the same webhook has sent the mail meanwhile. Safe to lose.
    async fn record_unless_sent(&self, state: MailState, reason: Reason, route: &Route) {
        let record = unsent(self.context, self.email, state, reason, route);
        self.put_unless_sent(record).await;
    }

    async fn put_unless_sent(&self, record: MailRecord) {
        let (ledger, id) = (&self.context.ledger, &self.email.svix_id);
        let known = ledger.mail(id).await.ok().flatten();
        if known.is_none_or(|known| known.state.may_become(record.state, false)) {
            let _ = ledger.put_mail(id, &record).await;
        }
    }

    /// Puts the mail into the queue. If that fails, the answer will ask Clerk to send it again. `wait`: the least
    /// delay.
    async fn queue(&self, route: &Route, reason: Reason, wait: Option<Duration>) -> Queued {
        let (context, email) = (self.context, self.email);
        let is_untried = reason == Reason::AlwaysQueued;
        let delay = if is_untried {
            Duration::ZERO
        } else {
            retry_delay(email, context.now(), wait, context.ports.random())
        };
        let account = route.current().map(|hop| hop.account.clone());
        let name = name_of_oldest(context, delay);
        let is_named = name.is_some();
        let enqueued = enqueue_named(context, email, self.content, route, delay, is_named);
        let (name, enqueued) = match name.filter(|_| is_untried) {
            // Without a delay the consumer may have it at once, and removes the name. One that came later would stay.
            Some(name) => {
                let named = name_oldest(context, email, name);
                let ((), enqueued) = join(named, enqueued).await;
                if enqueued.is_err() {
                    let _ = context.ledger.forget_oldest_queued().await;
                }
                (None, enqueued)
            }
            None => (name, enqueued.await),
        };
        let (state, ending) = match enqueued {
            // Clerk has to keep it, because the queue may not deliver it in time. It is in the queue all the same: the
            // consumer that gets it knows that the queue moves again.
            Ok(()) if stands_still(context) => {
                let ending = Ending::warning(Outcome::Retry, Reason::QueueStandsStill);
                (MailState::Waiting, ending)
            }
            Ok(()) if is_untried => (MailState::Queued, Ending::quiet(Outcome::Queued, reason)),
            Ok(()) => (MailState::Queued, Ending::warning(Outcome::Queued, reason)),
            Err(_) => (MailState::Waiting, Ending::warning(Outcome::Retry, reason)),
        };
        Queued {
            state,
            name: name.filter(|_| enqueued.is_ok()),
            ended: Ended {
                account,
                retry_in: enqueued.is_ok().then_some(delay),
                ending,
            },
        }
    }
}

/// A mail that is in the queue, or that Clerk was asked to send again.
struct Queued {
    state: MailState,
    /// Its name, if it is yet to be named as the oldest mail in the queue.
    name: Option<Name>,
    ended: Ended,
}

impl Queued {
    /// Records that. Another delivery of the webhook then finds the mail in the queue and does nothing, or continues
    /// its route; and an older code to the same recipient is not sent. Safe to lose.
    async fn record<P: Ports>(self, mail: &Mail<'_, '_, P>, route: &Route) {
        let (context, email) = (mail.context, mail.email);
        let (now, reason) = (context.now(), self.ended.ending.reason);
        let record = MailRecord {
            attempts: 1,
            retry_at: self.ended.retry_in.map(|delay| now.plus(delay)),
            ..unsent(context, email, self.state, reason, route)
        };
        mail.put_unless_sent(record).await;
        if let Some(name) = self.name {
            name_oldest(context, email, name).await;
        }
        let codes = context.codes(email);
        if let Some(codes) = codes.filter(|_| self.state == MailState::Queued) {
            let _ = context.ledger.put_newest_queued(&codes, email).await;
        }
    }
}
