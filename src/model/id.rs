//! Ids that are safe in a URL, in a log and in a KV key.

use super::time::UnixMillis;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The id of one Clerk message. It is the same for every attempt, resend and replay of the message, so the relay uses
/// it for everything: deduplication, Nylas' idempotency key, the ledger and the logs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct SvixId(String);

impl SvixId {
    /// The longest id that is accepted. With a generation it must fit into the 256 characters of Nylas' key, and with a
    /// prefix into the 512 bytes of KV's. Svix' own have 31.
    pub const LENGTH_MAX: usize = 128;

    /// Reads an id of letters, digits, `_` and `-`. Svix' own are `msg_` and a KSUID, which is letters and digits.
    ///
    /// No `.`: what is signed is `id.timestamp.body`, so an id with a `.` would give one signature two readings
    /// (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).
    pub fn parse(text: &str) -> Option<Self> {
        let is_id = is_plain(text, Self::LENGTH_MAX) && !text.contains('.');
        is_id.then(|| Self(text.to_owned()))
    }

    /// Whether it is of a sample that `relayctl trigger` made. Only who has Clerk's signing secret can send one. No user
    /// waits for its mail: it neither alerts as a lost one nor counts.
    pub fn is_sample(&self) -> bool {
        is_sample(&self.0)
    }

    /// Whether it is the relay's own id of a reply that is forwarded to a person.
    pub fn is_forward(&self) -> bool {
        self.0.starts_with("forward_")
    }

    /// When Svix made the id, to the second: its KSUID begins with the time, in seconds since 2014
    /// (<https://github.com/segmentio/ksuid>). `None`: it is no KSUID.
    pub fn made_at(&self) -> Option<UnixMillis> {
        const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        const LENGTH: usize = 27;
        const EPOCH: u64 = 1_400_000_000;
        let text = self.0.strip_prefix("msg_")?;
        if text.len() != LENGTH {
            return None;
        }
        // 160 bits, most significant first.
        let mut number = [0_u32; 5];
        for letter in text.bytes() {
            let digit = DIGITS.iter().position(|digit| *digit == letter)?;
            let mut carry = u64::try_from(digit).ok()?;
            for part in number.iter_mut().rev() {
                let product = u64::from(*part).saturating_mul(62).saturating_add(carry);
                *part = u32::try_from(product & u64::from(u32::MAX)).ok()?;
                carry = product >> 32;
            }
            if carry > 0 {
                return None;
            }
        }
        let [seconds, ..] = number;
        Some(UnixMillis::from_seconds(
            EPOCH.saturating_add(u64::from(seconds)),
        ))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SvixId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for SvixId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not a Svix id")
    }
}

/// What the ids of samples begin with.
pub const SAMPLE_PREFIX: &str = "msg_sample_";

/// Whether this text is the id of a sample.
pub fn is_sample(id: &str) -> bool {
    id.starts_with(SAMPLE_PREFIX)
}

/// The id of a Nylas grant, which here is an Agent Account. It is not the account's address, so it may be logged.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct GrantId(String);

impl GrantId {
    /// Reads an id of letters, digits, `_`, `-` and `.`.
    pub fn parse(text: &str) -> Option<Self> {
        is_plain(text, 128).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for GrantId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not a grant id")
    }
}

/// Whether the text is made of letters, digits, `_`, `-` and `.` only, and not longer than `length_max`.
pub fn is_plain(text: &str, length_max: usize) -> bool {
    (1..=length_max).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_svix_says_when_it_was_made() {
        let made_at = |id: &str| SvixId::parse(id).unwrap().made_at();
        // The example of https://github.com/segmentio/ksuid: 2017-10-10T04:00:47Z.
        assert_eq!(
            made_at("msg_0ujtsYcgvSTl8PAuAdqWYSMnLOv"),
            Some(UnixMillis::from_seconds(1_507_608_047))
        );
        assert_eq!(
            made_at("msg_000000000000000000000000000"),
            Some(UnixMillis::from_seconds(1_400_000_000))
        );
        assert_eq!(
            made_at("msg_aWgEPTl1tmebfsQzFP4bxwgy80V"),
            Some(UnixMillis::from_seconds(
                1_400_000_000 + u64::from(u32::MAX)
            ))
        );
        for other in [
            "msg_1",
            "forward_0ujtsYcgvSTl8PAuAdqWYSMnLOv",
            "msg_0ujtsYcgvSTl8PAuAdqWYSMnLO",
            "msg_0ujtsYcgvSTl8PAuAdqWYSMnLO_",
            "msg_zzzzzzzzzzzzzzzzzzzzzzzzzzz",
        ] {
            assert_eq!(made_at(other), None, "{other}");
        }
    }
}
