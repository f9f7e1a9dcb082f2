//! Where a mail was tried, and where it goes next.
//!
//! A **hop** is an account and a generation. Each hop has its own idempotency key at Nylas, so any number of sends at
//! one hop within an hour are one mail. The hops of a mail come in a fixed order: every account at generation 0, in the
//! recipient's own order, then every account at generation 1, and so on; but throttling stays at its account. The
//! **route** is the hops tried so far.

use super::{
    account::Account,
    id::GrantId,
    mail::Email,
    time::{MINUTE, UnixMillis},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// The age of a mail up to which its keys are trusted. Nylas remembers a key for an hour from its first use, which is
/// never before the event. This is five minutes less, so that a request that starts in time also ends in time.
pub const KEY_TRUSTED_FOR: Duration = MINUTE.saturating_mul(55);

/// Each error that Nylas remembers under a key uses up a generation. When all are used up the mail stays at the last
/// hop, whose key is free again after an hour.
const GENERATIONS_MAX: u32 = 64;

/// An account and a generation: one idempotency key at Nylas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    pub account: GrantId,
    pub generation: u32,
    /// When reconciling began at this hop: the first time the mail was looked up here and not found.
    #[serde(
        default,
        rename = "settling_since",
        skip_serializing_if = "Option::is_none"
    )]
    pub reconciling_since: Option<UnixMillis>,
    /// The mail left the hop because the account was at fault. The account's later generations are the last resort.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub account_at_fault: bool,
}

impl Hop {
    fn is_at(&self, account: &GrantId, generation: u32) -> bool {
        self.account == *account && self.generation == generation
    }
}

/// The hops that a mail has tried so far, oldest first. The mail is at the last one. It left every other hop on proof
/// that it was not sent there.
///
/// The route travels with the queued mail, so that an attempt continues where the one before stopped, even when the
/// configuration changed in between.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    #[serde(rename = "slots")]
    hops: Vec<Hop>,
    /// The accounts that were configured when the mail came, in the recipient's order. Because of them, two attempts
    /// that know nothing of each other follow the same route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    accounts: Vec<GrantId>,
    /// When the route began. Nylas forgets a key an hour after its first use.
    #[serde(default, rename = "begun_at")]
    started_at: UnixMillis,
    /// An earlier attempt may be unrecorded and further along: look the mail up in every mailbox before sending.
    #[serde(
        default,
        rename = "ask_first",
        skip_serializing_if = "std::ops::Not::not"
    )]
    look_up_first: bool,
    /// Message ids that Nylas accepted and later reported as failed. Finding one of them is not finding the mail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    failed: Vec<String>,
    /// The mail may be out over SMTP, and nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    doubt: Option<Doubt>,
}

/// A mail whose fate over SMTP is not known: its final dot was sent, or an attempt left no trace. The mailbox is asked
/// before anything else is done, and no other transport sends it meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// The account that may have sent it. `None`: any of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<GrantId>,
    pub since: UnixMillis,
    /// It was sent once more without knowing. That happens once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_blind: bool,
}

impl Route {
    /// Whether the route says nothing that a later attempt needs.
    pub fn is_empty(&self) -> bool {
        self.hops.is_empty()
            && !self.look_up_first
            && self.failed.is_empty()
            && self.doubt.is_none()
    }

    /// Whether the mail goes out over SMTP, or is in doubt there. `is_configured`: new mails go out over SMTP.
    pub fn is_over_smtp(&self, is_configured: bool) -> bool {
        self.doubt.is_some() || is_configured && self.hops.is_empty()
    }

    /// Whether it is not known if the mail is out over SMTP.
    pub fn doubt(&self) -> Option<&Doubt> {
        self.doubt.as_ref()
    }

    /// Notes that it is not known from now on.
    pub fn doubt_since(&mut self, doubt: Doubt) {
        self.doubt = Some(doubt);
    }

    /// Notes that it is known whether the mail is out.
    pub fn end_doubt(&mut self) {
        self.doubt = None;
    }

    /// Which message of the mail goes out next over SMTP: those before it were accepted and failed.
    pub fn generation_over_smtp(&self) -> usize {
        self.failed.len()
    }

    /// Leaves the current hop because Nylas reported that the message it accepted there will not be sent.
    pub fn fail(&mut self, message_id: Option<&str>, configured: &[&GrantId]) {
        self.failed.push(message_id.unwrap_or_default().to_owned());
        if !self.advance(configured) {
            self.advance_anywhere(configured);
        }
    }

    /// Whether Nylas reported this message as failed.
    pub fn has_failed(&self, message_id: Option<&str>) -> bool {
        let message_id = message_id.unwrap_or_default();
        self.failed.iter().any(|failed| failed == message_id)
    }

    /// Notes that an earlier attempt may be unrecorded, so that the mail must be looked up before it is sent.
    pub fn require_look_up(&mut self) {
        self.look_up_first = true;
    }

    /// Whether to look the mail up in every mailbox before sending.
    pub fn must_look_up(&self) -> bool {
        self.look_up_first
    }

    /// Notes that the mail was looked up in every mailbox, and that none holds it.
    pub fn looked_up(&mut self) {
        self.look_up_first = false;
    }

    /// The hop that the mail is at.
    pub fn current(&self) -> Option<&Hop> {
        self.hops.last()
    }

    /// Whether the route began at another account.
    pub fn started_elsewhere(&self, account: &GrantId) -> bool {
        self.hops.first().is_some_and(|hop| hop.account != *account)
    }

    /// The hops, oldest first.
    pub fn hops(&self) -> &[Hop] {
        &self.hops
    }

    /// The accounts that were configured when the mail came.
    pub fn accounts(&self) -> impl Iterator<Item = &GrantId> {
        self.accounts.iter()
    }

    /// Remembers the configured accounts, unless the route has some already.
    pub fn remember_accounts(&mut self, order: &[&GrantId]) {
        if self.accounts.is_empty() {
            self.accounts = order.iter().map(|account| (*account).clone()).collect();
        }
    }

    /// Goes to the first account in this order, unless the route has begun.
    ///
    /// Once Nylas may have forgotten the keys, the route begins anew with each attempt, as for an attempt that knows
    /// nothing of the earlier ones. So only what Nylas still remembers decides where it goes, and all go the same way.
    pub fn start(&mut self, order: &[&GrantId], now: UnixMillis) {
        let mut started_at = now;
        if !self.hops.is_empty() && now.since(self.started_at) >= KEY_TRUSTED_FOR {
            started_at = self.started_at;
            *self = Self {
                failed: std::mem::take(&mut self.failed),
                ..Self::default()
            };
        }
        if self.hops.is_empty() {
            self.remember_accounts(order);
            self.started_at = started_at;
            self.advance(order);
        }
    }

    /// Goes on to the next hop: the first that was not tried, of an account that was not at fault.
    ///
    /// Only the remembered accounts count. Those that were `configured` later count only if none of the remembered ones
    /// is configured any more. So the route depends on the outcomes at its hops alone, and two attempts that know
    /// nothing of each other follow the same one. An account that is no longer configured has no later generations.
    ///
    /// Returns `false`, and changes nothing, if there is no such hop.
    pub fn advance(&mut self, configured: &[&GrantId]) -> bool {
        self.advance_to(configured, |route, account| !route.was_at_fault(account))
    }

    /// Goes on to the next hop, even one of an account that was at fault.
    pub fn advance_anywhere(&mut self, configured: &[&GrantId]) -> bool {
        self.advance_to(configured, |_, _| true)
    }

    /// Goes on to the current account's next generation. Returns `false`, and changes nothing, if there is none.
    pub fn advance_generation(&mut self) -> bool {
        let next = self.current().and_then(|hop| {
            let generation = hop.generation.checked_add(1)?;
            (generation < GENERATIONS_MAX).then(|| Hop {
                account: hop.account.clone(),
                generation,
                reconciling_since: None,
                account_at_fault: false,
            })
        });
        let next = next.filter(|next| {
            !self
                .hops
                .iter()
                .any(|hop| hop.is_at(&next.account, next.generation))
        });
        let found = next.is_some();
        self.hops.extend(next);
        found
    }

    /// Goes on to the next hop because the current account is at fault. Returns `false`, and changes nothing, if there
    /// is none.
    pub fn leave_account(&mut self, configured: &[&GrantId]) -> bool {
        self.set_fault(true);
        let advanced = self.advance(configured);
        if !advanced {
            self.set_fault(false);
        }
        advanced
    }

    fn set_fault(&mut self, at_fault: bool) {
        if let Some(hop) = self.hops.last_mut() {
            hop.account_at_fault = at_fault;
        }
    }

    /// Whether the mail left this account because it was at fault.
    pub fn was_at_fault(&self, account: &GrantId) -> bool {
        self.hops
            .iter()
            .any(|hop| hop.account == *account && hop.account_at_fault)
    }

    fn advance_to(
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
                    && !self.hops.iter().any(|hop| hop.is_at(account, *generation))
            })
            .map(|(account, generation)| Hop {
                account: account.clone(),
                generation,
                reconciling_since: None,
                account_at_fault: false,
            });
        let found = next.is_some();
        self.hops.extend(next);
        found
    }

    /// Notes when reconciling began at the current hop, unless that is noted already.
    pub fn reconcile_from(&mut self, now: UnixMillis) {
        if let Some(hop) = self.hops.last_mut() {
            hop.reconciling_since.get_or_insert(now);
        }
    }
}

/// The accounts that may send a mail, in its recipient's order of preference (rendezvous hashing). Every attempt gets
/// the same order. A new or removed account changes the first choice only of the recipients that it gains or loses.
///
/// A forwarded reply has one account. What strangers write must not use up another account's mails.
pub fn order<'a>(accounts: &'a [Account], email: &Email) -> Vec<&'a GrantId> {
    let recipient = email.to.to_ascii_lowercase();
    let only = email.only_account.as_ref();
    let mut order: Vec<&GrantId> = accounts
        .iter()
        .map(|account| &account.grant_id)
        .filter(|account| only.is_none_or(|only| only == *account))
        .collect();
    order.sort_by_cached_key(|grant_id| {
        let rank = Sha256::new()
            .chain_update(grant_id.as_str())
            .chain_update([0])
            .chain_update(&recipient)
            .finalize();
        (rank, *grant_id)
    });
    order
}

#[cfg(test)]
mod tests;
