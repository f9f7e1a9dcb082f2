//! Lists for people: the operator's page and API, and checks.

use super::{Ledger, at};
use crate::{
    model::time::UnixMillis,
    ports::{Clock, Store, StoreError},
};
use serde_json::{Map, Value};
use std::cmp::Reverse;

/// Values that are read one by one for a list.
const READS_MAX: usize = 30;
/// Windows of 8.5 hours that are listed for the newest mails.
const WINDOWS_MAX: u64 = 6;
/// Mails after which no further window is listed.
const MAILS_ENOUGH: usize = 200;

impl<P: Store + Clock> Ledger<'_, P> {
    /// What is kept under keys of one kind (`mail:`, ...), the newest first. Each row is the value and the rest of its
    /// key under `id`.
    ///
    /// Where there are more than a thousand mails, these are the mails of the last two days at most.
    pub async fn all(&self, kind: &str, id: &str) -> Result<Vec<Value>, StoreError> {
        let mut listed = self.count(self.ports.list(kind)).await?;
        if !listed.is_complete && kind == "mail:" {
            listed.entries.clear();
            let newest = svix_window(self.ports.now()).saturating_add(1);
            for window in (newest.saturating_sub(WINDOWS_MAX)..=newest).rev() {
                let more = self.count(self.ports.list(&svix_prefix(window))).await?;
                listed.entries.extend(more.entries);
                if listed.entries.len() >= MAILS_ENOUGH {
                    break;
                }
            }
        }
        let mut rows = Vec::with_capacity(listed.entries.len());
        let mut reads = 0_usize;
        for (name, value) in listed.entries {
            let text = match value {
                Some(text) => Some(text),
                None if reads < READS_MAX => {
                    reads = reads.saturating_add(1);
                    self.get(&name).await?
                }
                None => None,
            };
            let key = name.strip_prefix(kind).unwrap_or_default();
            rows.push(row(text.as_deref(), id, key));
        }
        rows.sort_by_key(|row| Reverse(at(row)));
        Ok(rows)
    }
}

/// One row: the value without what nobody may see, and its key.
fn row(text: Option<&str>, id: &str, key: &str) -> Value {
    let mut row: Map<String, Value> = text
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    row.insert(id.to_owned(), key.into());
    // Of a dead letter this is all that is shown.
    if let Some(mail) = row.remove("mail") {
        row.insert("at".to_owned(), mail.get("queued_at").cloned().into());
        row.insert(
            "slug".to_owned(),
            mail.pointer("/email/slug").cloned().into(),
        );
    }
    for private in ["trail", "here"] {
        row.remove(private);
    }
    Value::Object(row)
}

/// Svix' ids are KSUIDs: they begin with their time, in base 62, counted from May 2014. Three characters
/// tell 30,588.7 seconds apart.
fn svix_window(now: UnixMillis) -> u64 {
    now.seconds()
        .saturating_sub(1_400_000_000)
        .saturating_mul(10)
        / 305_887
}

fn svix_prefix(window: u64) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut prefix = String::from("mail:msg_");
    for place in [3844, 62, 1] {
        let digit =
            usize::try_from(window.checked_div(place).unwrap_or_default() % 62).unwrap_or_default();
        prefix.push(char::from(DIGITS.get(digit).copied().unwrap_or_default()));
    }
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An id of March 2022, from Svix' documentation.
    #[test]
    fn svix_ids_begin_with_their_time() {
        let made = UnixMillis::from_seconds(1_649_000_000);
        let prefix = svix_prefix(svix_window(made));
        assert_eq!(prefix, "mail:msg_27I");
        assert!("mail:msg_27UH4WbU6Z5A5EzD8u03UvzRbpk" > prefix.as_str());
    }
}
