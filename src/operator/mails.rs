//! The mails as an operator sees them: each with its state, which what Nylas reported later is a part of.

use super::{
    api::View,
    row::{number, word},
};
use crate::{
    ledger::mail::MailState,
    model::time::{DAY, UnixMillis, millis},
    ports::{Ports, StoreError},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// How good a state is for its user. It has a colour, a sign and a pattern, so that none of them is needed to tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    /// The user has the mail, as far as is known.
    Good,
    /// The relay goes on by itself.
    Waiting,
    /// The user does not get it.
    Bad,
    /// Nobody needs it any more, or somebody else sends it.
    Neutral,
}

impl Tone {
    pub const ALL: [Self; 4] = [Self::Good, Self::Waiting, Self::Bad, Self::Neutral];

    /// As a class of the page's style, and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Waiting => "wait",
            Self::Bad => "bad",
            Self::Neutral => "other",
        }
    }

    /// What it is called where there is no room for each state.
    pub fn title(self) -> &'static str {
        match self {
            Self::Good => "sent",
            Self::Waiting => "waiting",
            Self::Bad => "not received",
            Self::Neutral => "not needed",
        }
    }

    pub fn sign(self) -> &'static str {
        match self {
            Self::Good => "\u{2713}",
            Self::Waiting => "\u{2026}",
            Self::Bad => "\u{2717}",
            Self::Neutral => "\u{2013}",
        }
    }
}

/// How good a stored state is for the mail's user.
fn tone_of_state(state: MailState) -> Tone {
    match state {
        MailState::Sent => Tone::Good,
        MailState::Queued | MailState::Waiting => Tone::Waiting,
        MailState::Rejected | MailState::Expired | MailState::DeadLettered => Tone::Bad,
        // Its user has a newer code.
        MailState::Superseded => Tone::Neutral,
    }
}

/// How good a delivery event is for the mail's user.
pub fn tone_of_event(event: &str) -> Tone {
    match event {
        "delivered" => Tone::Good,
        "bounced" | "complained" | "rejected" | "failed" => Tone::Bad,
        "resent" => Tone::Waiting,
        _ => Tone::Neutral,
    }
}

/// One mail.
#[derive(Clone, Debug, Default)]
pub struct Mail {
    pub id: String,
    /// As it is stored; a word of a later version, too.
    pub state: String,
    /// What Nylas reported later: `delivered`, `bounced`, ...
    pub event: Option<String>,
    pub at: u64,
    pub slug: String,
    pub reason: String,
    pub account: String,
    pub recipient: String,
    pub age_ms: u64,
    pub attempts: u64,
    pub retry_at: Option<u64>,
    pub said: String,
}

impl Mail {
    pub fn new(row: &Value, event: Option<&Value>) -> Self {
        Self {
            id: word(row, "id").to_owned(),
            state: word(row, "state").to_owned(),
            event: event.map(|event| word(event, "fate").to_owned()),
            at: number(row, "at").unwrap_or_default(),
            slug: word(row, "slug").to_owned(),
            reason: word(row, "reason").to_owned(),
            account: word(row, "account").to_owned(),
            recipient: word(row, "recipient").to_owned(),
            age_ms: number(row, "age_ms").unwrap_or_default(),
            attempts: number(row, "attempts").unwrap_or_default(),
            retry_at: number(row, "retry_at"),
            said: word(row, "said").to_owned(),
        }
    }

    /// The state that is shown: of a mail that was sent, the delivery event.
    pub fn shown(&self) -> &str {
        match &self.event {
            Some(event) if self.state == MailState::Sent.as_str() => event,
            _ if self.state.is_empty() => "unknown",
            _ => &self.state,
        }
    }

    pub fn tone(&self) -> Tone {
        let state = MailState::ALL
            .into_iter()
            .find(|state| state.as_str() == self.state);
        match (state, &self.event) {
            (Some(MailState::Sent), Some(event)) => tone_of_event(event),
            (Some(state), _) => tone_of_state(state),
            (None, _) => Tone::Neutral,
        }
    }

    /// When Clerk made it.
    pub fn made_at(&self) -> u64 {
        self.at.saturating_sub(self.age_ms)
    }

    /// How long its user waited, or has been waiting. `None`: it never came, so there is no such time.
    pub fn waited(&self, now: UnixMillis) -> Option<u64> {
        if self.tone() == Tone::Waiting && self.state != MailState::Sent.as_str() {
            return Some(now.0.saturating_sub(self.made_at()));
        }
        (self.state == MailState::Sent.as_str()).then_some(self.age_ms)
    }

    /// Whether it is one of the last 24 hours.
    pub fn is_of_today(&self, now: UnixMillis) -> bool {
        now.0.saturating_sub(self.made_at()) < millis(DAY)
    }
}

impl<P: Ports> View<'_, P> {
    /// The mails with their delivery events, the newest first: two list operations, and no read.
    pub(super) async fn mails(&self) -> Result<Vec<Mail>, StoreError> {
        let rows = self.ledger.all("mail:", "id").await?;
        let events = self.events().await?;
        let mails = rows.iter().map(|row| {
            let event = events.get(word(row, "id"));
            Mail::new(row, event)
        });
        Ok(mails.collect())
    }

    /// Those that users wait for: no samples.
    pub(super) fn of_users(&self, mails: &[Mail]) -> Vec<Mail> {
        let of_users = mails.iter().filter(|mail| self.config.counts(&mail.id));
        of_users.cloned().collect()
    }

    /// The delivery events, by mail.
    pub(super) async fn events(&self) -> Result<BTreeMap<String, Value>, StoreError> {
        let events = self.ledger.all("fate:", "id").await?;
        let by_id = events
            .into_iter()
            .map(|event| (word(&event, "id").to_owned(), event));
        Ok(by_id.collect())
    }
}

/// Which mails are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// A state as it is shown, or `unsent`: those that nobody got.
    pub state: Option<String>,
    pub slug: Option<String>,
    pub account: Option<String>,
    /// A recipient's keyed hash.
    pub to: Option<String>,
}

impl Filter {
    pub fn fits(&self, mail: &Mail) -> bool {
        let fits = |wanted: &Option<String>, has: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == has)
        };
        let is_state = match self.state.as_deref() {
            None => true,
            Some(state) if state == mail.shown() || state == mail.state => true,
            Some(tone) => tone == mail.tone().as_str(),
        };
        is_state
            && fits(&self.slug, &mail.slug)
            && fits(&self.account, &mail.account)
            && fits(&self.to, &mail.recipient)
    }
}

/// How long their users waited, sorted.
pub fn waits<'a>(mails: impl Iterator<Item = &'a Mail>, now: UnixMillis) -> Vec<u64> {
    let mut waits: Vec<u64> = mails.filter_map(|mail| mail.waited(now)).collect();
    waits.sort_unstable();
    waits
}

/// The value below which that many percent of the sorted ones are.
pub fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let at = sorted.len().saturating_mul(percent) / 100;
    sorted.get(at).or(sorted.last()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mail(state: &str, event: Option<&str>) -> Mail {
        let event = event.map(|event| json!({"fate": event}));
        let row = json!({"id": "msg_1", "state": state, "at": 100_000, "age_ms": 40_000});
        Mail::new(&row, event.as_ref())
    }

    #[test]
    fn a_mail_that_bounced_is_not_shown_as_sent() {
        for (state, event, shown, tone) in [
            ("sent", None, "sent", Tone::Good),
            ("sent", Some("delivered"), "delivered", Tone::Good),
            ("sent", Some("bounced"), "bounced", Tone::Bad),
            ("sent", Some("complained"), "complained", Tone::Bad),
            ("sent", Some("failed"), "failed", Tone::Bad),
            ("sent", Some("resent"), "resent", Tone::Waiting),
            ("queued", Some("resent"), "queued", Tone::Waiting),
            ("queued", None, "queued", Tone::Waiting),
            ("expired", None, "expired", Tone::Bad),
            ("superseded", None, "superseded", Tone::Neutral),
            (
                "of_a_later_version",
                None,
                "of_a_later_version",
                Tone::Neutral,
            ),
            ("", None, "unknown", Tone::Neutral),
        ] {
            let mail = mail(state, event);
            assert_eq!((mail.shown(), mail.tone()), (shown, tone));
        }
    }

    #[test]
    fn a_queued_mail_counts_with_its_age() {
        let now = UnixMillis(160_000);
        assert_eq!(mail("sent", Some("bounced")).waited(now), Some(40_000));
        assert_eq!(mail("queued", None).waited(now), Some(100_000));
        assert_eq!(mail("expired", None).waited(now), None);
    }

    #[test]
    fn percentiles_of_few_are_values_that_there_were() {
        assert_eq!(percentile(&[], 50), None);
        assert_eq!(percentile(&[7], 95), Some(7));
        let hundred: Vec<u64> = (0..100).collect();
        assert_eq!(percentile(&hundred, 95), Some(95));
    }

    #[test]
    fn mails_are_filtered_by_what_is_shown() {
        let of = |state: &str| Filter {
            state: Some(state.to_owned()),
            ..Filter::default()
        };
        let bounced = mail("sent", Some("bounced"));
        assert!(of("bounced").fits(&bounced) && of("sent").fits(&bounced));
        assert!(of("bad").fits(&bounced) && !of("delivered").fits(&bounced));
        let to = Filter {
            to: Some("hash".to_owned()),
            ..Filter::default()
        };
        assert!(!to.fits(&bounced));
    }
}
