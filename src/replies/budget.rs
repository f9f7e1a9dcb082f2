//! How many replies are handed on. The mailbox's address is public, and whoever writes to it must not use up the
//! account's mails of the day, nor the agent's, nor the person's patience.

use super::work::Work;
use crate::{
    ledger::budget::HandedOn,
    model::{outcome::Reason, time::UnixMillis},
    ports::Ports,
};

/// A sender's replies a day.
const SENDER_MAX: usize = 5;
/// An account's replies a day, where its plan is not known or not large.
const DAY_MAX: u64 = 40;
/// A larger plan allows more, but the record of the day has to stay a small value.
const DAY_MAX_OF_LARGE_PLANS: u64 = 400;
/// The mails a day of Nylas' smallest plan, where `NYLAS_DAILY_CAP` is not set.
const USUAL_CAP: u64 = 100;

/// The budgets of one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub sender: usize,
    pub hour: usize,
    pub day: usize,
}

impl Budget {
    /// The budgets that go with a plan's mails a day: a twentieth of them, or 40, but never more than two fifths.
    ///
    /// An hour has a quarter of the day. So a flood cannot use up the day at once: who answers some hours later is
    /// still heard, and the operator, who was alerted, has time to act.
    pub fn of(daily_cap: Option<u64>) -> Self {
        let cap = daily_cap.unwrap_or(USUAL_CAP);
        let share = cap / 20;
        let day = share
            .clamp(DAY_MAX, DAY_MAX_OF_LARGE_PLANS)
            .min(cap.saturating_mul(2) / 5)
            .max(1);
        let day = usize::try_from(day).unwrap_or(usize::MAX);
        Self {
            sender: SENDER_MAX.min(day),
            hour: (day / 4).max(1),
            day,
        }
    }

    /// Why a reply stays in the mailbox. `None`: it may be handed on.
    pub fn refusal(
        &self,
        handed_on: &HandedOn,
        reply: &str,
        sender: &str,
        now: UnixMillis,
    ) -> Option<Reason> {
        if handed_on.has(reply) {
            // It is being handed on, and something after that failed.
            None
        } else if handed_on.of_sender(sender) >= self.sender {
            Some(Reason::SenderOverBudget)
        } else if handed_on.in_day() >= self.day || handed_on.in_hour(now) >= self.hour {
            Some(Reason::AccountOverBudget)
        } else {
            None
        }
    }
}

/// The replies of an account that were handed on today.
///
/// Each change begins with what the instance remembers and ends with remembering it, and waits for nothing in between.
/// So one instance never hands on more than the budget. Others may do so, too, until the ledger shows them this one's:
/// a minute or so.
pub struct Tally<'w, 'a, 'c, P> {
    work: &'w Work<'a, 'c, P>,
    known: HandedOn,
}

impl<'w, 'a, 'c, P: Ports> Tally<'w, 'a, 'c, P> {
    /// Reads it.
    ///
    /// # Errors
    /// Why it must be tried again.
    pub async fn read(work: &'w Work<'a, 'c, P>) -> Result<Self, Reason> {
        let known = work.context.ledger.handed_on(work.account).await?;
        Ok(Self { work, known })
    }

    fn change<T>(&mut self, change: impl FnOnce(&mut HandedOn, UnixMillis) -> T) -> T {
        let (context, account) = (self.work.context, self.work.account);
        let (ledger, now) = (&context.ledger, context.now());
        self.known = ledger.recall_handed_on(account).merged(&self.known, now);
        let result = change(&mut self.known, now);
        ledger.remember_handed_on(account, &self.known);
        result
    }

    /// Counts a reply, if the budgets allow it. Otherwise returns why it stays in the mailbox.
    pub fn admit(&mut self, reply: &str, sender: &str) -> Option<Reason> {
        let budget = Budget::of(self.work.context.config.daily_cap);
        self.change(|handed_on, now| {
            let refusal = budget.refusal(handed_on, reply, sender, now);
            if refusal.is_none() {
                handed_on.add(reply, sender, now);
            }
            refusal
        })
    }

    /// Whether the operator is to be told that a reply stayed in the mailbox: once a day.
    pub fn tell(&mut self) -> bool {
        self.change(HandedOn::tell)
    }

    /// Stores it, with what else the instance has counted by now.
    ///
    /// Safe to lose: the instance remembers, and whatever it counts next is stored with it. So a write that comes too
    /// fast for KV costs a bounded overshoot and no retry.
    pub async fn store(mut self) {
        self.change(|_, _| ());
        let ledger = &self.work.context.ledger;
        let _ = ledger.put_handed_on(self.work.account, &self.known).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::HOUR;

    const NOON: UnixMillis = UnixMillis(20_000 * 86_400_000 + 43_200_000);

    #[test]
    fn the_budgets_are_a_share_of_the_plan() {
        for (cap, sender, hour, day) in [
            (None, 5, 10, 40),
            (Some(200), 5, 10, 40),
            (Some(50), 5, 5, 20),
            (Some(1), 1, 1, 1),
            (Some(4_000), 5, 50, 200),
            (Some(u64::MAX), 5, 100, 400),
        ] {
            assert_eq!(Budget::of(cap), Budget { sender, hour, day }, "{cap:?}");
        }
    }

    /// Hands on replies until one is refused. Returns how many were not, and why the next one was.
    fn flood(sender: impl Fn(u32) -> String, step: std::time::Duration) -> (usize, Reason) {
        let budget = Budget::of(None);
        let mut handed_on = HandedOn::default();
        let mut now = NOON;
        for number in 0.. {
            let (reply, sender) = (format!("reply_{number}"), sender(number));
            handed_on = handed_on.merged(&HandedOn::default(), now);
            if let Some(refused) = budget.refusal(&handed_on, &reply, &sender, now) {
                return (handed_on.in_day(), refused);
            }
            handed_on.add(&reply, &sender, now);
            assert_eq!(budget.refusal(&handed_on, &reply, &sender, now), None);
            now = now.plus(step);
        }
        unreachable!()
    }

    #[test]
    fn one_sender_has_five_a_day() {
        let one = |_| "jane".to_owned();
        let ended = flood(one, HOUR / 12);
        assert_eq!(ended, (5, Reason::SenderOverBudget));
    }

    #[test]
    fn many_senders_have_ten_an_hour_and_forty_a_day() {
        let many = |number| format!("sender-{number}");
        let (at_once, why) = flood(many, HOUR / 1_000);
        assert_eq!((at_once, why), (10, Reason::AccountOverBudget));
        let (in_a_day, why) = flood(many, HOUR / 4);
        assert_eq!((in_a_day, why), (40, Reason::AccountOverBudget));
    }
}
