//! The house of the Worker: which room may import which. `docs/design.md` draws it.

use crate::imports::Arrow;
use std::collections::{BTreeMap, BTreeSet};

/// Each room of `src/`, a folder or a file, and the rooms it may import. A room stands above all of them.
pub const ROOMS: [(&str, &[&str]); 20] = [
    ("model", &[]),
    ("redact", &[]),
    ("ports", &["model"]),
    ("signature", &["model"]),
    ("config", &["model", "ports", "signature"]),
    ("clerk", &["config", "model", "ports", "signature"]),
    ("ledger", &["model", "ports"]),
    ("nylas", &["config", "model", "ports", "signature"]),
    ("platform", &["config", "model", "ports"]),
    ("smtp", &["config", "model", "ports"]),
    ("context", &["config", "ledger", "model", "nylas", "ports"]),
    (
        "delivery",
        &[
            "config", "context", "ledger", "model", "nylas", "ports", "smtp",
        ],
    ),
    ("queue", &["context", "ledger", "model", "ports"]),
    (
        "handback",
        &["clerk", "config", "context", "ledger", "model", "ports"],
    ),
    ("mail", BELOW),
    ("operator", BELOW),
    ("replies", BELOW),
    (
        "consumer",
        &[
            "config", "handback", "mail", "model", "operator", "ports", "queue", "replies",
        ],
    ),
    (
        "router",
        &[
            "config",
            "mail",
            "model",
            "operator",
            "platform",
            "ports",
            "replies",
            "signature",
        ],
    ),
    (
        "lib",
        &[
            "config", "consumer", "model", "operator", "platform", "replies", "router",
        ],
    ),
];

/// What the rooms of behaviour may import. They do not know each other.
const BELOW: &[&str] = &[
    "clerk",
    "config",
    "context",
    "delivery",
    "handback",
    "ledger",
    "model",
    "nylas",
    "ports",
    "queue",
    "redact",
    "signature",
];

/// The room of a file, which is given relative to `src/`.
pub fn room(file: &str) -> &str {
    let first = file.split('/').next().unwrap();
    first.strip_suffix(".rs").unwrap_or(first)
}

/// The arrows between rooms that the table does not allow.
pub fn forbidden(arrows: &BTreeSet<Arrow>) -> Vec<String> {
    let allowed = BTreeMap::from(ROOMS);
    let is_allowed = |from: &str, to: &str| {
        from == to || allowed.get(from).is_some_and(|rooms| rooms.contains(&to))
    };
    arrows
        .iter()
        .filter(|(from, to)| !is_allowed(room(from), room(to)))
        .map(|(from, to)| format!("{from} -> {to}"))
        .collect()
}

/// The arrows that the table allows and nobody uses: a table that allows more than is needed holds nothing.
pub fn unused(arrows: &BTreeSet<Arrow>) -> Vec<String> {
    let used: BTreeSet<(&str, &str)> = arrows
        .iter()
        .map(|(from, to)| (room(from), room(to)))
        .collect();
    let behaviour = ["mail", "operator", "replies"];
    let allowed = ROOMS
        .iter()
        .filter(|(room, _)| !behaviour.contains(room))
        .flat_map(|(room, below)| below.iter().map(move |below| (*room, *below)));
    allowed
        .filter(|arrow| !used.contains(arrow))
        .map(|(from, to)| format!("{from} -> {to}"))
        .collect()
}

/// On how many floors the rooms stand, each above every room it may import.
pub fn floors() -> usize {
    let mut floors: BTreeMap<&str, usize> = BTreeMap::new();
    // The table is in an order in which every room comes after those below it.
    for (room, below) in ROOMS {
        let highest = below.iter().map(|below| floors[below]).max();
        floors.insert(room, highest.unwrap_or_default() + 1);
    }
    floors.into_values().max().unwrap()
}
