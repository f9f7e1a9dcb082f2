//! What the ledger remembers of an account.

use super::{Ledger, MONTH, at, guard::guard_key};
use crate::{
    model::{
        account::{AccountFault, Folders, Identity},
        id::GrantId,
        time::{DAY, HOUR, UnixMillis},
    },
    ports::{Clock, Store, StoreError},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const DAY_SECONDS: u64 = 86_400;

/// How far the sweep has got in one mailbox. The sweep looks for messages whose notification was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// Where an unfinished look goes on: Nylas' token for the next page.
    #[serde(default)]
    pub page_token: Option<String>,
    /// Every message received before this moment was seen.
    pub since: UnixMillis,
    /// What `since` will be when the present look is finished.
    pub until: UnixMillis,
}

impl<P: Store + Clock> Ledger<'_, P> {
    /// The account's address and name, if they are remembered.
    pub async fn identity(&self, grant_id: &GrantId) -> Option<Identity> {
        self.read(&account_key(grant_id)).await.ok().flatten()
    }

    /// Remembers the account's address and name.
    pub async fn put_identity(
        &self,
        grant_id: &GrantId,
        identity: &Identity,
    ) -> Result<(), StoreError> {
        self.write(&account_key(grant_id), identity, MONTH).await
    }

    /// The ids of the account's folders, if they are remembered.
    pub async fn folders(&self, grant_id: &GrantId) -> Option<Folders> {
        self.read(&folders_key(grant_id)).await.ok().flatten()
    }

    /// Remembers the ids of the account's folders.
    pub async fn put_folders(
        &self,
        grant_id: &GrantId,
        folders: &Folders,
    ) -> Result<(), StoreError> {
        self.write(&folders_key(grant_id), folders, MONTH).await
    }

    /// Reads in one operation what an operator is shown of an account, for [`Self::mark`], `sent_today`, `guard` and
    /// [`Self::identity`].
    pub async fn read_account_ahead(&self, grant_id: &GrantId) {
        let keys = vec![
            down_key(grant_id),
            used_key(grant_id),
            guard_key(grant_id),
            account_key(grant_id),
        ];
        self.read_ahead(keys).await;
    }

    /// The mark of an account that is down: reason, since, until.
    pub async fn mark(&self, grant_id: &GrantId) -> Result<Option<Value>, StoreError> {
        self.read(&down_key(grant_id)).await
    }

    /// Whether an account is marked as down. A mark that cannot be read counts as none.
    pub async fn is_down(&self, grant_id: &GrantId) -> bool {
        self.has(&down_key(grant_id)).await == Ok(true)
    }

    /// Marks an account as down: until its quota begins anew if that is used up, for an hour otherwise. The mark only
    /// keeps the alert from repeating; no mail's route depends on it.
    pub async fn mark_down(
        &self,
        grant_id: &GrantId,
        fault: AccountFault,
    ) -> Result<(), StoreError> {
        let now = self.ports.now();
        let until = fault.reset(now).unwrap_or(now.plus(HOUR));
        let mark = json!({"reason": fault.reason(), "since": now, "until": until});
        self.write(&down_key(grant_id), &mark, until.since(now))
            .await
    }

    /// Removes the mark: the account has sent a mail since.
    pub async fn mark_up(&self, grant_id: &GrantId) -> Result<(), StoreError> {
        self.delete(&down_key(grant_id)).await
    }

    /// How many mails an account has sent today (UTC), by Nylas' last count.
    pub async fn sent_today(&self, grant_id: &GrantId) -> Result<Option<u64>, StoreError> {
        let row: Option<Value> = self.read(&used_key(grant_id)).await?;
        let today = day_of(self.ports.now());
        let row = row.filter(|row| day_of(at(row)) == today);
        Ok(row.and_then(|row| row.get("sent").and_then(Value::as_u64)))
    }

    /// Remembers how many mails an account has sent today. Nothing is written while the number stays the same.
    pub async fn put_used(&self, grant_id: &GrantId, sent: u64) -> Result<(), StoreError> {
        if self.sent_today(grant_id).await? == Some(sent) {
            return Ok(());
        }
        let key = used_key(grant_id);
        let row = json!({"sent": sent, "at": self.ports.now()});
        self.write(&key, &row, DAY).await
    }

    /// How far the sweep has got in an account's mailbox.
    pub async fn look(&self, grant_id: &GrantId) -> Result<Option<Look>, StoreError> {
        self.read(&format!("looked:{}", grant_id.as_str())).await
    }

    /// Remembers how far the sweep has got.
    pub async fn put_look(&self, grant_id: &GrantId, look: &Look) -> Result<(), StoreError> {
        self.write(&format!("looked:{}", grant_id.as_str()), look, MONTH)
            .await
    }
}

pub(super) fn account_key(grant_id: &GrantId) -> String {
    format!("account:{}", grant_id.as_str())
}

fn folders_key(grant_id: &GrantId) -> String {
    format!("folders:{}", grant_id.as_str())
}

fn down_key(grant_id: &GrantId) -> String {
    format!("down:{}", grant_id.as_str())
}

fn used_key(grant_id: &GrantId) -> String {
    format!("used:{}", grant_id.as_str())
}

/// The day in UTC, which is Nylas': days since the Unix epoch.
pub(super) fn day_of(now: UnixMillis) -> u64 {
    now.seconds() / DAY_SECONDS
}
