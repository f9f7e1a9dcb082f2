//! What the ledger remembers of recipients, under keyed hashes of their addresses.

use super::{Ledger, MONTH, TEN_YEARS, at};
use crate::{
    model::{
        id::SvixId,
        secret::Secret,
        time::{DAY, HOUR, UnixMillis},
    },
    ports::{Clock, Memory, Store, StoreError},
};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;
use std::time::Duration;

/// How long a proof holds.
const PROVEN_TTL: Duration = DAY.saturating_mul(180);
/// A younger proof is not written again.
const PROVEN_AGAIN_AFTER: Duration = MONTH;
/// The key below `said:` which says that Nylas reports deliveries.
const DELIVERED: &str = "delivered";

/// An HMAC of an address, keyed with the Nylas key, ignoring case. It tells recipients apart; nobody who can only read
/// the store learns who they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecipientHash(String);

impl RecipientHash {
    pub fn new(address: &str, key: &Secret) -> Self {
        Self::of(&address.trim().to_ascii_lowercase(), key)
    }

    /// The hash of the address' domain.
    pub fn of_domain(address: &str, key: &Secret) -> Self {
        let domain = address.rsplit('@').next().unwrap_or_default();
        Self::of(&domain.trim().to_ascii_lowercase(), key)
    }

    /// The hash of the address and a template.
    pub fn of_template(address: &str, slug: &str, key: &Secret) -> Self {
        let address = address.trim().to_ascii_lowercase();
        Self::of(&format!("{slug} {address}"), key)
    }

    /// A hash as an operator names it: 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hash = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then(|| Self(text.to_ascii_lowercase()))
    }

    fn of(text: &str, key: &Secret) -> Self {
        // This cannot fail: HMAC accepts a key of any length.
        let hash = Hmac::<Sha256>::new_from_slice(key.reveal().as_bytes())
            .map(|mac| hex::encode(mac.chain_update(text).finalize().into_bytes()));
        Self(hash.unwrap_or_default())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ledger's key of this recipient's suppression.
    pub fn suppression_key(&self) -> String {
        format!("suppressed:{}", self.0)
    }

    pub(super) fn proof_key(&self) -> String {
        format!("proven:{}", self.0)
    }

    fn refusals_key(&self) -> String {
        format!("refused:{}", self.0)
    }
}

/// Why an address must not be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suppression {
    Bounced,
    Complained,
    /// An operator suppressed it.
    Operator,
}

impl Suppression {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bounced => "bounced",
            Self::Complained => "complained",
            Self::Operator => "operator",
        }
    }
}

impl<P: Store + Clock> Ledger<'_, P> {
    /// Whether the recipient must not be written to.
    pub async fn is_suppressed(&self, recipient: &RecipientHash) -> Result<bool, StoreError> {
        self.has(&recipient.suppression_key()).await
    }

    /// Why and when the recipient was suppressed, as it is stored.
    pub async fn suppression(
        &self,
        recipient: &RecipientHash,
    ) -> Result<Option<Value>, StoreError> {
        // Version 0.1.0 stored no JSON object.
        let text = self.get(&recipient.suppression_key()).await?;
        Ok(text.map(|text| serde_json::from_str(&text).unwrap_or_default()))
    }

    /// Suppresses an address. A bounce does not replace a complaint, whose TTL is longer.
    pub async fn suppress(
        &self,
        recipient: &RecipientHash,
        why: Suppression,
    ) -> Result<(), StoreError> {
        let name = recipient.suppression_key();
        if why != Suppression::Complained
            && let Some(known) = self.get(&name).await?
            && known.contains(Suppression::Complained.as_str())
        {
            return Ok(());
        }
        let ttl = match why {
            Suppression::Complained => TEN_YEARS,
            Suppression::Bounced | Suppression::Operator => MONTH,
        };
        let row = json!({"reason": why.as_str(), "at": self.ports.now()});
        self.write(&name, &row, ttl).await
    }

    /// Allows mails to an address again. Returns whether it was suppressed.
    pub async fn unsuppress(&self, recipient: &RecipientHash) -> Result<bool, StoreError> {
        let name = recipient.suppression_key();
        let was_suppressed = self.has(&name).await?;
        self.delete(&name).await?;
        Ok(was_suppressed)
    }

    /// Whether a mail was delivered to the recipient within half a year.
    pub async fn is_proven(&self, recipient: &RecipientHash) -> Result<bool, StoreError> {
        Ok(self.proven_at(recipient).await?.is_some())
    }

    /// When a mail was delivered to the recipient; later deliveries of the same month do not count.
    pub async fn proven_at(
        &self,
        recipient: &RecipientHash,
    ) -> Result<Option<UnixMillis>, StoreError> {
        let row: Option<Value> = self.read(&recipient.proof_key()).await?;
        Ok(row.map(|row| at(&row)))
    }

    /// Reads in one operation what is known of a recipient, for `suppression` and `proven_at`.
    pub async fn read_recipient_ahead(&self, recipient: &RecipientHash) {
        let keys = vec![recipient.suppression_key(), recipient.proof_key()];
        self.read_ahead(keys).await;
    }

    /// Reads in one operation what a delivery event of this mail to this recipient needs.
    pub async fn read_delivery_ahead(&self, id: &SvixId, recipient: &RecipientHash) {
        let keys = vec![format!("fate:{id}"), recipient.proof_key()];
        self.read_ahead(keys).await;
    }

    /// Remembers that a mail was delivered to the recipient. Once a month is enough.
    pub async fn prove(&self, recipient: &RecipientHash) -> Result<(), StoreError> {
        let now = self.ports.now();
        let known = self.proven_at(recipient).await?;
        if known.is_some_and(|at| now.since(at) < PROVEN_AGAIN_AFTER) {
            return Ok(());
        }
        let row = json!({"at": now});
        self.write(&recipient.proof_key(), &row, PROVEN_TTL).await
    }

    /// Whether Nylas reports deliveries. Without them nobody is ever proven.
    pub async fn hears_of_deliveries(&self) -> Result<bool, StoreError> {
        self.has(&format!("said:{DELIVERED}")).await
    }
}

impl<P: Store + Clock + Memory> Ledger<'_, P> {
    /// Remembers that Nylas reports deliveries, for as long as a delivery proves its recipient. An instance looks once
    /// an hour and the ledger is written once a day, because most events are deliveries.
    pub async fn note_deliveries(&self) {
        if self.ports.recall(DELIVERED).is_some() {
            return;
        }
        let (name, now) = (format!("said:{DELIVERED}"), self.ports.now());
        if let Ok(known) = self.get(&name).await {
            let noted_at = known.and_then(|text| text.parse().ok()).map(UnixMillis);
            if noted_at.is_none_or(|noted_at| now.since(noted_at) >= DAY) {
                let _ = self.put_now(&name, PROVEN_TTL).await;
            }
        }
        self.ports.remember(DELIVERED, DELIVERED, HOUR);
    }

    /// Counts a mail that the servers of this domain refused. Returns how many there were today. The store is late by
    /// up to a minute, so the instance remembers the count, too.
    pub async fn count_refusal(&self, domain: &RecipientHash) -> Result<u64, StoreError> {
        let (name, now) = (domain.refusals_key(), self.ports.now());
        let stored: Option<Value> = self.read(&name).await?;
        let remembered = self.ports.recall(&name);
        let remembered = remembered.and_then(|text| serde_json::from_str(&text).ok());
        let rows = [stored, remembered].into_iter().flatten();
        let today = rows.filter(|row: &Value| at(row) >= now.midnight());
        let counts = today.filter_map(|row| row.get("count").and_then(Value::as_u64));
        let count = counts.max().unwrap_or_default().saturating_add(1);
        let row = json!({"count": count, "at": now});
        self.write(&name, &row, DAY).await?;
        self.ports.remember(&name, &row.to_string(), HOUR);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_shows_nothing_of_the_address() {
        let key = Secret::new("nyk_key");
        let hash = RecipientHash::new(" Jane@Example.com ", &key);
        assert_eq!(hash, RecipientHash::new("jane@example.com", &key));
        assert_ne!(hash, RecipientHash::new("john@example.com", &key));
        let other = Secret::new("other");
        assert_ne!(hash, RecipientHash::new("jane@example.com", &other));
        assert_eq!(hash.suppression_key().len(), "suppressed:".len() + 64);
        assert_eq!(RecipientHash::parse(&hash.0), Some(hash));
        assert_eq!(RecipientHash::parse("jane@example.com"), None);
    }

    #[test]
    fn addresses_of_one_domain_have_one_hash_of_it() {
        let key = Secret::new("nyk_key");
        let hash = |address| RecipientHash::of_domain(address, &key);
        assert_eq!(hash("jane@Example.com"), hash("john@example.com"));
        assert_ne!(hash("jane@example.com"), hash("jane@example.org"));
    }
}
