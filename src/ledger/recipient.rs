//! What the ledger remembers of recipients, under keyed hashes of their addresses.

use super::{Ledger, MONTH, TEN_YEARS};
use crate::{
    model::{
        secret::Secret,
        time::{DAY, HOUR},
    },
    ports::{Clock, Memory, Store, StoreError},
};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::time::Duration;

/// The number of hard bounces at one domain, without a delivery between them, after which no more mails are sent there.
pub const BOUNCES_MAX: u32 = 5;
const BOUNCES_TTL: Duration = HOUR;
/// The key below `said:` which says that Nylas reports deliveries.
const DELIVERED: &str = "delivered";
/// After this long without a delivery event, the relay assumes that Nylas does not report deliveries.
const DELIVERED_TTL: Duration = DAY;

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

impl<P: Store + Clock + Memory> Ledger<'_, P> {
    /// Whether the address must not be written to.
    pub async fn is_suppressed(&self, address: &str, key: &Secret) -> Result<bool, StoreError> {
        self.has(&suppression_key(address, key)).await
    }

    /// Suppresses an address. A bounce does not replace a complaint, whose TTL is longer.
    pub async fn suppress(
        &self,
        address: &str,
        key: &Secret,
        why: Suppression,
    ) -> Result<(), StoreError> {
        let name = suppression_key(address, key);
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
    pub async fn unsuppress(&self, address: &str, key: &Secret) -> Result<bool, StoreError> {
        let name = suppression_key(address, key);
        let was_suppressed = self.has(&name).await?;
        self.delete(&name).await?;
        Ok(was_suppressed)
    }

    /// Whether mails to the address' domain only bounced lately. A count that cannot be read counts as none.
    pub async fn is_bouncing(&self, address: &str, key: &Secret) -> bool {
        let bounces = self.bounces(&bounces_key(address, key)).await;
        bounces.is_ok_and(|count| count >= BOUNCES_MAX)
    }

    /// Counts a hard bounce at the address' domain. Returns whether it is the one after which mails to the domain stop.
    ///
    /// Without `message.delivered` we can't tell a dead domain from typos at a large provider, so nothing is counted
    /// then.
    pub async fn count_bounce(&self, address: &str, key: &Secret) -> Result<bool, StoreError> {
        if !self.has(&format!("said:{DELIVERED}")).await? {
            return Ok(false);
        }
        let name = bounces_key(address, key);
        let count = self.bounces(&name).await?.saturating_add(1);
        self.put_bounces(&name, count).await?;
        Ok(count == BOUNCES_MAX)
    }

    /// A mail was delivered at the address' domain, so its bounces no longer count.
    pub async fn clear_bounces(&self, address: &str, key: &Secret) -> Result<(), StoreError> {
        // Written at most once an hour by an instance, because most delivery events are deliveries.
        if self.ports.recall(DELIVERED).is_none() {
            self.may_say(DELIVERED, DELIVERED_TTL).await;
            self.ports.remember(DELIVERED, DELIVERED, HOUR);
        }
        let name = bounces_key(address, key);
        if self.bounces(&name).await? > 0 {
            self.put_bounces(&name, 0).await?;
        }
        Ok(())
    }

    async fn bounces(&self, name: &str) -> Result<u32, StoreError> {
        let row: Option<Value> = self.read(name).await?;
        let count = row.and_then(|row| row.get("count").and_then(Value::as_u64));
        Ok(u32::try_from(count.unwrap_or_default()).unwrap_or(u32::MAX))
    }

    async fn put_bounces(&self, name: &str, count: u32) -> Result<(), StoreError> {
        self.write(name, &json!({"count": count}), BOUNCES_TTL)
            .await
    }
}

/// The key of a suppressed address: an HMAC keyed with the Nylas key, so that nobody who can only read the store learns
/// who is suppressed.
pub fn suppression_key(address: &str, key: &Secret) -> String {
    format!("suppressed:{}", keyed_hash(address, key))
}

pub(super) fn bounces_key(address: &str, key: &Secret) -> String {
    let domain = address.rsplit('@').next().unwrap_or_default();
    format!("bouncing:{}", keyed_hash(domain, key))
}

/// An HMAC of an address, ignoring case: it tells addresses apart without showing them.
pub fn keyed_hash(address: &str, key: &Secret) -> String {
    let address = address.trim().to_ascii_lowercase();
    // This cannot fail: HMAC accepts a key of any length.
    Hmac::<Sha256>::new_from_slice(key.reveal().as_bytes())
        .map(|mac| hex::encode(mac.chain_update(address).finalize().into_bytes()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suppression_key_shows_nothing_of_the_address() {
        let key = Secret::new("nyk_key");
        let name = suppression_key(" Jane@Example.com ", &key);
        assert_eq!(name, suppression_key("jane@example.com", &key));
        assert_ne!(name, suppression_key("john@example.com", &key));
        assert_ne!(
            name,
            suppression_key("jane@example.com", &Secret::new("other"))
        );
        assert_eq!(name.len(), "suppressed:".len() + 64);
    }
}
