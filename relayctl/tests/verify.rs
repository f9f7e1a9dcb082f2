//! `relayctl verify`: every way a captured request fails is named.

// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use common::{Folder, OTHER_SECRET, Ran, Relayctl, SECRET, now_seconds};

const ID: &str = "msg_2tTEaTtwZ0xYyYzVxWwUuTtSsRr";
const BODY: &str = "{\"type\":\"email.created\",\"b\":\"\\u003cp\\u003eé\",\"a\":[1,2]}";

struct Captured {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

fn captured() -> Captured {
    at(now_seconds())
}

fn at(seconds: u64) -> Captured {
    let webhook = svix::webhooks::Webhook::new(SECRET).unwrap();
    let signature = webhook
        .sign(ID, i64::try_from(seconds).unwrap(), BODY.as_bytes())
        .unwrap();
    Captured {
        headers: vec![
            ("Svix-Id".into(), ID.into()),
            ("Svix-Timestamp".into(), seconds.to_string()),
            ("Svix-Signature".into(), signature),
        ],
        body: BODY.into(),
    }
}

impl Captured {
    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers
            .iter_mut()
            .find(|(known, _)| known == name)
            .unwrap()
            .1 = value.into();
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn verify(&self, more: &[&str]) -> Ran {
        let folder = Folder::new();
        let lines: String = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        folder.write("headers", lines);
        folder.write("body", &self.body);
        let mut args = vec!["verify", "--headers", "headers", "--body", "body", "--json"];
        args.extend(more);
        let ran = Relayctl::new(&folder.0)
            .env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET)
            .run(&args);
        assert!(!ran.all().contains(&SECRET[6..]), "{}", ran.all());
        ran
    }

    fn fails(&self, reason: &str, cause: &str) {
        self.fails_with(&[], reason, cause);
    }

    fn fails_with(&self, more: &[&str], reason: &str, cause: &str) {
        let ran = self.verify(more);
        assert_eq!(ran.code, 1, "{}", ran.all());
        let document = ran.json();
        assert_eq!(document["reason"], reason, "{document}");
        assert!(
            document["cause"].as_str().unwrap().contains(cause),
            "{document}"
        );
        assert!(!document["fix"].as_str().unwrap().is_empty());
    }
}

#[test]
fn a_good_request_is_valid_even_long_after() {
    for seconds in [now_seconds(), now_seconds() - 86_400] {
        let ran = at(seconds).verify(&[]);
        assert_eq!(ran.code, 0, "{}", ran.all());
        assert_eq!(ran.json()["id"], ID);
    }
}

#[test]
fn headers_may_be_given_one_by_one_or_as_json() {
    let (folder, good) = (Folder::new(), captured());
    folder.write("body", &good.body);
    let object: serde_json::Map<String, serde_json::Value> = good
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), serde_json::json!([value])))
        .collect();
    folder.write("headers.json", serde_json::to_string(&object).unwrap());
    let relayctl = Relayctl::new(&folder.0).env(
        "CLERK_WEBHOOK_SIGNING_SECRET",
        format!("{OTHER_SECRET} {SECRET}"),
    );
    assert_eq!(
        relayctl
            .run(&["verify", "--headers", "headers.json", "--body", "body"])
            .code,
        0
    );
    let flags: Vec<String> = good
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let mut args = vec!["verify", "--body", "body"];
    for flag in &flags {
        args.extend(["-H", flag]);
    }
    let ran = relayctl.run(&args);
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert!(ran.out.starts_with("valid"), "{}", ran.out);
}

#[test]
fn missing_headers_are_named() {
    captured()
        .without("Svix-Timestamp")
        .fails("signature_headers_missing", "svix-timestamp is missing");
    let mut mixed = captured().without("Svix-Signature");
    mixed
        .headers
        .push(("webhook-signature".into(), "v1,x".into()));
    mixed.fails("signature_headers_missing", "mixed");
    let none = Captured {
        headers: Vec::new(),
        body: BODY.into(),
    };
    none.fails(
        "signature_headers_missing",
        "there is no svix-id, svix-timestamp and svix-signature",
    );
}

#[test]
fn clocks_are_named_with_how_far_they_are_off() {
    at(now_seconds() - 3600).fails_with(&["--now"], "timestamp_too_old", "60 min");
    at(now_seconds() + 3600).fails_with(&["--now"], "timestamp_too_new", "after it came");
    let signed_at = now_seconds() - 3600;
    let came = (signed_at + 10).to_string();
    assert_eq!(at(signed_at).verify(&["--at", &came]).code, 0);
    let milliseconds = (now_seconds() * 1000).to_string();
    captured()
        .with("Svix-Timestamp", &milliseconds)
        .fails("timestamp_malformed", "");
    captured()
        .with("Svix-Timestamp", "yesterday")
        .fails("timestamp_malformed", "whole number of seconds");
    captured()
        .with("Svix-Id", "msg 1")
        .fails("id_malformed", "svix-id");
}

#[test]
fn a_changed_body_is_recognised_by_its_change() {
    let value: serde_json::Value = serde_json::from_str(BODY).unwrap();
    // The keys stay in their order, as in JavaScript's JSON.stringify(body, null, 2).
    let pretty =
        "{\n  \"type\": \"email.created\",\n  \"b\": \"<p>é\",\n  \"a\": [\n    1,\n    2\n  ]\n}";
    let python = "{\"type\": \"email.created\", \"b\": \"<p>\\u00e9\", \"a\": [1, 2]}";
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(pretty).unwrap(),
        value
    );
    captured()
        .body(pretty)
        .fails("body_changed", "parsed and serialised again");
    captured()
        .body(python)
        .fails("body_changed", "parsed and serialised again");
    captured()
        .body(format!("{BODY}\n"))
        .fails("body_changed", "white space was added");
    captured()
        .body(format!("\u{feff}{BODY}"))
        .fails("body_changed", "byte order mark");
    captured().body("").fails("body_changed", "empty");
}

#[test]
fn a_spoiled_signature_is_recognised() {
    captured()
        .with("Svix-Signature", "v1a,abc")
        .fails("no_matching_signature", "asymmetric");
    captured()
        .with("Svix-Signature", "abc")
        .fails("no_matching_signature", "no signature of version v1");
    captured()
        .with("Svix-Signature", "v1,abc")
        .fails("no_matching_signature", "base64 of 32 bytes");
}

#[test]
fn a_foreign_secret_is_the_last_guess() {
    let webhook = svix::webhooks::Webhook::new(OTHER_SECRET).unwrap();
    let now = now_seconds();
    let forged = webhook
        .sign(ID, i64::try_from(now).unwrap(), BODY.as_bytes())
        .unwrap();
    let ran = at(now).with("Svix-Signature", &forged).verify(&[]);
    assert_eq!(ran.json()["reason"], "no_matching_signature");
    assert!(
        ran.json()["fix"]
            .as_str()
            .unwrap()
            .contains("another endpoint's")
    );
}

#[test]
fn a_secret_used_as_text_is_recognised() {
    let now = now_seconds();
    let wrong = relayctl::sign::sign_with(SECRET.as_bytes(), ID, &now.to_string(), BODY.as_bytes());
    at(now)
        .with("Svix-Signature", &wrong)
        .fails("secret_as_text", "text as the key");
}
