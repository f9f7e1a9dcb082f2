//! The guard of an account's reputation: who gets a mail while much of what the account sends bounces.
//!
//! Nylas reviews an account at 5 % of bounces at addresses that do not exist, and pauses it at 10 %; then nobody signs
//! in until its support lifts that
//! (<https://developer.nylas.com/docs/v3/agent-accounts/send-limits/>). Anybody can make bounces by signing up with
//! made-up addresses. So above 5 % fewer mails go to **unproven** recipients, those of whom no delivery was ever
//! reported, and from 8 % on none. A proven recipient is never affected by what others did.

use super::Ledger;
use crate::{
    model::{
        id::{GrantId, SvixId},
        time::{DAY, MINUTE, UnixMillis, millis},
    },
    ports::{Clock, Memory, Store, StoreError},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Below this many bounces a day the guard does nothing: a few typos are no attack.
pub const BOUNCES_MIN: u64 = 10;
/// Above this share, in thousandths, fewer unproven recipients get a mail. Nylas reviews an account at it.
const SHARE_REVIEWED: u64 = 50;
/// From this share on, in thousandths, no unproven recipient gets one. Nylas pauses an account at 100.
const SHARE_STOPPED: u64 = 80;

/// An account's bounces at addresses that do not exist, today (UTC).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// From when on bounces are counted: midnight, or when an operator lifted the guard.
    pub since: UnixMillis,
    pub bounced: u64,
    /// The mails of the last 24 hours or so, by Nylas' count.
    #[serde(default)]
    pub sent: u64,
    /// When Nylas was last asked.
    #[serde(default)]
    pub counted_at: UnixMillis,
}

impl Guard {
    /// What holds today. Yesterday's bounces do not count.
    #[must_use]
    pub fn today(self, now: UnixMillis) -> Self {
        let midnight = now.midnight();
        if self.since >= midnight {
            return self;
        }
        Self {
            since: midnight,
            bounced: 0,
            ..self
        }
    }

    /// The share of bounces, in thousandths. Mails that Nylas has not counted yet are at least those that bounced.
    pub fn share(&self) -> u64 {
        let sent = self.sent.max(self.bounced);
        let bounced = self.bounced.saturating_mul(1000);
        bounced.checked_div(sent).unwrap_or_default()
    }

    /// How many of a thousand mails to unproven recipients are sent.
    pub fn admitted(&self, now: UnixMillis) -> u64 {
        let today = self.today(now);
        if today.bounced < BOUNCES_MIN {
            return 1000;
        }
        let left = SHARE_STOPPED.saturating_sub(today.share());
        let all = SHARE_STOPPED.saturating_sub(SHARE_REVIEWED);
        let admitted = left.saturating_mul(1000).checked_div(all);
        admitted.unwrap_or_default().min(1000)
    }

    /// Whether a mail to an unproven recipient is sent. Its id decides, so that each delivery of its webhook gets the
    /// same answer while the share is the same. Svix chooses the ids at random.
    pub fn admits(&self, id: &SvixId, now: UnixMillis) -> bool {
        let hash = Sha256::digest(id.as_str());
        let drawn = hash.first_chunk().copied().map_or(0, u32::from_be_bytes) % 1000;
        u64::from(drawn) < self.admitted(now)
    }

    /// Whether mails to unproven recipients are held back.
    pub fn is_up(&self, now: UnixMillis) -> bool {
        self.admitted(now) < 1000
    }

    /// From when on Nylas is to be asked for the mails that the account sent, if at all: only where it matters, once a
    /// minute, and only for what is new.
    pub fn count_from(&self, now: UnixMillis) -> Option<UnixMillis> {
        let age = now.since(self.counted_at);
        (self.bounced >= BOUNCES_MIN && age >= MINUTE).then(|| self.counted_at.max(now.minus(DAY)))
    }

    /// Adds mails that Nylas counted. Earlier ones fade out within a day.
    #[must_use]
    fn counted(self, new: u64, now: UnixMillis) -> Self {
        let age = millis(now.since(self.counted_at).min(DAY));
        let faded = self.sent.saturating_mul(age).checked_div(millis(DAY));
        Self {
            sent: self
                .sent
                .saturating_sub(faded.unwrap_or_default())
                .saturating_add(new),
            counted_at: now,
            ..self
        }
    }

    /// Of two records of one account, the one that knows more; this one, if both know as much.
    fn or_newer(self, other: Self) -> Self {
        let rank = |guard: &Self| (guard.since, guard.bounced, guard.counted_at);
        [other, self].into_iter().max_by_key(rank).unwrap_or(self)
    }
}

impl<P: Store + Clock + Memory> Ledger<'_, P> {
    /// Counts a bounce. The store is late by up to a minute and takes one write a second, so the instance remembers
    /// the count, too. What the store refuses is written with the next bounce.
    pub async fn count_bounce(&self, grant_id: &GrantId) -> Guard {
        let known = self.guard(grant_id).await;
        let now = self.ports.now();
        let known = known.or_newer(self.recalled(grant_id)).today(now);
        let guard = Guard {
            bounced: known.bounced.saturating_add(1),
            ..known
        };
        let _ = self.put_guard(grant_id, &guard).await;
        guard
    }

    /// Adds mails that Nylas counted, from [`Guard::count_from`] to `now`.
    pub async fn count_sent(
        &self,
        grant_id: &GrantId,
        guard: Guard,
        new: u64,
        now: UnixMillis,
    ) -> Guard {
        // Other bounces may have been counted meanwhile.
        let newer = guard.or_newer(self.recalled(grant_id));
        let guard = Guard {
            bounced: newer.bounced,
            ..guard.counted(new, now)
        };
        let _ = self.put_guard(grant_id, &guard).await;
        guard
    }

    /// Lifts the guard: bounces are counted anew from now on.
    ///
    /// # Errors
    /// Why the ledger refused it.
    pub async fn lift_guard(&self, grant_id: &GrantId) -> Result<(), StoreError> {
        let guard = Guard {
            since: self.ports.now(),
            ..Guard::default()
        };
        self.put_guard(grant_id, &guard).await
    }

    async fn put_guard(&self, grant_id: &GrantId, guard: &Guard) -> Result<(), StoreError> {
        if let Ok(text) = serde_json::to_string(guard) {
            self.ports.remember(&guard_key(grant_id), &text, DAY);
        }
        self.write(&guard_key(grant_id), guard, DAY).await
    }

    fn recalled(&self, grant_id: &GrantId) -> Guard {
        let text = self.ports.recall(&guard_key(grant_id));
        text.and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default()
    }
}

impl<P: Store + Clock> Ledger<'_, P> {
    /// The guard of an account. One that cannot be read counts as none: it must not be the outage that it prevents.
    pub async fn guard(&self, grant_id: &GrantId) -> Guard {
        let guard = self.read(&guard_key(grant_id)).await.ok().flatten();
        guard.unwrap_or_default()
    }
}

pub(super) fn guard_key(grant_id: &GrantId) -> String {
    format!("guard:{}", grant_id.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::HOUR;

    const NOON: UnixMillis = UnixMillis(1_764_072_000_000);

    fn guard(bounced: u64, sent: u64) -> Guard {
        Guard {
            since: NOON.midnight(),
            bounced,
            sent,
            counted_at: NOON,
        }
    }

    #[test]
    fn how_many_unproven_recipients_get_a_mail() {
        for (bounced, sent, admitted) in [
            (0, 0, 1000),
            (9, 9, 1000),
            (10, 10_000, 1000),
            (10, 200, 1000),
            (50, 1000, 1000),
            (59, 1000, 700),
            (65, 1000, 500),
            (79, 1000, 33),
            (80, 1000, 0),
            (10, 0, 0),
            (500, 1000, 0),
        ] {
            let guard = guard(bounced, sent);
            assert_eq!(guard.admitted(NOON), admitted, "{bounced} of {sent}");
            assert_eq!(guard.is_up(NOON), admitted < 1000);
        }
    }

    #[test]
    fn half_of_the_mails_are_half_of_the_ids() {
        let half = guard(65, 1000);
        let is_admitted = |number: &u32| {
            let id = SvixId::parse(&format!("msg_{number}")).unwrap();
            assert!(guard(9, 9).admits(&id, NOON) && !guard(80, 1000).admits(&id, NOON));
            half.admits(&id, NOON)
        };
        let admitted = (0..2000).filter(is_admitted).count();
        assert!((900..1100).contains(&admitted), "{admitted}");
    }

    #[test]
    fn nylas_is_asked_once_a_minute_for_what_is_new() {
        let first = Guard {
            counted_at: UnixMillis(0),
            ..guard(10, 0)
        };
        assert_eq!(guard(9, 0).count_from(NOON.plus(HOUR)), None);
        assert_eq!(first.count_from(NOON), Some(NOON.minus(DAY)));
        let counted = first.counted(1200, NOON);
        assert_eq!((counted.sent, counted.counted_at), (1200, NOON));
        assert_eq!(counted.count_from(NOON.plus(MINUTE / 2)), None);
        assert_eq!(counted.count_from(NOON.plus(HOUR)), Some(NOON));
        assert_eq!(counted.counted(50, NOON.plus(HOUR)).sent, 1200 - 50 + 50);
        assert_eq!(counted.counted(7, NOON.plus(DAY)).sent, 7);
    }

    #[test]
    fn a_day_begins_at_midnight_utc() {
        let guard = guard(500, 1000);
        assert!(guard.is_up(NOON.plus(HOUR * 11)));
        let midnight = NOON.plus(HOUR * 12);
        assert!(!guard.is_up(midnight));
        let today = guard.today(midnight.plus(HOUR));
        assert_eq!((today.since, today.bounced), (midnight, 0));
    }

    #[test]
    fn what_was_lifted_stays_lifted_for_an_instance_that_remembers_more() {
        let remembered = guard(500, 1000);
        let lifted = Guard {
            since: NOON,
            ..Guard::default()
        };
        assert_eq!(lifted.or_newer(remembered), lifted);
        assert_eq!(remembered.or_newer(lifted), lifted);
        assert_eq!(remembered.or_newer(guard(3, 1000)), remembered);
        let as_much = Guard {
            sent: remembered.sent + 1,
            ..remembered
        };
        assert_eq!(remembered.or_newer(as_much), remembered);
    }
}
