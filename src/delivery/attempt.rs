//! One attempt at one mail.
//!
//! The rule is about leaving a hop of the route (see [`Route`]):
//!
//! 1. After an ambiguous outcome (timeout, lost connection, 5xx) the mail stays: same hop, same key, again.
//! 2. After a refusal that Nylas *replays* it leaves: whoever asks again gets the same, so the hop is dead.
//! 3. After a refusal of the account that is not replayed it leaves for another account, once the mailbox says that it
//!    does not hold the mail. Every mail asks its first account anew: if a memory of which account is down decided, two
//!    attempts that remember differently would send to two accounts.
//! 4. After a replayed *ambiguous* answer, or a key used with other bytes, the mailbox is asked what became of the mail
//!    (reconciling). Found means sent. Not found leaves, if it is still not found [`RECONCILING_TAKES`] after the
//!    answer was first seen.
//!
//! And before an attempt that may come after Nylas forgot the key, every mailbox is asked first.

use super::identity::identity;
use crate::{
    context::Context,
    model::{
        account::{Account, AccountFault, Identity},
        alert::AlertKind,
        id::GrantId,
        log::{Level, Record},
        mail::{Content, Email},
        outcome::{Event, Outcome, Reason},
        route::{Hop, KEY_TRUSTED_FOR, Route, order},
        time::MINUTE,
    },
    nylas::{
        mailbox::{FindOutcome, IdentityOutcome},
        send::{SendAnswer, SendOutcome, SentMail},
    },
    ports::Ports,
};
use std::{cell::RefCell, time::Duration};

/// A mailbox that does not show a mail this long after an ambiguous answer is taken not to have it. Until then the send
/// may still be going on behind the answer.
pub const RECONCILING_TAKES: Duration = Duration::from_secs(20);

/// The same, where there was no answer at all: a send may go on for as long as Nylas works on one, which is two minutes
/// at most.
pub const RECONCILING_IN_SILENCE_TAKES: Duration = Duration::from_secs(150);

/// A mail this old that is still only throttled tries another account.
pub const THROTTLING_TOLERATED: Duration = MINUTE;

/// While the same key is in flight elsewhere.
const IN_FLIGHT_WAIT: Duration = Duration::from_secs(3);

/// Hops left in one attempt. Bounds the requests of an attempt to Nylas.
const STEPS_MAX: u32 = 6;

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nylas has the mail.
    Sent { account: GrantId, mail: SentMail },
    /// Not now; the same again later.
    Retry {
        reason: Reason,
        /// Not before.
        wait: Option<Duration>,
    },
    /// Never.
    Rejected { reason: Reason },
}

impl Verdict {
    fn retry(reason: Reason) -> Self {
        Self::Retry { reason, wait: None }
    }
}

/// One attempt at one mail.
pub struct Attempt<'a, 'c, P> {
    pub context: &'a Context<'c, P>,
    pub email: &'a Email,
    pub content: &'a Content,
}

/// What follows from the outcome at one hop.
enum Next {
    End(Verdict),
    /// Leave the hop: it is proven not to hold the mail.
    Leave,
    /// The same, because of the account. If there is no other account, the mail stays.
    LeaveAccount(Reason),
    /// The same, but the hop is dead: the mail cannot stay.
    LeaveDeadAccount,
    /// Stay until the mailbox shows what became of the mail.
    Reconcile(Reason, Duration),
}

impl<P: Ports> Attempt<'_, '_, P> {
    /// Tries to send the mail, following its route as far as the rule allows. The route always shows where the mail is,
    /// also to somebody who looks while this waits.
    pub async fn run(&self, route: &RefCell<Route>) -> Verdict {
        let verdict = self.follow(route).await;
        // `message.send_failed` can arrive before the send is recorded.
        if let Verdict::Sent { mail, .. } = &verdict
            && let Some(message_id) = &mail.message_id
            && mail.is_queued
            && self.context.config.hears_nylas()
            && self.context.ledger.has_failed(message_id).await == Ok(true)
        {
            let order = order(&self.context.config.accounts, &self.email.to);
            route.borrow_mut().fail(Some(message_id), &order);
            return Verdict::retry(Reason::NylasCouldNotSendIt);
        }
        verdict
    }

    async fn follow(&self, route: &RefCell<Route>) -> Verdict {
        let order = order(&self.context.config.accounts, &self.email.to);
        route.borrow_mut().remember_accounts(&order);
        let before = route.borrow().clone();
        if let Some(verdict) = self.look_up_if_in_doubt(&before).await {
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
            let mut route = route.borrow_mut();
            let advanced = match next {
                Next::End(verdict) => return verdict,
                Next::Leave => route.advance(&order) || route.advance_anywhere(&order),
                Next::LeaveDeadAccount => {
                    route.leave_account(&order) || route.advance_anywhere(&order)
                }
                Next::LeaveAccount(reason) => {
                    if !route.leave_account(&order) {
                        return Verdict::retry(reason);
                    }
                    true
                }
                Next::Reconcile(reason, takes) => {
                    route.reconcile_from(self.context.now());
                    return Verdict::Retry {
                        reason,
                        wait: Some(takes),
                    };
                }
            };
            if !advanced {
                return Verdict::retry(Reason::NoSlotLeft);
            }
        }
        Verdict::retry(Reason::OutOfSteps)
    }

    /// Asks every mailbox that may hold the mail, when its keys may be forgotten or another attempt may have got
    /// further along the route than this one knows.
    async fn look_up_if_in_doubt(&self, route: &Route) -> Option<Verdict> {
        let keys_may_be_forgotten = self.email.age(self.context.now()) >= KEY_TRUSTED_FOR;
        let may_be_elsewhere = route.must_look_up() && self.mailboxes(route).len() > 1;
        if !keys_may_be_forgotten && !may_be_elsewhere {
            return None;
        }
        self.look_up(route).await
    }

    /// Every account that is or was configured for the mail.
    fn mailboxes<'b>(&'b self, route: &'b Route) -> Vec<&'b GrantId> {
        let mut accounts = order(&self.context.config.accounts, &self.email.to);
        for account in route.accounts() {
            if !accounts.contains(&account) {
                accounts.push(account);
            }
        }
        accounts
    }

    /// Looks for the mail in all of them.
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

    /// Tries one hop: sends, or asks what became of the mail.
    async fn try_hop(&self, hop: &Hop, route: &Route) -> Next {
        let Some(account) = self.context.config.account(&hop.account) else {
            // The account was removed from the configuration while the mail was under way: only ask. Ask every mailbox,
            // because where the route was lost an attempt may have got further than it says.
            let is_reconciled = self.is_reconciled(hop, RECONCILING_IN_SILENCE_TAKES);
            return match self.look_up(route).await {
                Some(sent @ Verdict::Sent { .. }) => Next::End(sent),
                None if is_reconciled => Next::Leave,
                _ => Next::Reconcile(Reason::AccountRemoved, RECONCILING_IN_SILENCE_TAKES),
            };
        };
        let identity = match identity(self.context, account).await {
            IdentityOutcome::Known(identity) => identity,
            IdentityOutcome::AccountAtFault(fault) => {
                return self.account_fault(hop, fault, route).await;
            }
            IdentityOutcome::Unknown => {
                return Next::End(Verdict::retry(Reason::AccountAddressUnknown));
            }
        };
        // Asking for the address may have used up the time.
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
            // Nylas accepted the mail here, and reported since that it could not send it.
            (SendOutcome::Sent(mail), true) if route.has_failed(mail.message_id.as_deref()) => {
                Next::Leave
            }
            (SendOutcome::Sent(mail), _) => self.sent(hop, mail),
            (SendOutcome::InFlight, _) => Next::End(Verdict::Retry {
                reason,
                wait: Some(IN_FLIGHT_WAIT),
            }),
            (SendOutcome::Rejected { .. } | SendOutcome::Throttled { .. }, true) => Next::Leave,
            (SendOutcome::AccountAtFault(_), true) => Next::LeaveDeadAccount,
            (SendOutcome::Rejected { reason }, false) => Next::End(Verdict::Rejected { reason }),
            (SendOutcome::Throttled { retry_after }, false) => {
                let patience_is_over = self.email.age(self.context.now()) >= THROTTLING_TOLERATED;
                if !patience_is_over || self.context.config.accounts.len() < 2 {
                    return Next::End(Verdict::Retry {
                        reason,
                        wait: retry_after,
                    });
                }
                // This does not count as the account's fault: an attempt that sees the same 429 replayed must take the
                // same route.
                match self.find(hop, route).await {
                    FindOutcome::Found(mail) => self.sent(hop, mail),
                    FindOutcome::NotFound | FindOutcome::Refused => Next::Leave,
                    FindOutcome::Unknown => Next::End(Verdict::retry(reason)),
                }
            }
            (SendOutcome::AccountAtFault(fault), false) => {
                self.account_fault(hop, fault, route).await
            }
            (SendOutcome::Ambiguous { .. }, false) => Next::End(Verdict::retry(reason)),
            (SendOutcome::Ambiguous { .. }, true) | (SendOutcome::KeyConflict, _) => {
                let is_reconciled = self.is_reconciled(hop, RECONCILING_TAKES);
                match self.find(hop, route).await {
                    FindOutcome::Found(mail) => self.sent(hop, mail),
                    FindOutcome::NotFound if is_reconciled => Next::Leave,
                    _ => Next::Reconcile(reason, RECONCILING_TAKES),
                }
            }
        }
    }

    /// Asks the hop's mailbox whether it holds the mail.
    async fn find(&self, hop: &Hop, route: &Route) -> FindOutcome {
        let nylas = &self.context.nylas;
        nylas.find(&hop.account, self.email, route).await
    }

    /// Notes that Clerk's sender name is not the account's: it does not decide what users see, and whoever set it may
    /// think that it does. The operator hears of it after the mail is out.
    fn compare_names(&self, account: &Account, identity: &Identity) {
        let wanted = self.email.from_local_part.as_deref().unwrap_or_default();
        let has = identity.email.split('@').next().unwrap_or_default();
        if !wanted.is_empty() && !wanted.eq_ignore_ascii_case(has) {
            self.context.note_sender_name(&account.grant_id);
        }
    }

    fn is_reconciled(&self, hop: &Hop, takes: Duration) -> bool {
        hop.reconciling_since
            .is_some_and(|since| self.context.now().since(since) >= takes)
    }

    fn sent(&self, hop: &Hop, mail: SentMail) -> Next {
        Next::End(Verdict::Sent {
            account: hop.account.clone(),
            mail,
        })
    }

    /// The account refuses, not the mail: tell the operator once, and leave if the mailbox does not hold the mail.
    async fn account_fault(&self, hop: &Hop, fault: AccountFault, route: &Route) -> Next {
        let known = self.context.ledger.is_down(&hop.account).await;
        if !known {
            let marked = self.context.ledger.mark_down(&hop.account, fault).await;
            let outcome = if marked.is_ok() {
                Outcome::MarkedDown
            } else {
                Outcome::Down
            };
            self.context.report(
                &Record {
                    level: Level::Error,
                    svix_id: Some(self.email.svix_id.clone()),
                    account: Some(hop.account.clone()),
                    alert: Some(AlertKind::AccountDown),
                    ..Record::new(Event::AccountDown, outcome, fault.reason())
                }
                .with_answer(self.context.nylas.last()),
            );
        }
        if self.context.config.accounts.len() < 2 {
            // Nowhere else to go.
            return Next::End(Verdict::retry(fault.reason()));
        }
        match self.find(hop, route).await {
            FindOutcome::Found(mail) => self.sent(hop, mail),
            FindOutcome::NotFound | FindOutcome::Refused => Next::LeaveAccount(fault.reason()),
            FindOutcome::Unknown => Next::End(Verdict::retry(fault.reason())),
        }
    }
}
