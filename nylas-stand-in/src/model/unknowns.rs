//! What no document of Nylas' says, or says without saying how: each can be played either way.

use std::time::Duration;

/// How the stand-in behaves where only the live service could tell. `relayctl prove` asks it, and its tests play every
/// variant. The default is what the relay assumes.
#[derive(Clone, Debug)]
pub struct Unknowns {
    /// How long a send takes.
    pub send_takes: Duration,
    /// Whether an accepted mail's answer is stored under its key. Nylas documents that it is.
    pub keeps_success: bool,
    /// Whether the refusal of a malformed request is stored under its key.
    pub keeps_refusals: bool,
    /// How long an answer is stored, from the first request on. Nylas documents an hour.
    pub keeps_for: Duration,
    /// What a request gets whose key was used with other bytes.
    pub other_bytes: OtherBytes,
    /// What becomes of a send whose caller hangs up, and of its key. Only a send that takes time can be hung up on.
    pub on_hang_up: OnHangUp,
    /// How long after a mail was accepted `metadata_pair` finds it.
    pub metadata_after: Duration,
    /// Whether `folders` of a message holds ids. If not, names.
    pub folders_are_ids: bool,
    /// Whether Inbox, Sent and Junk can be told by their attributes. If not, no folder has any.
    pub folders_have_attributes: bool,
    /// Whether the header `Auto-Submitted` reaches the recipient.
    pub passes_auto_submitted: bool,
    /// Whether a mail in HTML alone gets a part in plain text.
    pub makes_text_part: bool,
    /// Which notifications are compressed. Nylas documents: those to a webhook with `compressed_delivery`.
    pub compresses: Compresses,
}

/// Which notifications are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compresses {
    /// Those to a webhook that asks for it, as Nylas documents.
    WhatAsksForIt,
    /// All.
    Everything,
    /// None.
    Nothing,
}

/// What a request gets whose key was used with other bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherBytes {
    /// 409, as Nylas documents.
    Refused,
    /// The answer to the first bytes, as if they were the same.
    Replayed,
    /// It is a send of its own.
    Sent,
}

/// What becomes of a send whose caller hangs up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnHangUp {
    /// The send goes on, and its key is in flight until it ends.
    HoldsKey,
    /// The send goes on, and its key is free at once: who asks again makes a second mail.
    FreesKey,
    /// The send ends without a mail, and its key is free.
    EndsSend,
}

impl Default for Unknowns {
    fn default() -> Self {
        Unknowns {
            send_takes: Duration::ZERO,
            keeps_success: true,
            keeps_refusals: true,
            keeps_for: Duration::from_secs(60 * 60),
            other_bytes: OtherBytes::Refused,
            on_hang_up: OnHangUp::HoldsKey,
            metadata_after: Duration::ZERO,
            folders_are_ids: true,
            folders_have_attributes: true,
            passes_auto_submitted: true,
            makes_text_part: true,
            compresses: Compresses::WhatAsksForIt,
        }
    }
}
