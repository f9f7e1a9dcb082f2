//! The answer to a question, and Nylas' own in few words.

use crate::{
    http::{Reply, text},
    ui::{BAD, GOOD, WARN},
};
use anstyle::Style;

/// What came of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The assumption holds.
    Holds,
    /// It does not.
    DoesNotHold,
    /// Nothing that came says whether it does.
    CouldNotBeTold,
}

impl Verdict {
    /// As it is written in the document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::DoesNotHold => "does_not_hold",
            Self::CouldNotBeTold => "could_not_be_told",
        }
    }

    pub fn words(self) -> (Style, &'static str) {
        match self {
            Self::Holds => (GOOD, "holds"),
            Self::DoesNotHold => (BAD, "does not hold"),
            Self::CouldNotBeTold => (WARN, "could not be told"),
        }
    }
}

/// An answer: the question's id, the verdict, and what came. Nothing in it is private.
#[derive(Clone, Debug)]
pub struct Answer {
    pub id: &'static str,
    pub verdict: Verdict,
    pub came: String,
}

pub fn answer(id: &'static str, verdict: Verdict, came: impl Into<String>) -> Answer {
    Answer {
        id,
        verdict,
        came: came.into(),
    }
}

pub fn untold(id: &'static str, came: impl Into<String>) -> Answer {
    answer(id, Verdict::CouldNotBeTold, came)
}

/// `Holds` if it does.
pub fn verdict(holds: bool) -> Verdict {
    if holds {
        Verdict::Holds
    } else {
        Verdict::DoesNotHold
    }
}

/// An answer of Nylas' in few words, without what it quotes.
pub fn short(reply: &Reply) -> String {
    let body = reply.json();
    let kind = [text(&body, "/error/type"), text(&body, "/type")]
        .into_iter()
        .find(|kind| !kind.is_empty());
    let mut says = reply.code.to_string();
    let marked = is_replayed(reply).then_some("marked Idempotent-Response");
    for more in [kind, marked].into_iter().flatten() {
        says = format!("{says} {more}");
    }
    says
}

pub fn is_replayed(reply: &Reply) -> bool {
    reply
        .header("idempotent-response")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

pub fn is_accepted(reply: &Reply) -> bool {
    (200..300).contains(&reply.code)
}
