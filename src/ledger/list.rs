//! Lists of what the ledger holds, for the operator's page and API, and for the checks.

use super::{Ledger, at};
use crate::{
    model::{
        message::Message,
        time::{DAY, UnixMillis},
    },
    ports::{Clock, Listed, Store, StoreError},
};
use serde_json::{Map, Value, json};
use std::{cmp::Reverse, time::Duration};

/// How many values of one list are read one by one, because an older version did not list them, or a template's shape
/// is too long to be listed.
const READS_MAX: usize = 30;
/// How many list operations more there are, at most, when more than a thousand mails are known.
const LISTS_MAX: usize = 6;
/// So far back they go, at least.
const LISTED_SINCE: Duration = DAY;
/// ... and until there are this many.
const MAILS_ENOUGH: usize = 200;
/// What the hash of a recipient begins with.
const HASH_DIGITS: &str = "0123456789abcdef";

/// What the ledger holds of one kind.
#[derive(Debug)]
pub struct Rows {
    /// The newest first.
    pub rows: Vec<Value>,
    /// Whether these are all.
    pub is_complete: bool,
}

impl<P: Store + Clock> Ledger<'_, P> {
    /// Everything under keys with one prefix (`mail:`, ...), the newest first. Each row is what is listed of a value,
    /// and under `id` the rest of its key.
    ///
    /// If there are more than a thousand mails, only those of the last day or so are returned, and the newest of them
    /// if they are very many. The same goes for their delivery events.
    ///
    /// # Errors
    /// Why the ledger could not be read.
    pub async fn all(&self, kind: &str, id: &str) -> Result<Vec<Value>, StoreError> {
        Ok(self.rows(kind, id).await?.rows)
    }

    /// The same, and whether they are all that there are.
    ///
    /// # Errors
    /// Why the ledger could not be read.
    pub async fn rows(&self, kind: &str, id: &str) -> Result<Rows, StoreError> {
        let mut listed = self.count(self.ports.list(kind)).await?;
        if !listed.is_complete {
            match kind {
                "mail:" | "fate:" => listed.entries = self.newest(kind).await?,
                "suppressed:" => listed = self.by_first_digit(kind).await?,
                _ => {}
            }
        }
        let may_be_read = matches!(kind, "dead:" | "shape:");
        let mut rows = Vec::with_capacity(listed.entries.len());
        let mut reads = 0_usize;
        for (name, value) in listed.entries {
            let text = match value {
                None if may_be_read && reads < READS_MAX => {
                    reads = reads.saturating_add(1);
                    self.get(&name).await?
                }
                listed => listed,
            };
            let key = name.strip_prefix(kind).unwrap_or_default();
            let mut row = match text {
                // Too many to be read, or too long to be listed.
                None => Map::new(),
                Some(letter) if kind == "dead:" => letter_row(&letter),
                Some(record) => serde_json::from_str(&record).unwrap_or_default(),
            };
            if kind == "mail:" {
                complete(&mut row, key);
            }
            row.insert(id.to_owned(), key.into());
            rows.push(Value::Object(row));
        }
        rows.sort_by_key(|row| Reverse(at(row)));
        Ok(Rows {
            rows,
            is_complete: listed.is_complete,
        })
    }

    /// What is kept under the hashes of more than a thousand recipients, one first digit after the other. Their order
    /// says nothing of their time, so none may be left out.
    async fn by_first_digit(&self, kind: &str) -> Result<Listed, StoreError> {
        let mut all = Listed {
            entries: Vec::new(),
            is_complete: true,
        };
        for digit in HASH_DIGITS.chars() {
            let prefix = format!("{kind}{digit}");
            let part = self.count(self.ports.list(&prefix)).await?;
            all.is_complete &= part.is_complete;
            all.entries.extend(part.entries);
        }
        Ok(all)
    }

    /// The newest of more than a thousand mails: those whose ids begin with the time of the last day. Of a time that
    /// had more than a thousand, too, its parts are listed.
    async fn newest(&self, kind: &str) -> Result<Vec<(String, Option<String>)>, StoreError> {
        let now = self.ports.now();
        let since = Span::of(now.minus(LISTED_SINCE));
        let mut next = Span::of(now).and_before();
        let mut found = Vec::new();
        for _ in 0..LISTS_MAX {
            let Some(span) = next.pop() else { break };
            let listed = self.count(self.ports.list(&span.prefix(kind))).await?;
            if !listed.is_complete && span.is_divisible() {
                next.extend(span.parts(now));
                continue;
            }
            found.extend(listed.entries);
            if span.number < since.number && span.is_divisible() && found.len() >= MAILS_ENOUGH {
                break;
            }
        }
        Ok(found)
    }
}

/// Adds to a mail's row what its record leaves out: the account that it is waiting for, and a time, which is in Svix'
/// ids. Takes away what only the relay needs.
pub(super) fn complete(row: &mut Map<String, Value>, key: &str) {
    if let Some(trail) = row.remove("trail")
        && !row.contains_key("account")
        && let Some(last) = trail.get("slots").and_then(Value::as_array)
        && let Some(account) = last.last().and_then(|slot| slot.get("account"))
    {
        row.insert("account".to_owned(), account.clone());
    }
    if !row.contains_key("at")
        && let Some(made) = made_at(key)
    {
        row.insert("at".to_owned(), made.0.into());
    }
}

/// What is listed of a dead letter in its place.
pub(super) fn listed_letter(letter: &str) -> String {
    json!({"summary": dead_letter(letter)}).to_string()
}

/// The row of a dead letter: of what is listed of it, or of the whole letter, which older versions listed if it was
/// short.
fn letter_row(text: &str) -> Map<String, Value> {
    let listed: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    match listed.get("summary").and_then(Value::as_object) {
        Some(summary) => summary.clone(),
        None => dead_letter(text),
    }
}

/// What is shown of a dead letter. It holds a whole mail, or what a user wrote; its kind, time and template are no
/// secret. Nothing else of it is taken, so that what a later version puts there is not shown either.
fn dead_letter(letter: &str) -> Map<String, Value> {
    let row = match Message::from_text(letter) {
        Some(Message::Mail(mail)) => {
            json!({"kind": "mail", "at": mail.queued_at, "slug": mail.email.slug})
        }
        Some(Message::HandOff { payload }) => {
            let received_at = payload.pointer("/message/received_at");
            let at = received_at
                .and_then(Value::as_u64)
                .map(UnixMillis::from_seconds);
            json!({"kind": "hand_off", "at": at})
        }
        Some(Message::Notification { .. }) => json!({"kind": "notification"}),
        Some(Message::Alert { .. }) => json!({"kind": "alert"}),
        Some(Message::Probe { .. }) => json!({"kind": "probe"}),
        Some(Message::HandBack(_)) => json!({"kind": "hand_back"}),
        None => json!({"kind": "unreadable"}),
    };
    match row {
        Value::Object(row) => row,
        _ => Map::new(),
    }
}

const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Where KSUIDs count from, in May 2014.
const KSUID_EPOCH: u64 = 1_400_000_000;

/// Svix' ids are KSUIDs (<https://github.com/segmentio/ksuid>): they begin with the time they were made, in base 62.
/// So ids with the same first three characters are from one span of 30,588.7 seconds, and those with the same four
/// from one of 493 seconds.
#[derive(Clone, Copy, Debug)]
struct Span {
    number: u64,
    digits: u32,
}

impl Span {
    fn of(moment: UnixMillis) -> Self {
        let seconds = moment.seconds().saturating_sub(KSUID_EPOCH);
        Self {
            number: seconds.saturating_mul(10) / 305_887,
            digits: 3,
        }
    }

    /// It, the one after it, because the constant above is rounded, and those before it; the newest last.
    fn and_before(self) -> Vec<Self> {
        let newest = self.number.saturating_add(1);
        let lists = u64::try_from(LISTS_MAX).unwrap_or_default();
        let all = newest.saturating_sub(lists)..=newest;
        all.map(|number| Self { number, ..self }).collect()
    }

    fn is_divisible(self) -> bool {
        self.digits == 3
    }

    /// Its parts that have begun, the newest last.
    fn parts(self, now: UnixMillis) -> Vec<Self> {
        let seconds = now.seconds().saturating_sub(KSUID_EPOCH);
        let newest = (seconds.saturating_mul(1000) / 493_366).saturating_add(1);
        let first = self.number.saturating_mul(62);
        let all = (first..first.saturating_add(62)).filter(|part| *part <= newest);
        all.map(|number| Self { number, digits: 4 }).collect()
    }

    /// The prefix of the keys of that kind.
    fn prefix(self, kind: &str) -> String {
        let mut digits = String::new();
        let mut left = self.number;
        for _ in 0..self.digits {
            let digit = usize::try_from(left % 62).unwrap_or_default();
            let digit = DIGITS.get(digit).copied().unwrap_or_default();
            digits.insert(0, char::from(digit));
            left /= 62;
        }
        format!("{kind}msg_{digits}")
    }
}

/// When a Svix id was made, to a few minutes.
fn made_at(id: &str) -> Option<UnixMillis> {
    let digits = id.strip_prefix("msg_").filter(|rest| rest.len() == 27)?;
    let mut number = 0_u64;
    for byte in digits.bytes().take(4) {
        let digit = DIGITS.iter().position(|digit| *digit == byte)?;
        let digit = u64::try_from(digit).ok()?;
        number = number.saturating_mul(62).saturating_add(digit);
    }
    let seconds = number.saturating_mul(493_366) / 1000;
    Some(UnixMillis::from_seconds(
        seconds.saturating_add(KSUID_EPOCH),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An id of March 2022, from Svix' documentation.
    const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";

    #[test]
    fn svix_ids_begin_with_their_time() {
        let made = UnixMillis::from_seconds(1_649_000_000);
        let prefix = Span::of(made).prefix("mail:");
        assert_eq!(prefix, "mail:msg_27I");
        assert!(format!("mail:{ID}") > prefix);
        let said = made_at(ID).unwrap();
        assert_eq!(Span::of(said).prefix(""), "msg_27U");
        assert_eq!(made_at("msg_1"), None);
    }

    #[test]
    fn a_span_is_divided_into_its_parts() {
        let span = Span::of(made_at(ID).unwrap());
        let parts = span.parts(UnixMillis::from_seconds(1_764_000_000));
        let prefixes: Vec<String> = parts.iter().map(|part| part.prefix("")).collect();
        assert_eq!((prefixes.len(), prefixes[0].as_str()), (62, "msg_27U0"));
        assert!(prefixes.contains(&"msg_27UH".to_owned()), "{prefixes:?}");
        // None that has not begun.
        let now = made_at(ID).unwrap();
        assert!(span.parts(now).len() < 25);
    }
}
