//! The answers stored under `Idempotency-Key`s: any answer, for one hour from the first request, per account, unless
//! [`Unknowns`] says otherwise. Later requests do not extend the hour.

use crate::clock::millis;
use crate::model::answer::Answer;
use crate::model::unknowns::{OtherBytes, Unknowns};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// The longest key that is accepted.
pub const LONGEST: usize = 256;

/// The keys of every account.
#[derive(Default)]
pub struct Keys {
    entries: HashMap<(String, String), Entry>,
    tickets: u64,
}

struct Entry {
    payload: [u8; 32],
    first_ms: u64,
    ticket: u64,
    /// None while the first request is in progress.
    answer: Option<Answer>,
}

/// The right to end the request under a key.
#[derive(Clone)]
pub struct Ticket {
    place: (String, String),
    number: u64,
}

/// What a key does to a request.
pub enum Begin {
    /// No request had this key within the hour.
    First(Ticket),
    Replay(Answer),
    DifferentPayload,
    InFlight,
}

impl Keys {
    pub fn begin(
        &mut self,
        grant_id: &str,
        key: &str,
        payload: &[u8],
        now_ms: u64,
        unknowns: &Unknowns,
    ) -> Begin {
        let place = (grant_id.to_owned(), key.to_owned());
        // The bytes are compared, not the parsed JSON. Nylas doesn't document how it compares; this is stricter.
        let payload: [u8; 32] = Sha256::digest(payload).into();
        if let Some(entry) = self.entries.get(&place)
            && now_ms < entry.first_ms + millis(unknowns.keeps_for)
            && (entry.payload == payload || unknowns.other_bytes != OtherBytes::Sent)
        {
            return match &entry.answer {
                _ if entry.payload != payload && unknowns.other_bytes == OtherBytes::Refused => {
                    Begin::DifferentPayload
                }
                None => Begin::InFlight,
                Some(answer) => Begin::Replay(answer.clone()),
            };
        }
        self.tickets += 1;
        let entry = Entry {
            payload,
            first_ms: now_ms,
            ticket: self.tickets,
            answer: None,
        };
        self.entries.insert(place.clone(), entry);
        Begin::First(Ticket {
            place,
            number: self.tickets,
        })
    }

    /// Stores the answer for the rest of the hour.
    pub fn keep(&mut self, ticket: &Ticket, answer: &Answer) {
        if let Some(entry) = self.entries.get_mut(&ticket.place)
            && entry.ticket == ticket.number
        {
            entry.answer = Some(answer.clone());
        }
    }

    /// Frees the key of a request in progress, as if it had never been used. A stored answer stays.
    pub fn release(&mut self, ticket: &Ticket) {
        if self
            .entries
            .get(&ticket.place)
            .is_some_and(|entry| entry.ticket == ticket.number && entry.answer.is_none())
        {
            self.entries.remove(&ticket.place);
        }
    }
}
