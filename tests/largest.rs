//! How long the largest mail keeps the processor busy: read to the limit of what is read of an answer, parsed, cleaned
//! and handed on. `docs/performance.md` states what it prints.
//!
//! `cargo test --release --test largest -- --ignored --nocapture`

// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods
)]

mod world;

use clerk_nylas_relay::ports::ANSWER_BYTES_MAX;
use serde_json::json;
use std::time::{Duration, Instant};
use world::{NOW, SECOND, World};

/// What a stranger may fill a mail with.
const SHAPES: [(&str, &str); 14] = [
    ("words", "lorem ipsum dolor sit amet "),
    ("one word", "a"),
    ("lines", "a\n"),
    ("quoted lines", "> > > a\n"),
    ("digits", "4 8 1 5 1 6 2 3 4 2 "),
    ("codes", "K7F-2Q9 XKQZWP abc12d "),
    ("links", "https://x.example/a?b=c hxxps://x[.]example "),
    ("addresses", "jane@example.com, "),
    ("letters that become eighteen", "\u{fdfa} "),
    ("letters of mathematics", "\u{1d400}\u{1d7cf} "),
    ("paragraphs", "<p>a</p>"),
    ("open elements", "<div><blockquote>"),
    (
        "elements with styles",
        "<b style=\"display:none;color:red\" x=y>a</b>",
    ),
    ("entities", "<p>&amp;&#x41;&notanentity;</p>"),
];

/// How long a mail with this body takes, from the notification to the queue; the least of five times.
fn took(body: &str) -> Duration {
    let message = json!({
        "id": "m-1", "grant_id": "g1", "thread_id": "t-1", "subject": "Re: Hello", "body": body,
        "from": [{"email": "jane@example.com"}], "date": NOW.0 / SECOND, "folders": ["inbox"], "headers": [],
    });
    let answer = json!({"request_id": "r", "data": message});
    let once = |_| {
        let world = World::with(&[("REPLY_FORWARD_TO", "support@acme.example")]);
        let none = json!({"request_id": "r", "data": []});
        world.answers("/messages", 200, none);
        world.answers("/messages/m-1", 200, answer.clone());
        let data = json!({"object": {"id": "m-1", "grant_id": "g1"}});
        let text = json!({"id": "n-1", "type": "message.created", "data": data}).to_string();
        let text = json!({"notification": {"text": text}}).to_string();
        // The world makes a text of the answer, which in the Worker comes as one.
        let start = Instant::now();
        drop(answer.to_string());
        let made = start.elapsed();
        let start = Instant::now();
        let (_, outcome, _) = world.process(&text, 1);
        assert_eq!(outcome, "handed_on");
        start.elapsed().saturating_sub(made)
    };
    (0..5).map(once).min().unwrap()
}

#[test]
#[ignore = "it measures; see docs/performance.md"]
fn how_long_the_largest_mail_takes() {
    let print =
        |took: Duration, name: &str| println!("{:>8.1} ms  {name}", took.as_secs_f64() * 1e3);
    print(
        took(&"<p>lorem ipsum dolor</p>".repeat(400)),
        "an ordinary mail of 10 kB",
    );
    let mut worst = (Duration::ZERO, "");
    for (name, piece) in SHAPES {
        // The answer is JSON, and escaping makes some pieces longer.
        let escaped = json!(piece).to_string().len() - 2;
        let took = took(&piece.repeat((ANSWER_BYTES_MAX - 2_000) / escaped));
        print(took, name);
        worst = worst.max((took, name));
    }
    print(worst.0, &format!("at most: {}", worst.1));
}
