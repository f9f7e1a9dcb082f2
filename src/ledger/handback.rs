//! What the ledger remembers of handing templates back to Clerk. Nothing of it is read or written while an account
//! sends.

use super::Ledger;
use crate::{
    model::{
        id::SvixId,
        time::{DAY, HOUR, MINUTE, UnixMillis},
    },
    ports::{Clock, Store, StoreError},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long it is remembered that a mail found every account at fault. A mail's attempts are less than this apart while
/// it is younger.
pub const MET_TTL: Duration = MINUTE.saturating_mul(10);
/// How often templates are handed back at most.
pub const ONCE_IN: Duration = HOUR;

const MET: &str = "all_at_fault";
const QUEUED: &str = "handing_back";
const DONE: &str = "handed_back";

/// The first mail that found every account at fault, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Met {
    pub svix_id: SvixId,
    pub at: UnixMillis,
}

/// What was handed back last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedBack {
    /// When.
    pub at: UnixMillis,
    /// The slugs of the templates.
    pub templates: Vec<String>,
    /// Whether that is all of them. Otherwise the queue message that does it goes on.
    pub is_done: bool,
}

impl<P: Store + Clock> Ledger<'_, P> {
    /// The first mail that lately found every account at fault; and whether a hand-back was queued within
    /// [`ONCE_IN`]. One operation.
    pub async fn hand_back_state(&self) -> (Option<Met>, bool) {
        self.read_ahead(vec![MET.to_owned(), QUEUED.to_owned()])
            .await;
        let met = self.read(MET).await.ok().flatten();
        (met, self.has(QUEUED).await == Ok(true))
    }

    /// Remembers the first mail that found every account at fault.
    pub async fn put_met(&self, met: &Met) -> Result<(), StoreError> {
        self.write(MET, met, MET_TTL).await
    }

    /// Remembers that a hand-back was queued.
    pub async fn put_hand_back_queued(&self) -> Result<(), StoreError> {
        self.put_now(QUEUED, ONCE_IN).await
    }

    /// Forgets that a hand-back was queued, because an account sends again: the next time is a new one.
    pub async fn forget_hand_back_queued(&self) -> Result<(), StoreError> {
        self.delete(QUEUED).await
    }

    /// What was handed back last, within a day.
    pub async fn handed_back(&self) -> Option<HandedBack> {
        self.read(DONE).await.ok().flatten()
    }

    /// Remembers what was handed back.
    pub async fn put_handed_back(&self, handed_back: &HandedBack) -> Result<(), StoreError> {
        self.write(DONE, handed_back, DAY).await
    }
}
