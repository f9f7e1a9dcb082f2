//! What the questions share.

use super::mailer::Mailer;
use crate::nylas::Nylas;
use std::time::Duration;

/// The mail whose copies and notifications are looked at. It is sent once, while the first is sent again.
pub const LOOKED_AT: &str = "2";

/// How long things take. Tests have shorter seconds.
#[derive(Clone, Copy, Debug)]
pub struct Pace(pub u64);

impl Pace {
    pub fn seconds(self, count: u64) -> Duration {
        Duration::from_millis(self.0.saturating_mul(count))
    }

    /// The pause between two looks.
    pub fn pause(self) {
        std::thread::sleep(self.seconds(1).checked_div(4).unwrap_or_default());
    }
}

/// Everything that the questions share.
pub struct Prober<'a> {
    pub nylas: &'a Nylas<'a>,
    pub mailer: Mailer<'a>,
    pub grant_id: &'a str,
    /// The name of the run; its mails are called after it.
    pub run: String,
    pub pace: Pace,
    pub hold: Duration,
}

impl Prober<'_> {
    pub fn name(&self, of: &str) -> String {
        format!("{}.{of}", self.run)
    }
}
