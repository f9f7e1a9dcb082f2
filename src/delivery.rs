//! The heart: one mail, exactly once, whatever fails in between. `docs/delivery.md` has the argument.
//!
//! A **slot** is an account and a generation; each has its own idempotency key at Nylas, so any
//! number of sends in one slot within an hour are one mail. A mail's slots come in a fixed order:
//! every account at generation 0, in an order of its own for every recipient, then every account at
//! generation 1, and so on. The **trail** is the slots tried so far; its last one is where the mail
//! is now. The rule is about leaving a slot:
//!
//! 1. An ambiguous outcome (timeout, lost connection, 5xx) never leaves: same slot, same key, again.
//! 2. A refusal that Nylas *replays* leaves: whoever asks again gets the same, so the slot is dead.
//! 3. A refusal of the account that is not replayed leaves for another account, after asking the
//!    mailbox whether it holds the mail. Every mail asks its first account anew: a memory of which
//!    account is down would send two attempts that remember differently to two accounts.
//! 4. A replayed *ambiguous* answer, or a key used with other bytes, is settled by asking the
//!    mailbox: found means sent; not found leaves, if it is still not found
//!    [`SETTLING_TAKES`] after the answer was first seen.
//!
//! And before a try that may come after Nylas forgot the key, every mailbox is asked first.

use crate::{
    clerk::{Content, Email},
    config::{Account, Config, GrantId},
    json::{FromJson, field, optional},
    ledger::Ledger,
    nylas::{AccountFault, FindOutcome, Identity, IdentityOutcome, Nylas, SendOutcome, SentMail},
    observe::{Event, Level, Record},
    ports::{Clock, Http, Log, Store},
    time::{DAY, MINUTE, UnixMillis},
};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Nylas keeps a key for an hour from its first use, which is never before the event. Five minutes
/// less: a request that starts in time ends in time.
pub const KEY_TRUSTED_FOR: Duration = MINUTE.saturating_mul(55);

/// A mailbox that does not show a mail this long after an ambiguous answer is believed not to have
/// it. Until then the send may still be going on behind the answer.
pub const SETTLING_TAKES: Duration = Duration::from_secs(20);

/// The same, where it was not an answer but silence: a send may go on behind it for as long as Nylas
/// works on one, which is two minutes at most.
pub const SETTLING_IN_SILENCE_TAKES: Duration = Duration::from_secs(150);

/// A mail this old that is still only throttled tries another account.
pub const THROTTLING_TOLERATED: Duration = MINUTE;

/// While the same key is in flight elsewhere.
const IN_FLIGHT_WAIT: Duration = Duration::from_secs(3);

/// Kept errors burn generations, one an attempt at most. When they are used up the last slot goes on:
/// after an hour its key is free again.
const GENERATIONS_MAX: u32 = 64;

/// Slots left in one attempt. Bounds the requests of an attempt to Nylas.
const STEPS_MAX: u32 = 6;

/// Nylas took a mail and said later that it could not send it.
pub const COULD_NOT_SEND: &str = "nylas_could_not_send_it";

/// One place a mail may be sent from, under one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Slot {
    pub account: GrantId,
    pub generation: u32,
    /// When Nylas was first seen to replay an ambiguous answer here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settling_since: Option<UnixMillis>,
    /// It was left because of its account: later generations of the account are the last resort.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub account_at_fault: bool,
}

impl FromJson for Slot {
    fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            account: field(value, "account")?,
            generation: field(value, "generation")?,
            settling_since: optional(value, "settling_since")?,
            account_at_fault: optional(value, "account_at_fault")?.unwrap_or_default(),
        })
    }
}

impl Slot {
    fn is_at(&self, account: &GrantId, generation: u32) -> bool {
        self.account == *account && self.generation == generation
    }
}

/// The slots a mail was tried in, oldest first. All but the last were left on proof that they do not
/// hold the mail. It travels with the queued mail, so that an attempt goes on where the one before
/// stood, even when the configuration changed in between.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Trail {
    slots: Vec<Slot>,
    /// The accounts configured when the mail came, in their order for it: two attempts that know
    /// nothing of each other go the same way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accounts: Vec<GrantId>,
    /// When it set out. Slots are dead for an hour at most.
    begun_at: UnixMillis,
    /// An earlier attempt may have got further than this trail says: ask every mailbox first.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ask_first: bool,
    /// What Nylas took and said later it could not send, by its message ids: whoever meets one of them
    /// has not met the mail.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<String>,
}

impl FromJson for Trail {
    fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            slots: field(value, "slots")?,
            accounts: optional(value, "accounts")?.unwrap_or_default(),
            begun_at: optional(value, "begun_at")?.unwrap_or_default(),
            ask_first: optional(value, "ask_first")?.unwrap_or_default(),
            failed: optional(value, "failed")?.unwrap_or_default(),
        })
    }
}

impl Trail {
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty() && !self.ask_first && self.failed.is_empty()
    }

    /// Leaves the current slot on Nylas' word that the message it took there will not be sent.
    pub fn fail(&mut self, message_id: Option<&str>, configured: &[&GrantId]) {
        self.failed.push(message_id.unwrap_or_default().to_owned());
        if !self.step(configured) {
            self.step_anywhere(configured);
        }
    }

    /// Whether this message is one that failed.
    pub fn has_failed(&self, message_id: Option<&str>) -> bool {
        let message_id = message_id.unwrap_or_default();
        self.failed.iter().any(|failed| failed == message_id)
    }

    /// Another attempt may have been made that this one knows nothing of.
    pub fn doubt(&mut self) {
        self.ask_first = true;
    }

    /// Where the mail is now.
    pub fn current(&self) -> Option<&Slot> {
        self.slots.last()
    }

    /// Whether the mail set out from another account.
    pub fn began_elsewhere(&self, account: &GrantId) -> bool {
        self.slots
            .first()
            .is_some_and(|slot| slot.account != *account)
    }

    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Every account the mail may be with.
    fn accounts(&self) -> impl Iterator<Item = &GrantId> {
        self.accounts.iter()
    }

    /// Remembers the accounts the mail came to, unless it does: those are asked when in doubt, whatever
    /// is configured by then.
    fn know(&mut self, order: &[&GrantId]) {
        if self.accounts.is_empty() {
            self.accounts = order.iter().map(|account| (*account).clone()).collect();
        }
    }

    /// Sets out in this order, unless it has: from then on it is fixed where the mail goes.
    ///
    /// From when its keys may be forgotten it sets out anew each time, as an attempt that knows nothing of it
    /// would: what is still kept at Nylas leads both the same way.
    pub fn begin(&mut self, order: &[&GrantId], now: UnixMillis) {
        let mut begun_at = now;
        if !self.slots.is_empty() && now.since(self.begun_at) >= KEY_TRUSTED_FOR {
            begun_at = self.begun_at;
            *self = Self {
                failed: std::mem::take(&mut self.failed),
                ..Self::default()
            };
        }
        if self.slots.is_empty() {
            self.know(order);
            self.begun_at = begun_at;
            self.step(order);
        }
    }

    /// Leaves the current slot for the next: the first that was not tried, of an account that was not
    /// at fault; of the accounts it set out with, and of those `configured` since only when none of them
    /// is configured any more. So the way depends on nothing but what was met on it, and two attempts that know nothing
    /// of each other go the same. An account that is no longer configured has no later generations.
    ///
    /// `false`, and no change, when there is no such slot.
    fn step(&mut self, configured: &[&GrantId]) -> bool {
        self.step_to(configured, |trail, account| !trail.was_at_fault(account))
    }

    /// The same, of any account.
    fn step_anywhere(&mut self, configured: &[&GrantId]) -> bool {
        self.step_to(configured, |_, _| true)
    }

    /// The same, because of the current slot's account.
    fn step_off_account(&mut self, configured: &[&GrantId]) -> bool {
        self.set_fault(true);
        let stepped = self.step(configured);
        if !stepped {
            self.set_fault(false);
        }
        stepped
    }

    fn set_fault(&mut self, at_fault: bool) {
        if let Some(slot) = self.slots.last_mut() {
            slot.account_at_fault = at_fault;
        }
    }

    fn was_at_fault(&self, account: &GrantId) -> bool {
        self.slots
            .iter()
            .any(|slot| slot.account == *account && slot.account_at_fault)
    }

    fn step_to(
        &mut self,
        configured: &[&GrantId],
        may_go_to: impl Fn(&Self, &GrantId) -> bool,
    ) -> bool {
        let is_stranded = !self
            .accounts
            .iter()
            .any(|account| configured.contains(&account));
        let since = configured.iter().copied().filter(|_| is_stranded);
        let accounts: Vec<&GrantId> = self.accounts.iter().chain(since).collect();
        let next = (0..GENERATIONS_MAX)
            .flat_map(|generation| accounts.iter().map(move |account| (*account, generation)))
            .find(|(account, generation)| {
                may_go_to(self, account)
                    && (*generation == 0 || configured.contains(account))
                    && !self
                        .slots
                        .iter()
                        .any(|slot| slot.is_at(account, *generation))
            })
            .map(|(account, generation)| Slot {
                account: account.clone(),
                generation,
                settling_since: None,
                account_at_fault: false,
            });
        let found = next.is_some();
        self.slots.extend(next);
        found
    }

    /// Notes when settling began where the mail is now, unless it is noted.
    fn settle_from(&mut self, now: UnixMillis) {
        if let Some(slot) = self.slots.last_mut() {
            slot.settling_since.get_or_insert(now);
        }
    }
}

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nylas has the mail.
    Sent { account: GrantId, mail: SentMail },
    /// Not now; the same again later.
    Later {
        reason: &'static str,
        /// Not before.
        wait: Option<Duration>,
    },
    /// Never.
    Rejected { reason: &'static str },
}

impl Verdict {
    fn later(reason: &'static str) -> Self {
        Self::Later { reason, wait: None }
    }
}

/// The accounts in the order of preference for one recipient (rendezvous hashing): the same for
/// every attempt, and adding or removing an account moves only the recipients it gains or loses.
pub fn order<'a>(accounts: &'a [Account], recipient: &str) -> Vec<&'a GrantId> {
    let recipient = recipient.to_ascii_lowercase();
    let mut ranked = Vec::with_capacity(accounts.len());
    for account in accounts {
        let rank = Sha256::new()
            .chain_update(account.grant_id.as_str())
            .chain_update([0])
            .chain_update(&recipient)
            .finalize();
        let ranking = (rank, &account.grant_id);
        // One by one into their place: there are few, and the library's sorting is 1 kB of the upload.
        let place = ranked.partition_point(|other| *other < ranking);
        ranked.insert(place, ranking);
    }
    ranked.into_iter().map(|(_, grant_id)| grant_id).collect()
}

/// One attempt at one mail.
pub struct Attempt<'a, P> {
    pub ports: &'a P,
    pub config: &'a Config,
    pub ledger: &'a Ledger<'a, P>,
    pub nylas: &'a Nylas<'a, P>,
    pub email: &'a Email,
    pub content: &'a Content,
}

/// Whether the search goes on.
enum Next {
    End(Verdict),
    /// The slot is left on proof.
    Leave,
    /// The slot is left because of its account, on proof; if there is no other account, it stays.
    LeaveAccount(&'static str),
    /// The same, but the slot is dead: it cannot stay.
    LeaveDeadAccount,
    /// The slot stays until it is clear what became of the mail.
    Settle(&'static str, Duration),
}

impl<P: Clock + Http + Store + Log> Attempt<'_, P> {
    /// Tries to send the mail, going along its slots as far as the rule allows. `trail` is where it
    /// stands before and after.
    pub async fn run(&self, trail: &mut Trail) -> Verdict {
        let verdict = self.go_on(trail).await;
        // Nylas' word of a failure may be here before ours of the mail.
        if let Verdict::Sent { mail, .. } = &verdict
            && let Some(message_id) = &mail.message_id
            && mail.is_queued
            && self.config.hears_nylas()
            && self.ledger.has_failed(message_id).await == Ok(true)
        {
            let order = order(&self.config.accounts, &self.email.to);
            trail.fail(Some(message_id), &order);
            return Verdict::later(COULD_NOT_SEND);
        }
        verdict
    }

    async fn go_on(&self, trail: &mut Trail) -> Verdict {
        let order = order(&self.config.accounts, &self.email.to);
        trail.know(&order);
        if let Some(verdict) = self.ask_everywhere(trail).await {
            return verdict;
        }
        trail.ask_first = false;
        trail.begin(&order, self.ports.now());
        for _ in 0..STEPS_MAX {
            let Some(slot) = trail.current().cloned() else {
                return Verdict::later("no_account");
            };
            // What came before may have taken its time.
            if !self.nylas.has_time() || self.email.is_expired(self.ports.now()) {
                return Verdict::later("out_of_time");
            }
            let stepped = match self.try_slot(&slot, trail).await {
                Next::End(verdict) => return verdict,
                Next::Leave => trail.step(&order) || trail.step_anywhere(&order),
                Next::LeaveDeadAccount => {
                    trail.step_off_account(&order) || trail.step_anywhere(&order)
                }
                Next::LeaveAccount(reason) => {
                    if !trail.step_off_account(&order) {
                        return Verdict::later(reason);
                    }
                    true
                }
                Next::Settle(reason, takes) => {
                    trail.settle_from(self.ports.now());
                    return Verdict::Later {
                        reason,
                        wait: Some(takes),
                    };
                }
            };
            if !stepped {
                return Verdict::later("no_slot_left");
            }
        }
        Verdict::later("out_of_steps")
    }

    /// Looks for the mail in every mailbox it may be in, when its keys may be forgotten or another
    /// attempt may have gone further along the slots than this one knows.
    async fn ask_everywhere(&self, trail: &Trail) -> Option<Verdict> {
        let keys_may_be_forgotten = self.email.age(self.ports.now()) >= KEY_TRUSTED_FOR;
        let may_be_elsewhere = trail.ask_first && self.mailboxes(trail).len() > 1;
        if !keys_may_be_forgotten && !may_be_elsewhere {
            return None;
        }
        self.look_everywhere(trail).await
    }

    /// Every account that is or was configured for the mail.
    fn mailboxes<'b>(&'b self, trail: &'b Trail) -> Vec<&'b GrantId> {
        let mut accounts = order(&self.config.accounts, &self.email.to);
        for account in trail.accounts() {
            if !accounts.contains(&account) {
                accounts.push(account);
            }
        }
        accounts
    }

    /// Looks for the mail in all of them.
    async fn look_everywhere(&self, trail: &Trail) -> Option<Verdict> {
        for account in self.mailboxes(trail) {
            match self.nylas.find(account, self.email, trail).await {
                FindOutcome::Found(mail) => {
                    return Some(Verdict::Sent {
                        account: account.clone(),
                        mail,
                    });
                }
                FindOutcome::NotFound | FindOutcome::Refused => {}
                FindOutcome::Unknown => return Some(Verdict::later("mailbox_not_answering")),
            }
        }
        None
    }

    async fn try_slot(&self, slot: &Slot, trail: &Trail) -> Next {
        let Some(account) = self.config.account(&slot.account) else {
            // Taken out of the configuration while the mail was under way: send no more, and ask. Not
            // only this one: where the trail could not be kept, an attempt got further than it says.
            let is_settled = self.is_settled(slot, SETTLING_IN_SILENCE_TAKES);
            return match self.look_everywhere(trail).await {
                Some(sent @ Verdict::Sent { .. }) => Next::End(sent),
                None if is_settled => Next::Leave,
                _ => Next::Settle("account_removed", SETTLING_IN_SILENCE_TAKES),
            };
        };
        let identity = match identity(self.ledger, self.nylas, account).await {
            IdentityOutcome::Known(identity) => identity,
            IdentityOutcome::AccountAtFault(fault) => {
                return self.account_fault(slot, fault, trail).await;
            }
            IdentityOutcome::Unknown => {
                return Next::End(Verdict::later("account_address_unknown"));
            }
        };
        self.compare_names(account, &identity).await;
        let answer = self
            .nylas
            .send(
                &slot.account,
                &identity,
                self.email,
                self.content,
                slot.generation,
            )
            .await;
        let reason = answer.outcome.reason();
        match (answer.outcome, answer.replayed) {
            // It took the mail here, and said since that it could not send it.
            (SendOutcome::Sent(mail), true) if trail.has_failed(mail.message_id.as_deref()) => {
                Next::Leave
            }
            (SendOutcome::Sent(mail), _) => self.sent(slot, mail),
            (SendOutcome::InFlight, _) => Next::End(Verdict::Later {
                reason,
                wait: Some(IN_FLIGHT_WAIT),
            }),
            (SendOutcome::Rejected { .. } | SendOutcome::Throttled { .. }, true) => Next::Leave,
            (SendOutcome::AccountAtFault(_), true) => Next::LeaveDeadAccount,
            (SendOutcome::Rejected { reason }, false) => Next::End(Verdict::Rejected { reason }),
            (SendOutcome::Throttled { retry_after }, false) => {
                let patience_is_over = self.email.age(self.ports.now()) >= THROTTLING_TOLERATED;
                if patience_is_over && self.config.accounts.len() > 1 {
                    // Not the account's fault in the trail: whoever sees the same 429 replayed goes
                    // the same way.
                    match self.nylas.find(&slot.account, self.email, trail).await {
                        FindOutcome::Found(mail) => self.sent(slot, mail),
                        FindOutcome::NotFound | FindOutcome::Refused => Next::Leave,
                        FindOutcome::Unknown => Next::End(Verdict::later(reason)),
                    }
                } else {
                    Next::End(Verdict::Later {
                        reason,
                        wait: retry_after,
                    })
                }
            }
            (SendOutcome::AccountAtFault(fault), false) => {
                self.account_fault(slot, fault, trail).await
            }
            (SendOutcome::Ambiguous { .. }, false) => Next::End(Verdict::later(reason)),
            (SendOutcome::Ambiguous { .. }, true) | (SendOutcome::KeyConflict, _) => {
                let is_settled = self.is_settled(slot, SETTLING_TAKES);
                match self.nylas.find(&slot.account, self.email, trail).await {
                    FindOutcome::Found(mail) => self.sent(slot, mail),
                    FindOutcome::NotFound if is_settled => Next::Leave,
                    _ => Next::Settle(reason, SETTLING_TAKES),
                }
            }
        }
    }

    /// Clerk's sender name has no say in what users see, and whoever set it may think it has.
    async fn compare_names(&self, account: &Account, identity: &Identity) {
        let wanted = self.email.from_local_part.as_deref().unwrap_or_default();
        let has = identity.email.split('@').next().unwrap_or_default();
        if !wanted.is_empty()
            && !wanted.eq_ignore_ascii_case(has)
            && self.ledger.may_say("drift", DAY).await
        {
            self.ports.log(&Record {
                level: Level::Warning,
                event: Event::Check,
                outcome: "drift",
                reason: "from_email_name_differs",
                account: Some(account.grant_id.clone()),
                alert: true,
                ..Record::default()
            });
        }
    }

    fn is_settled(&self, slot: &Slot, takes: Duration) -> bool {
        slot.settling_since
            .is_some_and(|since| self.ports.now().since(since) >= takes)
    }

    fn sent(&self, slot: &Slot, mail: SentMail) -> Next {
        Next::End(Verdict::Sent {
            account: slot.account.clone(),
            mail,
        })
    }

    /// The account, not the mail: tell the operator, once, and leave if the mailbox does not hold the
    /// mail.
    async fn account_fault(&self, slot: &Slot, fault: AccountFault, trail: &Trail) -> Next {
        let known = self.ledger.is_down(&slot.account).await;
        if !known {
            let marked = self.ledger.mark_down(&slot.account, fault).await;
            self.ports.log(
                &Record {
                    level: Level::Error,
                    event: Event::AccountDown,
                    svix_id: Some(self.email.svix_id.clone()),
                    outcome: if marked.is_ok() {
                        "marked_down"
                    } else {
                        "down"
                    },
                    reason: fault.reason(),
                    account: Some(slot.account.clone()),
                    alert: true,
                    ..Record::default()
                }
                .with_answer(self.nylas.last()),
            );
        }
        if self.config.accounts.len() < 2 {
            // Nowhere else to go.
            return Next::End(Verdict::later(fault.reason()));
        }
        match self.nylas.find(&slot.account, self.email, trail).await {
            FindOutcome::Found(mail) => self.sent(slot, mail),
            FindOutcome::NotFound | FindOutcome::Refused => Next::LeaveAccount(fault.reason()),
            FindOutcome::Unknown => Next::End(Verdict::later(fault.reason())),
        }
    }
}

/// An account's own address and name: configured, remembered, or asked for.
pub async fn identity<P: Clock + Http + Store>(
    ledger: &Ledger<'_, P>,
    nylas: &Nylas<'_, P>,
    account: &Account,
) -> IdentityOutcome {
    if let Some(email) = &account.email {
        return IdentityOutcome::Known(Identity {
            email: email.clone(),
            name: account.name.clone(),
        });
    }
    let named = |identity: Identity| Identity {
        name: account.name.clone().or(identity.name),
        email: identity.email,
    };
    if let Some(identity) = ledger.identity(&account.grant_id).await {
        return IdentityOutcome::Known(named(identity));
    }
    let outcome = nylas.identity(&account.grant_id).await;
    if let IdentityOutcome::Known(identity) = outcome {
        // Not remembered: asked again next time.
        let _ = ledger.put_identity(&account.grant_id, &identity).await;
        return IdentityOutcome::Known(named(identity));
    }
    outcome
}

#[cfg(test)]
mod tests;
