//! What the ledger remembers of the replies that were handed on, for their budgets.

use super::{Ledger, account::day_of};
use crate::{
    model::{
        id::GrantId,
        time::{DAY, UnixMillis},
    },
    ports::{Clock, Memory, Store, StoreError},
};

const TOLD: &str = "told";

/// The replies of one account that were handed on today (UTC), a line for each: the day, the hash of the reply, the
/// keyed hash of its sender, and the hour. A line `<day> told` says that the operator was told that a reply stayed in
/// the mailbox.
///
/// A set that only grows, so two of them can be merged: the same reply counts once, and what one instance has not seen
/// of another's comes with the next reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandedOn(String);

impl HandedOn {
    /// The replies of the day so far, of both.
    #[must_use]
    pub fn merged(&self, other: &Self, now: UnixMillis) -> Self {
        let today = day_of(now).to_string();
        let mut both = Self::default();
        for line in self.0.lines().chain(other.0.lines()) {
            if line.starts_with(&today) && !both.0.lines().any(|known| known == line) {
                both.push(line);
            }
        }
        both
    }

    fn push(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    /// Adds a reply, unless it was counted before.
    pub fn add(&mut self, reply: &str, sender: &str, now: UnixMillis) {
        if !self.has(reply) {
            let (day, hour) = (day_of(now), hour_of(now));
            self.push(&format!("{day} {} {} {hour}", short(reply), short(sender)));
        }
    }

    /// How many lines have this word.
    fn count(&self, word: &str) -> usize {
        let has_word = |line: &&str| line.split(' ').any(|known| known == word);
        self.0.lines().filter(has_word).count()
    }

    /// Whether the reply was counted before.
    pub fn has(&self, reply: &str) -> bool {
        self.count(short(reply)) > 0
    }

    /// How many there are today.
    pub fn in_day(&self) -> usize {
        self.0.lines().count().saturating_sub(self.count(TOLD))
    }

    /// How many there are in this hour.
    pub fn in_hour(&self, now: UnixMillis) -> usize {
        self.count(&hour_of(now).to_string())
    }

    /// How many of a sender's there are today.
    pub fn of_sender(&self, sender: &str) -> usize {
        self.count(short(sender))
    }

    /// Whether this is the first time today that the operator is to be told.
    pub fn tell(&mut self, now: UnixMillis) -> bool {
        let is_first = self.count(TOLD) == 0;
        if is_first {
            self.push(&format!("{} {TOLD}", day_of(now)));
        }
        is_first
    }
}

impl<P: Store + Clock + Memory> Ledger<'_, P> {
    /// The replies of an account that were handed on today, as far as the ledger shows it now.
    pub async fn handed_on(&self, grant_id: &GrantId) -> Result<HandedOn, StoreError> {
        let text = self.get(&key(grant_id)).await?;
        Ok(HandedOn(text.unwrap_or_default()))
    }

    /// The same, as far as this instance remembers it. It may be ahead of the ledger, which shows a write up to a
    /// minute late and accepts one a second.
    pub fn recall_handed_on(&self, grant_id: &GrantId) -> HandedOn {
        let text = self.ports.recall(&key(grant_id));
        HandedOn(text.unwrap_or_default())
    }

    /// Remembers them in this instance.
    pub fn remember_handed_on(&self, grant_id: &GrantId, handed_on: &HandedOn) {
        self.ports.remember(&key(grant_id), &handed_on.0, DAY);
    }

    /// Stores them.
    pub async fn put_handed_on(
        &self,
        grant_id: &GrantId,
        handed_on: &HandedOn,
    ) -> Result<(), StoreError> {
        self.put(&key(grant_id), &handed_on.0, DAY).await
    }
}

fn key(grant_id: &GrantId) -> String {
    format!("handed_on:{}", grant_id.as_str())
}

/// The end of a hash: 64 bits are enough for the replies of a day.
fn short(hash: &str) -> &str {
    let start = hash.len().saturating_sub(16);
    hash.get(start..).unwrap_or_default()
}

fn hour_of(now: UnixMillis) -> u64 {
    now.seconds() / 3600 % 24
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::HOUR;

    const NOON: UnixMillis = UnixMillis(20_000 * 86_400_000 + 43_200_000);

    fn with(replies: &[(&str, &str)], now: UnixMillis) -> HandedOn {
        let mut handed_on = HandedOn::default().merged(&HandedOn::default(), now);
        for (reply, sender) in replies {
            handed_on.add(reply, sender, now);
        }
        handed_on
    }

    #[test]
    fn two_memories_of_a_day_are_merged_and_the_same_reply_counts_once() {
        let here = with(&[("reply_1", "jane"), ("reply_2", "jane")], NOON);
        let there = with(&[("reply_2", "jane"), ("reply_3", "bob")], NOON);
        let both = here.merged(&there, NOON);
        assert_eq!((both.in_day(), both.in_hour(NOON)), (3, 3));
        assert_eq!((both.of_sender("jane"), both.of_sender("bob")), (2, 1));
    }

    #[test]
    fn an_hour_and_a_day_begin_anew() {
        let full = with(&[("reply_1", "jane")], NOON);
        let later = NOON.plus(HOUR);
        let full = full.merged(&HandedOn::default(), later);
        assert_eq!((full.in_day(), full.in_hour(later)), (1, 0));
        let tomorrow = NOON.plus(DAY);
        assert_eq!(full.merged(&full, tomorrow).in_day(), 0);
    }
}
