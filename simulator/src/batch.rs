//! Messages of a queue that are due.

use crate::executor::Handover;
use clerk_nylas_relay::model::message::{Disposition, Lane};
use std::collections::BTreeMap;

/// A message that waits for its batch.
pub struct Due {
    pub text: String,
    pub attempt: u32,
    pub is_dead: bool,
    /// What became of it. `None`: the instance crashed.
    pub settled: Handover<Option<Disposition>>,
}

/// The messages that wait for their batches, by their queue.
pub type Batches = BTreeMap<Lane, Vec<Due>>;
