//! One attempt at one mail.
//!
//! The rule says when a mail leaves a hop of its route (see [`Route`]). The numbers are those of `docs/delivery.md`:
//!
//! 1. After an ambiguous outcome (timeout, lost connection, 5xx) the mail stays. The next attempt uses the same hop,
//!    and so the same key.
//! 2. After a refusal that Nylas *replays* the mail leaves. Every attempt would get the same answer, so the hop is
//!    dead. Throttling goes on at the same account, because all accounts share the rate.
//! 3. After a refusal of the account that is not replayed the mail leaves for another account, once the mailbox shows
//!    that it does not hold the mail. Every mail tries its first account anew. If a memory of which account is down
//!    decided, two attempts that remember differently would send from two accounts.
//! 4. After a replayed *ambiguous* answer, or where the key was used with other bytes, the mail is reconciled: it is
//!    looked up in the mailbox. If it is found, it was sent. It leaves if it is still not found [`RECONCILING_TIME`]
//!    after the answer was first seen.
//! 5. An attempt that may come after Nylas forgot the key looks the mail up in every mailbox before it sends.
//! 6. So does an attempt where an earlier one may be unrecorded.

use super::identity::identity;
use crate::{
    context::Context,
    model::{
        account::{Account, AccountFault, Identity},
        id::GrantId,
        mail::{Content, Email},
        outcome::Reason,
        route::{Hop, KEY_TRUSTED_FOR, Route, order},
        time::{HOUR, UnixMillis},
    },
    nylas::{
        mailbox::{FindOutcome, IdentityOutcome},
        send::{SendAnswer, SendOutcome, SentMail, has_strangers_reply_to},
    },
    ports::Ports,
};
use futures_util::FutureExt;
use std::{cell::RefCell, time::Duration};

// What few mails need is boxed (`boxed_local`), so that it is code of its own: an instance's first mail waits for the
// compilation of whole functions.

/// How long a mail is looked up after an ambiguous answer. Nylas may still accept it after that answer, and a mailbox
/// shows a mail only a moment after it was accepted. A mail that is not found by then was not sent.
pub const RECONCILING_TIME: Duration = Duration::from_secs(20);

/// The same, where there was no answer at all: Nylas works on a send for two minutes at most.
pub const RECONCILING_TIME_WITHOUT_ANSWER: Duration = Duration::from_secs(150);

/// The delay while another request with the same key is in flight.
const IN_FLIGHT_WAIT: Duration = Duration::from_secs(3);

/// How many hops one attempt may try. It bounds the requests of an attempt to Nylas.
const STEPS_MAX: u32 = 6;

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nylas accepted the mail, now or at an earlier attempt.
    Sent { account: GrantId, mail: SentMail },
    /// The mail is not known to be sent. It needs another attempt.
    Retry {
        reason: Reason,
        /// The least delay before that.
        wait: Option<Duration>,
    },
    /// Nylas refused the mail for good, or an account's guard holds it back.
    Rejected { reason: Reason },
}

impl Verdict {
    pub(super) fn retry(reason: Reason) -> Self {
        Self::Retry { reason, wait: None }
    }

    /// No account sends it now. A mail that outlives a used-up quota need not ask before that begins anew, but once an
    /// hour, because a larger plan helps at once. One that does not outlive it goes on trying.
    pub(super) fn wait_for(fault: AccountFault, email: &Email, now: UnixMillis) -> Self {
        let reset = fault.reset(now).filter(|reset| !email.is_expired(*reset));
        Self::Retry {
            reason: fault.reason(),
            wait: reset.map(|reset| reset.since(now).min(HOUR)),
        }
    }
}

/// One attempt at one mail.
pub struct Attempt<'a, 'c, P> {
    pub context: &'a Context<'c, P>,
    pub email: &'a Email,
    pub content: &'a Content,
    /// Whether the mail comes out of the queue. Over SMTP it is then looked up before it is sent.
    pub is_queued: bool,
}

/// What follows from the outcome at one hop.
pub(super) enum Next {
    /// The attempt ends. The mail stays at the hop.
    End(Verdict),
    /// Leave the hop: it is proven that the mail was not sent there.
    Leave,
    /// Leave the hop for the account's next generation: it refuses for the time being, as every account would, and the
    /// refusal is replayed; or what the next one sends is not what it refuses.
    LeaveKey,
    /// Leave the hop because its account is at fault. Without another account the mail stays.
    LeaveAccount(AccountFault),
    /// Leave the hop because its account is at fault. The refusal is replayed, so the mail cannot stay.
    LeaveDeadAccount,
    /// Stay, and look the mail up again after the delay.
    Reconcile(Reason, Duration),
}

impl<P: Ports> Attempt<'_, '_, P> {
    /// Tries to send the mail, and follows its route as far as the rule allows.
    ///
    /// `route` is always up to date: the caller may read it, and queue the mail with it, while the attempt is waiting
    /// for Nylas. Where the guard of the next account holds the mail back, it ends there.
    pub async fn run(&self, route: &RefCell<Route>) -> Verdict {
        let goes_over_smtp = route
            .borrow()
            .is_over_smtp(self.context.config.smtp.is_some());
        let verdict = match goes_over_smtp {
            true => self.over_smtp(route).boxed_local().await,
            false => self.follow(route).await,
        };
        // Nylas accepted the mail but may have failed to send it since: `message.send_failed` can arrive before the
        // send is recorded.
        if let Verdict::Sent { mail, .. } = &verdict
            && let Some(message_id) = &mail.message_id
            && mail.is_queued
            && self.context.config.hears_nylas()
            && self.context.ledger.has_failed(message_id).await == Ok(true)
        {
            let order = order(&self.context.config.accounts, self.email);
            route.borrow_mut().fail(Some(message_id), &order);
            return Verdict::retry(Reason::NylasCouldNotSendIt);
        }
        verdict
    }

    async fn follow(&self, route: &RefCell<Route>) -> Verdict {
        let order = order(&self.context.config.accounts, self.email);
        route.borrow_mut().remember_accounts(&order);
        let before = route.borrow().clone();
        if let Some(verdict) = self.look_up_first(&before).await {
            return verdict;
        }
        {
            let mut route = route.borrow_mut();
            route.looked_up();
            route.start(&order, self.context.now());
        }
        for _ in 0..STEPS_MAX {
            let so_far = route.borrow().clone();
            let Some(hop) = so_far.current() else {
                return Verdict::retry(Reason::NoAccount);
            };
            // The requests so far may have used up the time.
            if !self.context.nylas.has_time() || self.email.is_expired(self.context.now()) {
                return Verdict::retry(Reason::OutOfTime);
            }
            let next = self.try_hop(hop, &so_far).await;
            let mut then = so_far;
            let advanced = match next {
                Next::End(verdict) => return verdict,
                Next::Leave => then.advance(&order) || then.advance_anywhere(&order),
                Next::LeaveKey => then.advance_generation() || then.advance(&order),
                Next::LeaveDeadAccount => {
                    then.leave_account(&order) || then.advance_anywhere(&order)
                }
                Next::LeaveAccount(fault) => {
                    if !then.leave_account(&order) {
                        return Verdict::wait_for(fault, self.email, self.context.now());
                    }
                    true
                }
                Next::Reconcile(reason, delay) => {
                    route.borrow_mut().reconcile_from(self.context.now());
                    return Verdict::Retry {
                        reason,
                        wait: Some(delay),
                    };
                }
            };
            if !advanced {
                return Verdict::retry(Reason::NoHopLeft);
            }
            if self.is_held_back(route, &then).await {
                return Verdict::Rejected {
                    reason: Reason::HeldBackByGuard,
                };
            }
            *route.borrow_mut() = then;
        }
        Verdict::retry(Reason::OutOfSteps)
    }

    /// Whether the guard of the account that the mail would go on to holds it back. The route is left as it was, so
    /// that every later attempt asks, too.
    async fn is_held_back(&self, route: &RefCell<Route>, then: &Route) -> bool {
        let Some(next) = then.current() else {
            return false;
        };
        let leaves = route
            .borrow()
            .current()
            .is_none_or(|hop| hop.account != next.account);
        if !leaves {
            return false;
        }
        let recipient = self.context.recipient(&self.email.to);
        self.context
            .is_held_back(&next.account, &self.email.svix_id, &recipient)
            .await
    }

    /// Looks the mail up before any send, where rule 5 or 6 asks for it.
    ///
    /// Rule 6 needs two mailboxes: with one account, the key alone prevents a second mail.
    async fn look_up_first(&self, route: &Route) -> Option<Verdict> {
        let keys_may_be_forgotten = self.email.age(self.context.now()) >= KEY_TRUSTED_FOR;
        let may_be_elsewhere = route.must_look_up() && self.mailboxes(route).len() > 1;
        if !keys_may_be_forgotten && !may_be_elsewhere {
            return None;
        }
        self.look_up(route).boxed_local().await
    }

    /// Every account that may hold the mail: those configured now, and those when the mail came.
    pub(super) fn mailboxes<'b>(&'b self, route: &'b Route) -> Vec<&'b GrantId> {
        let mut accounts = order(&self.context.config.accounts, self.email);
        for account in route.accounts() {
            if !accounts.contains(&account) {
                accounts.push(account);
            }
        }
        accounts
    }

    /// Looks the mail up in every mailbox that may hold it. `None`: none of them does.
    async fn look_up(&self, route: &Route) -> Option<Verdict> {
        for account in self.mailboxes(route) {
            match self.context.nylas.find(account, self.email, route).await {
                FindOutcome::Found(mail) => {
                    return Some(Verdict::Sent {
                        account: account.clone(),
                        mail,
                    });
                }
                FindOutcome::NotFound | FindOutcome::Refused => {}
                FindOutcome::Unknown => return Some(Verdict::retry(Reason::MailboxNotAnswering)),
            }
        }
        None
    }

    /// Tries one hop: sends there, or looks the mail up where the account was removed.
    async fn try_hop(&self, hop: &Hop, route: &Route) -> Next {
        let Some(account) = self.context.config.account(&hop.account) else {
            // The account was removed from the configuration while the mail was under way. Nothing can be sent there,
            // so look the mail up: in every mailbox, because an attempt whose route was lost may have gone on.
            let is_reconciled = self.is_reconciled(hop, RECONCILING_TIME_WITHOUT_ANSWER);
            return match self.look_up(route).boxed_local().await {
                Some(sent @ Verdict::Sent { .. }) => Next::End(sent),
                None if is_reconciled => Next::Leave,
                _ => Next::Reconcile(Reason::AccountRemoved, RECONCILING_TIME_WITHOUT_ANSWER),
            };
        };
        let identity = match identity(self.context, account).await {
            IdentityOutcome::Known(identity) => identity,
            IdentityOutcome::AccountAtFault(fault) => {
                return self.account_fault(hop, fault, route).boxed_local().await;
            }
            IdentityOutcome::Unknown => {
                return Next::End(Verdict::retry(Reason::AccountAddressUnknown));
            }
        };
        // Reading the address may have used up the time.
        if !self.context.nylas.has_time() {
            return Next::End(Verdict::retry(Reason::OutOfTime));
        }
        self.compare_names(account, &identity);
        let nylas = &self.context.nylas;
        let answer = nylas
            .send(
                &hop.account,
                &identity,
                self.email,
                self.content,
                hop.generation,
            )
            .await;
        self.after_send(hop, route, answer).await
    }

    /// What follows from the answer to a send.
    async fn after_send(&self, hop: &Hop, route: &Route, answer: SendAnswer) -> Next {
        let reason = answer.outcome.reason();
        match (answer.outcome, answer.replayed) {
            // Nylas accepted the mail at this hop, and has since reported that it could not send it.
            (SendOutcome::Sent(mail), true) if route.has_failed(mail.message_id.as_deref()) => {
                Next::Leave
            }
            (SendOutcome::Sent(mail), _) => self.sent(hop, mail),
            (SendOutcome::InFlight, _) => Next::End(Verdict::Retry {
                reason,
                wait: Some(IN_FLIGHT_WAIT),
            }),
            (SendOutcome::Rejected { .. }, true) => Next::Leave,
            (SendOutcome::Rejected { .. }, false)
                if has_strangers_reply_to(self.email, hop.generation) =>
            {
                Next::LeaveKey
            }
            (SendOutcome::Throttled { .. }, true) => Next::LeaveKey,
            (SendOutcome::AccountAtFault(_), true) => Next::LeaveDeadAccount,
            (SendOutcome::Rejected { reason }, false) => Next::End(Verdict::Rejected { reason }),
            // The rate is the organization's: another account would be throttled, too.
            (SendOutcome::Throttled { retry_after }, false) => Next::End(Verdict::Retry {
                reason,
                wait: retry_after,
            }),
            (SendOutcome::AccountAtFault(AccountFault::Forbidden), false) => {
                self.forbidden(hop, route).boxed_local().await
            }
            (SendOutcome::AccountAtFault(fault), false) => {
                self.account_fault(hop, fault, route).boxed_local().await
            }
            (SendOutcome::Ambiguous { .. }, false) => Next::End(Verdict::retry(reason)),
            (SendOutcome::Ambiguous { .. }, true) | (SendOutcome::KeyConflict, _) => {
                self.reconcile(hop, route, reason).boxed_local().await
            }
        }
    }

    /// Looks for the mail after an ambiguous answer.
    async fn reconcile(&self, hop: &Hop, route: &Route, reason: Reason) -> Next {
        let is_reconciled = self.is_reconciled(hop, RECONCILING_TIME);
        match self.find(hop, route).await {
            FindOutcome::Found(mail) => self.sent(hop, mail),
            FindOutcome::NotFound if is_reconciled => Next::Leave,
            _ => Next::Reconcile(reason, RECONCILING_TIME),
        }
    }

    /// Whether more than one account may send the mail.
    pub(super) fn has_other_account(&self) -> bool {
        order(&self.context.config.accounts, self.email).len() > 1
    }

    /// Looks the mail up in the hop's mailbox.
    pub(super) async fn find(&self, hop: &Hop, route: &Route) -> FindOutcome {
        let nylas = &self.context.nylas;
        nylas.find(&hop.account, self.email, route).await
    }

    /// Notes a sender name in Clerk's settings that is not the account's. Users see the account's, and whoever set
    /// Clerk's may not know that. It is reported after the send.
    pub(super) fn compare_names(&self, account: &Account, identity: &Identity) {
        let wanted = self.email.from_local_part.as_deref().unwrap_or_default();
        let has = identity.email.split('@').next().unwrap_or_default();
        let is_other = !wanted.is_empty() && !wanted.eq_ignore_ascii_case(has);
        // A sample does not know what is set in Clerk.
        if is_other && !self.email.svix_id.is_sample() {
            self.context.note_sender_name(&account.grant_id);
        }
    }

    /// Whether the mail has been looked up at this hop for long enough.
    fn is_reconciled(&self, hop: &Hop, needed: Duration) -> bool {
        hop.reconciling_since
            .is_some_and(|since| self.context.now().since(since) >= needed)
    }

    pub(super) fn sent(&self, hop: &Hop, mail: SentMail) -> Next {
        Next::End(Verdict::Sent {
            account: hop.account.clone(),
            mail,
        })
    }
}
