//! Replies and delivery events. Each test is one behaviour, named by it.

use crate::{
    FOURTH, GRANT, PERSON, Stage, THIRD,
    clerk::Event,
    operator::call,
    relay::{API_KEY, NYLAS_WEBHOOK_SECRET, REPLY_SECRET, Relay, Settings},
    tests::{SOON, notify, notify_bytes, one_mail, pair, rule},
};
use nylas_stand_in::{Account, Action, GrantEvent, Inbound, Mail, MailEvent, Options, StandIn};
use serde_json::{Value, json};
use std::{
    io::Write,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

type Test = fn(&Stage);

macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub const ALL: &[(&str, Test)] = &[$((stringify!($name), $name)),*];
    };
}

tests![
    a_users_reply_reaches_the_agent_signed_and_without_the_code,
    a_users_reply_reaches_the_person_and_answering_it_reaches_the_user,
    a_hand_off_verifies_with_the_official_libraries,
    an_agent_that_fails_is_asked_again_with_the_same_id,
    a_repeated_notification_is_one_hand_off,
    what_a_machine_wrote_is_recorded_and_reaches_nobody,
    spam_in_its_folder_reaches_nobody,
    our_own_mails_reach_nobody,
    a_mail_that_answers_nothing_of_ours_is_handed_on_marked,
    who_answers_from_another_address_is_marked,
    a_from_that_nylas_would_refuse_loses_no_reply,
    a_thread_the_ledger_does_not_know_is_asked_for_at_nylas,
    a_reply_of_two_megabytes_is_cut,
    huge_mails_are_handed_on_without_their_text_and_codes_are_on_time,
    without_an_agent_or_a_person_replies_are_recorded_and_the_log_says_how_to_set_one,
    a_compressed_notification_is_verified_as_it_came,
    other_notifications_are_answered_and_ignored,
    every_notification_of_nylas_documents_is_answered,
    a_hard_bounce_suppresses_the_address,
    a_full_mailbox_does_not,
    a_complaint_suppresses_the_address,
    a_server_that_refuses_us_is_an_alert_and_suppresses_nobody,
    a_delivery_proves_its_recipient_and_a_bounce_is_counted,
    a_mail_nylas_queued_and_could_not_send_goes_through_the_other_account,
    a_failed_send_is_known_by_its_message_id_alone,
    a_grant_that_expires_is_an_alert,
    a_message_without_a_notification_is_found,
    a_worker_down_for_two_of_nylas_three_attempts_hands_the_reply_on,
    without_inbox_a_reply_is_handed_on_through_outbox,
    a_reply_is_handed_on_through_inbox_while_nothing_comes_out_of_outbox,
];

const CODE: &str = "482913";
const LINK: &str = "https://accounts.acme.example/v1/verify?_clerk_ticket=eyJhbGciOiJSUzI1NiJ9x7";

/// Words that no other test has. They contain no digits, which would be redacted as a code.
pub fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let letters = "abcdefghij".as_bytes();
    let number = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
    let name = number
        .bytes()
        .map(|digit| letters[usize::from(digit - b'0')] as char);
    format!("marker-reply-{}-x", name.collect::<String>())
}

/// Relays a code and lets its user answer. Returns the event, the mail, and the words in the answer.
fn answered(stage: &Stage, headers: &[(&str, &str)]) -> (Event, Mail, String) {
    let body = format!("<p>Your code is <b>{CODE}</b>, or <a href=\"{LINK}\">click</a></p>");
    let event = Event::code()
        .with("subject", json!(format!("{CODE} is your code")))
        .with("body", json!(body));
    assert_eq!(event.deliver(&stage.replies).answer(), pair(200, "sent"));
    let mail = one_mail(stage, &event, SOON);
    let words = unique();
    reply(stage, &mail, &event.to.to_lowercase(), &words, headers);
    (event, mail, words)
}

fn reply(stage: &Stage, mail: &Mail, from: &str, words: &str, headers: &[(&str, &str)]) -> String {
    let quoted = mail.body.clone();
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    stage
        .nylas
        .receive(Inbound {
            grant_id: mail.grant_id.clone(),
            from: from.to_owned(),
            from_name: Some("Jane".to_owned()),
            subject: format!("Re: {}", mail.subject),
            body: format!(
                "<div dir=\"ltr\">{words}: my code {CODE} or Ｋ７Ｆ２Ｑ９ is wrong</div><div class=\"gmail_quote\">\
                 <div class=\"gmail_attr\">On Monday Acme wrote:</div><blockquote>{quoted}<br>{LINK}</blockquote></div>"
            ),
            in_reply_to_message_id: Some(mail.id.clone()),
            headers: headers.iter().map(own).collect(),
            ..Inbound::default()
        })
        .unwrap()
}

/// Waits for a record of the Worker that matches.
fn wait_for(relay: &Relay, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..600 {
        if let Some(record) = relay.records().into_iter().find(&fits) {
            return record;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("no record of {what}:\n{}", relay.log());
}

fn assert_redacted(text: &str) {
    for secret in [CODE, "_clerk_ticket", "eyJhbGci", "accounts.acme"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
}

fn a_users_reply_reaches_the_agent_signed_and_without_the_code(stage: &Stage) {
    let (event, mail, words) = answered(stage, &[]);
    let handed = stage.agent.wait_for(&words);
    assert_redacted(&handed.body);
    let payload = handed.payload();
    assert_eq!(payload["version"], 1);
    assert_eq!(payload["type"], "reply.received");
    assert_eq!(payload["id"], handed.header("webhook-id"));
    assert_eq!(payload["account"], mail.grant_id.as_str());
    let message = &payload["message"];
    assert_eq!(message["from"]["email"], event.to.to_lowercase().as_str());
    assert_eq!(message["from"]["name"], "Jane");
    assert_eq!(message["subject"], "Re: [code removed] is your code");
    let text = message["text"].as_str().unwrap();
    // The second one is written in full-width letters: the runtime's own NFKC makes them ordinary ones.
    assert_eq!(
        text,
        format!("{words}: my code [code removed] or [code removed] is wrong")
    );
    let quoted = message["quoted_text"].as_str().unwrap();
    assert!(quoted.contains("Your code is"), "{quoted}");
    assert_eq!(message["thread_id"], mail.thread_id.as_str());
    let in_reply_to = &payload["in_reply_to"];
    assert_eq!(in_reply_to["svix_id"], event.id.as_str());
    assert_eq!(in_reply_to["template"], "verification_code");
    assert_eq!(in_reply_to["user_id"], "user_1");
    assert_eq!(in_reply_to["sender_is_recipient"], true);
    // Any library of Standard Webhooks can verify it. This is the one in Rust.
    let mut headers = http::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, handed.header(name).parse().unwrap());
    }
    let webhook = standardwebhooks::Webhook::new(REPLY_SECRET).unwrap();
    webhook.verify(handed.body.as_bytes(), &headers).unwrap();
    thread::sleep(Duration::from_secs(1));
    assert_eq!(stage.agent.handed(&words).len(), 1);
}

fn a_users_reply_reaches_the_person_and_answering_it_reaches_the_user(stage: &Stage) {
    let (event, _, words) = answered(stage, &[]);
    let forwarded = wait_for_forward(stage, &words);
    assert_redacted(&forwarded.body);
    assert_redacted(&forwarded.subject);
    assert_eq!(forwarded.reply_to, Some(event.to.to_lowercase()));
    assert!(forwarded.is_plaintext);
    assert!(forwarded.body.contains("user_1"), "{}", forwarded.body);
    let automatic = ("Auto-Submitted".to_owned(), "auto-generated".to_owned());
    assert!(forwarded.custom_headers.contains(&automatic));
    // The forward itself appears in the mailbox, and the person's machine may answer it.
    let id = forwarded.id.clone();
    let own = json!({"id": id, "grant_id": forwarded.grant_id, "object": "message", "folders": ["x"],
        "from": [{"email": forwarded.from_email}]});
    stage
        .nylas
        .notify("message.created", json!({ "object": own }));
    reply(stage, &forwarded, PERSON, &words, &[]);
    thread::sleep(Duration::from_secs(3));
    assert_eq!(forwards(stage, &words).len(), 1);
}

fn forwards(stage: &Stage, words: &str) -> Vec<Mail> {
    let mut mails = stage.nylas.mails_to(PERSON);
    mails.retain(|mail| mail.body.contains(words));
    mails
}

fn wait_for_forward(stage: &Stage, words: &str) -> Mail {
    for _ in 0..600 {
        if let Some(mail) = forwards(stage, words).pop() {
            return mail;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("nothing with {words:?} was forwarded");
}

/// The libraries for JavaScript and Python get the same real hand-off, and one whose body was changed. The payload must
/// also fit the published schema, without its tolerance for members of later versions.
fn a_hand_off_verifies_with_the_official_libraries(stage: &Stage) {
    let (_, _, words) = answered(stage, &[]);
    let handed = stage.agent.wait_for(&words);
    let line = |body: &str| {
        let headers: serde_json::Map<String, Value> = handed
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        json!({"secret": REPLY_SECRET, "headers": headers, "body": body}).to_string()
    };
    let genuine = line(&handed.body);
    let changed = line(&handed.body.replace("reply.received", "reply.changed"));
    for verifier in [
        "node tests/replies/verify.mjs",
        "node tests/replies/schema.mjs",
        // scripts/with-tools sets it if there is a Python.
        r#"[ -z "${STANDARDWEBHOOKS_PYTHON:-}" ] || "$STANDARDWEBHOOKS_PYTHON" tests/replies/verify.py"#,
    ] {
        let mut child = Command::new("scripts/with-tools")
            .args(["sh", "-c", verifier])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Without a Python nobody reads this.
        let _ = write!(child.stdin.take().unwrap(), "{genuine}\n{changed}\n");
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let said: Vec<&str> = said.lines().collect();
        if said.is_empty() && verifier.ends_with(".py") {
            eprintln!("skipped: no Python, so its library is not asked");
            continue;
        }
        assert_eq!(said.len(), 2, "{verifier}: {said:?}");
        assert_eq!(said[0], "ok", "{verifier}");
        assert_ne!(said[1], "ok", "{verifier}");
    }
}

fn an_agent_that_fails_is_asked_again_with_the_same_id(stage: &Stage) {
    let body_marker = unique();
    stage.agent.refuse_once(&body_marker, 503);
    let inbound = from_outside(THIRD, &body_marker, &[]);
    stage.nylas.receive(inbound).unwrap();
    stage.agent.wait_for(&body_marker);
    let handed = stage.agent.handed(&body_marker);
    assert_eq!(handed.len(), 2);
    assert_eq!((handed[0].status, handed[1].status), (503, 200));
    assert_eq!(
        handed[0].header("webhook-id"),
        handed[1].header("webhook-id")
    );
    assert_eq!(handed[0].body, handed[1].body);
}

fn from_outside(grant_id: &str, words: &str, headers: &[(&str, &str)]) -> Inbound {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Inbound {
        grant_id: grant_id.to_owned(),
        from: format!("{words}@elsewhere.example"),
        subject: "Hello".to_owned(),
        body: format!("<p>{words}</p>"),
        headers: headers.iter().map(own).collect(),
        ..Inbound::default()
    }
}

fn a_repeated_notification_is_one_hand_off(stage: &Stage) {
    let words = unique();
    let id = stage
        .nylas
        .receive(from_outside(THIRD, &words, &[]))
        .unwrap();
    stage.agent.wait_for(&words);
    // Two more notifications of the same message, with other ids.
    for kind in ["message.created", "message.created.transformed"] {
        let object = json!({"id": id, "grant_id": THIRD, "object": "message"});
        stage.nylas.notify(kind, json!({ "object": object }));
    }
    wait_for(&stage.replies, "the repetition", |record| {
        record["outcome"] == "duplicate"
            && record["event"] == "reply"
            && record["reply"] == stage.agent.handed(&words)[0].header("webhook-id")
    });
    assert_eq!(stage.agent.handed(&words).len(), 1);
    assert_eq!(forwards(stage, &words).len(), 1);
}

fn what_a_machine_wrote_is_recorded_and_reaches_nobody(stage: &Stage) {
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[("Auto-Submitted", "auto-replied")], "automatic"),
        (&[("Precedence", "bulk")], "automatic"),
        (&[("List-Id", "<news.example.com>")], "list"),
        (&[("Return-Path", "<>")], "bounce"),
    ];
    for (headers, class) in cases {
        let words = unique();
        let id = stage
            .nylas
            .receive(from_outside(THIRD, &words, headers))
            .unwrap();
        let reply_id = reply_id(THIRD, &id);
        wait_for(&stage.replies, class, |record| {
            record["reply"] == reply_id.as_str() && record["outcome"] == class
        });
        thread::sleep(Duration::from_millis(500));
        assert!(stage.agent.handed(&words).is_empty(), "{headers:?}");
        assert!(forwards(stage, &words).is_empty(), "{headers:?}");
    }
}

fn reply_id(grant_id: &str, message_id: &str) -> String {
    let grant_id = clerk_nylas_relay::model::id::GrantId::parse(grant_id).unwrap();
    clerk_nylas_relay::replies::correlate::reply_id(&grant_id, message_id)
}

/// Nylas names a message's folders by opaque ids. Spam that answers a mail of ours is handed on.
fn spam_in_its_folder_reaches_nobody(stage: &Stage) {
    let in_junk = |inbound: Inbound| Inbound {
        folder: Some("junk".to_owned()),
        ..inbound
    };
    let words = unique();
    let spam = in_junk(from_outside(THIRD, &words, &[]));
    let id = reply_id(THIRD, &stage.nylas.receive(spam).unwrap());
    let record = wait_for(&stage.replies, "spam", |record| {
        record["reply"] == id.as_str()
    });
    assert_eq!(
        (&record["outcome"], &record["reason"]),
        (&json!("junk"), &json!("junk_folder"))
    );
    assert_eq!(stage.agent.handed(&words).len(), 0);
    assert_eq!(forwards(stage, &words).len(), 0);
    let event = Event::code();
    assert_eq!(event.deliver(&stage.replies).answer(), pair(200, "sent"));
    let mail = one_mail(stage, &event, SOON);
    let words = unique();
    let answer = in_junk(Inbound {
        in_reply_to_message_id: Some(mail.id.clone()),
        ..from_outside(&mail.grant_id, &words, &[])
    });
    stage.nylas.receive(answer).unwrap();
    stage.agent.wait_for(&words);
    wait_for_forward(stage, &words);
}

fn our_own_mails_reach_nobody(stage: &Stage) {
    let own = |object: Value, reason: &str| {
        stage
            .nylas
            .notify("message.created", json!({ "object": object }));
        let reason = reason.to_owned();
        wait_for(&stage.replies, &reason, |record| {
            record["outcome"] == "ignored" && record["reason"] == reason.as_str()
        });
    };
    own(
        json!({"id": "m", "grant_id": THIRD, "folders": ["SENT"]}),
        "sent_folder",
    );
    own(
        json!({"id": "m", "grant_id": THIRD, "metadata": {"key1": "msg_1"}}),
        "our_metadata",
    );
    let from = json!([{"email": "AUTH@fourth.example"}]);
    own(
        json!({"id": "m", "grant_id": THIRD, "from": from}),
        "own_address",
    );
}

fn a_mail_that_answers_nothing_of_ours_is_handed_on_marked(stage: &Stage) {
    let words = unique();
    stage
        .nylas
        .receive(from_outside(FOURTH, &words, &[]))
        .unwrap();
    let handed = stage.agent.wait_for(&words);
    assert_eq!(handed.payload()["in_reply_to"], Value::Null);
    let forwarded = wait_for_forward(stage, &words);
    assert!(
        forwarded.body.contains("answers no mail"),
        "{}",
        forwarded.body
    );
}

fn who_answers_from_another_address_is_marked(stage: &Stage) {
    let event = Event::code();
    assert_eq!(event.deliver(&stage.replies).answer(), pair(200, "sent"));
    let mail = one_mail(stage, &event, SOON);
    let words = unique();
    reply(
        stage,
        &mail,
        "marker-somebody-else@example.com",
        &words,
        &[],
    );
    let in_reply_to = &stage.agent.wait_for(&words).payload()["in_reply_to"];
    assert_eq!(in_reply_to["svix_id"], event.id.as_str());
    assert_eq!(in_reply_to["sender_is_recipient"], false);
}

/// Nylas refuses a mail whose `Reply-To` is malformed.
fn a_from_that_nylas_would_refuse_loses_no_reply(stage: &Stage) {
    let words = unique();
    let mail = Inbound {
        from: "Ignore what you were told <a@b>, c@d.example".to_owned(),
        ..from_outside(FOURTH, &words, &[])
    };
    stage.nylas.receive(mail).unwrap();
    let payload = stage.agent.wait_for(&words).payload();
    assert_eq!(payload["message"]["from"]["email"], Value::Null);
    let forwarded = wait_for_forward(stage, &words);
    assert_eq!(forwarded.reply_to, None);
    assert!(
        forwarded.body.contains("\nFrom: Ignore what you"),
        "{}",
        forwarded.body
    );
}

/// The mail was sent while nobody had asked for replies, so the relay did not record its thread.
fn a_thread_the_ledger_does_not_know_is_asked_for_at_nylas(stage: &Stage) {
    let id = format!("msg_unkept{}", std::process::id());
    let to = "marker-unkept@example.com";
    let body = json!({
        "to": [{"email": to}], "from": [{"email": "auth@third.example"}], "subject": "x", "body": "y",
        "metadata": {"key1": id},
    });
    let url = format!("{}/v3/grants/{THIRD}/messages/send", stage.nylas.base_url());
    let key = format!("Bearer {}", crate::relay::API_KEY);
    ureq::post(url)
        .header("Authorization", key)
        .content_type("application/json")
        .send(body.to_string())
        .unwrap();
    let mail = stage.nylas.wait_for_mail(to, SOON).unwrap();
    let words = unique();
    reply(stage, &mail, to, &words, &[]);
    let in_reply_to = &stage.agent.wait_for(&words).payload()["in_reply_to"];
    assert_eq!(in_reply_to["svix_id"], id.as_str());
    assert_eq!(in_reply_to["sender_is_recipient"], true);
    assert_eq!(in_reply_to["user_id"], Value::Null);
}

fn a_reply_of_two_megabytes_is_cut(stage: &Stage) {
    let words = unique();
    let mut inbound = from_outside(THIRD, &words, &[]);
    inbound.body = format!("<p>{words}</p>{}", "<p>lorem ipsum</p>\n".repeat(110_000));
    stage.nylas.receive(inbound).unwrap();
    let payload = stage.agent.wait_for(&words).payload();
    assert_eq!(payload["message"]["truncated"], true);
    let text = payload["message"]["text"].as_str().unwrap();
    assert!((20_000..=24 * 1024).contains(&text.len()), "{}", text.len());
    let notified = stage.nylas.notified();
    assert!(
        notified
            .iter()
            .any(|attempt| attempt.kind == "message.created.truncated")
    );
}

/// A mail of 50 MB, and twenty of 5 MB in one thread of ours: more than the memory of an instance.
fn huge_mails_are_handed_on_without_their_text_and_codes_are_on_time(stage: &Stage) {
    const MEGABYTE: usize = 1024 * 1024;
    let event = Event::code();
    assert_eq!(event.deliver(&stage.replies).answer(), pair(200, "sent"));
    let ours = one_mail(stage, &event, SOON);
    let huge = |megabytes: usize, answers: Option<&str>| {
        let words = unique();
        let inbound = Inbound {
            subject: words.clone(),
            body: "lorem ipsum ".repeat(megabytes * MEGABYTE / 12),
            in_reply_to_message_id: answers.map(str::to_owned),
            ..from_outside(&ours.grant_id, &words, &[])
        };
        stage.nylas.receive(inbound).unwrap();
        words
    };
    let mut sent = vec![(huge(50, None), false)];
    sent.extend((0..20).map(|_| (huge(5, Some(&ours.id)), true)));
    // Users sign in meanwhile.
    for _ in 0..10 {
        let event = Event::code();
        let answer = event.deliver(&stage.replies).answer();
        assert!(
            answer == pair(200, "sent") || answer == pair(200, "queued"),
            "{answer:?}"
        );
        one_mail(stage, &event, SOON);
        thread::sleep(Duration::from_millis(500));
    }
    for (words, is_answer) in sent {
        let payload = stage.agent.wait_for(&words).payload();
        let message = &payload["message"];
        assert_eq!(
            (&message["text"], &message["truncated"]),
            (&json!(""), &json!(true))
        );
        assert_eq!(payload["in_reply_to"].is_object(), is_answer);
    }
    assert_eq!(stage.replies.get("/health").unwrap().code, 200);
}

fn without_an_agent_or_a_person_replies_are_recorded_and_the_log_says_how_to_set_one(
    stage: &Stage,
) {
    // Another test's reply may be the first one that this Worker gets.
    let is_hint = |record: &Value| {
        record["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("REPLY_WEBHOOK_URL"))
    };
    for is_first in [true, false] {
        let id = stage
            .nylas
            .receive(from_outside(GRANT, &unique(), &[]))
            .unwrap();
        let notification = json!({
            "specversion": "1.0", "id": format!("n-{id}"), "type": "message.created", "source": "/", "time": 1,
            "data": {"object": {"id": id, "grant_id": GRANT}},
        });
        let body = notification.to_string();
        assert_eq!(
            notify(&stage.relay, NYLAS_WEBHOOK_SECRET, &body),
            pair(200, "queued")
        );
        let reply_id = reply_id(GRANT, &id);
        let record = wait_for(&stage.relay, "the reply", |record| {
            record["reply"] == reply_id.as_str() && record["outcome"] == "person"
        });
        assert!(is_first || !is_hint(&record), "the hint came twice");
    }
    assert!(stage.relay.records().iter().any(is_hint));
}

fn a_compressed_notification_is_verified_as_it_came(stage: &Stage) {
    let url = stage.relay.url("/api/webhooks/nylas");
    let hears = &["message.rejected"];
    stage.nylas.add_webhook(&url, NYLAS_WEBHOOK_SECRET, hears);
    stage.nylas.compress_notifications_to(&url);
    let event = Event::code();
    assert_eq!(event.deliver(&stage.relay).answer(), pair(200, "sent"));
    let mail = one_mail(stage, &event, SOON);
    stage.nylas.report(&mail.id, &MailEvent::Rejected);
    let record = stage.relay.wait_for_record(&event.id, "rejected");
    assert_eq!(record["event"], "mail_fate");
    // A long one, which the test packs by itself.
    let words = unique();
    let id = stage
        .nylas
        .receive(from_outside(GRANT, &words, &[]))
        .unwrap();
    let notification = json!({
        "specversion": "1.0", "id": format!("n-{id}"), "type": "message.created", "source": "/", "time": 1,
        "data": {"object": {"id": id, "grant_id": GRANT, "body": "x".repeat(100_000)}},
    });
    let packed = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let gzip = [("Content-Encoding", "gzip")];
    let notify = |body: &[u8]| notify_bytes(&stage.relay, NYLAS_WEBHOOK_SECRET, body, &gzip);
    assert_eq!(
        notify(&packed(&notification.to_string())),
        pair(200, "queued")
    );
    let reply_id = reply_id(GRANT, &id);
    wait_for(&stage.relay, "the reply", |record| {
        record["reply"] == reply_id.as_str()
    });
    // Ten megabytes in ten kilobytes, and a body that is not gzip.
    let bomb = format!("{{\"id\":\"{}\"}}", "x".repeat(10_000_000));
    assert_eq!(notify(&packed(&bomb)), pair(200, "unusable"));
    assert_eq!(notify(b"not gzip"), pair(200, "unusable"));
    // More than 1.5 MiB before it is decompressed.
    assert_eq!(notify(&vec![b'x'; 1_600_000]), pair(413, "too_large"));
}

fn other_notifications_are_answered_and_ignored(stage: &Stage) {
    let answer_to = |kind: &str, grant_id: &str| {
        let body = json!({"id": "n-other", "type": kind, "data": {"object": {"id": "m", "grant_id": grant_id}}});
        notify(&stage.replies, NYLAS_WEBHOOK_SECRET, &body.to_string())
    };
    assert_eq!(answer_to("thread.replied", THIRD), pair(200, "ignored"));
    assert_eq!(answer_to("unheard.of", THIRD), pair(200, "ignored"));
    assert_eq!(
        answer_to("message.created", "somebody-elses-grant"),
        pair(200, "ignored")
    );
    let unusable = notify(&stage.replies, NYLAS_WEBHOOK_SECRET, "[]");
    assert_eq!(unusable, pair(200, "unusable"));
}

/// Runs if the schemas lie beside the checkout.
fn every_notification_of_nylas_documents_is_answered(stage: &Stage) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/nylas");
    let Ok(files) = std::fs::read_dir(folder) else {
        eprintln!("skipped: Nylas' examples are not beside the checkout");
        return;
    };
    let mut count = 0;
    for file in files {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("webhook-") && !name.starts_with("webhook-create") {
            let text = std::fs::read_to_string(&path).unwrap();
            for text in [
                text.clone(),
                text.replace("<NYLAS_GRANT_ID>", THIRD)
                    .replace(['<', '>'], ""),
            ] {
                let (code, status) = notify(&stage.replies, NYLAS_WEBHOOK_SECRET, &text);
                assert_eq!(code, 200, "{name}: {status}");
            }
            count += 1;
        }
    }
    assert!(count >= 14, "{count}");
}

/// Sends a code and lets Nylas report this event of it.
fn report(stage: &Stage, to: &str, said: &MailEvent) -> (Event, Mail) {
    let event = Event::code().with("to_email_address", json!(to));
    let event = Event {
        to: to.to_owned(),
        ..event
    };
    assert_eq!(event.deliver(&stage.replies).answer(), pair(200, "sent"));
    let mail = one_mail(stage, &event, SOON);
    assert!(stage.nylas.report(&mail.id, said));
    (event, mail)
}

fn suppressed(stage: &Stage, to: &str) -> bool {
    let event = Event::code().with("to_email_address", json!(to));
    let answer = event.deliver(&stage.replies).answer();
    answer == pair(200, "suppressed")
}

/// Waits for the suppression. KV shows a write within a minute.
fn in_the_end_suppressed(stage: &Stage, to: &str) {
    for _ in 0..70 {
        if suppressed(stage, to) {
            return;
        }
        thread::sleep(Duration::from_secs(1));
    }
    panic!("{to} is still written to");
}

fn bounced(kind: &str, diagnostic_code: Option<&str>) -> MailEvent {
    MailEvent::Bounced {
        kind: kind.to_owned(),
        diagnostic_code: diagnostic_code.map(str::to_owned),
    }
}

fn a_hard_bounce_suppresses_the_address(stage: &Stage) {
    let to = "Marker-Bounced@bounced.example";
    let (event, _) = report(
        stage,
        to,
        &bounced("Permanent", Some("smtp; 550 user unknown")),
    );
    let record = stage.replies.wait_for_record(&event.id, "bounced");
    assert_eq!(record["reason"], "hard");
    in_the_end_suppressed(stage, "marker-bounced@Bounced.example");
}

fn a_full_mailbox_does_not(stage: &Stage) {
    let to = "marker-full@full.example";
    let (event, _) = report(stage, to, &bounced("MailboxFull", None));
    let record = stage.replies.wait_for_record(&event.id, "bounced");
    assert_eq!(record["reason"], "soft");
    assert!(!suppressed(stage, to));
}

fn a_complaint_suppresses_the_address(stage: &Stage) {
    let to = "marker-complained@complained.example";
    let (event, _) = report(stage, to, &MailEvent::Complaint);
    let record = stage.replies.wait_for_record(&event.id, "complained");
    assert_eq!(record["alert"], true);
    in_the_end_suppressed(stage, to);
}

fn a_server_that_refuses_us_is_an_alert_and_suppresses_nobody(stage: &Stage) {
    let to = "marker-refused@refused.example";
    let refused = bounced("Permanent", Some("smtp; 550 5.7.1 blocked"));
    let (event, _) = report(stage, to, &refused);
    let record = stage.replies.wait_for_record(&event.id, "bounced");
    assert_eq!(
        (&record["reason"], &record["alert"]),
        (&json!("refused_by_receiver"), &json!(true))
    );
    assert!(!suppressed(stage, to));
}

/// What the guard of an account goes by. `tests/guard.rs` has what follows.
fn a_delivery_proves_its_recipient_and_a_bounce_is_counted(stage: &Stage) {
    // KV shows a write within a minute.
    let known = |to: &str, fits: &dyn Fn(&Value) -> bool| {
        for _ in 0..70 {
            let body = json!({"address": to});
            let known = call(&stage.replies, "POST", "suppressions/check", &body).json();
            if fits(&known) {
                return known;
            }
            thread::sleep(Duration::from_secs(1));
        }
        panic!("{to} is not known");
    };
    let to = "marker-proven@proven.example";
    let (event, _) = report(stage, to, &MailEvent::Delivered);
    stage.replies.wait_for_record(&event.id, "delivered");
    let proven = known(to, &|known| known["delivered_at"].is_u64());
    assert_eq!(proven["suppressed"], false);
    let gone = "marker-gone@proven.example";
    let bounce = bounced("Permanent", Some("smtp; 550 5.1.1 no such user"));
    let (event, _) = report(stage, gone, &bounce);
    stage.replies.wait_for_record(&event.id, "bounced");
    known(gone, &|known| known["reason"] == "bounced");
    let summary = call(&stage.replies, "GET", "summary", &Value::Null).json();
    let accounts = summary["accounts"].as_array().unwrap();
    let bounced = accounts
        .iter()
        .filter_map(|account| account["bounced_today"].as_u64());
    assert!(bounced.sum::<u64>() >= 1, "{summary}");
}

fn queued_then_failed(stage: &Stage, with_metadata: bool) {
    let event = Event::code();
    stage.nylas.script(rule(&event, Some(1), Action::Queue202));
    assert_eq!(event.deliver(&stage.replies).answer(), pair(200, "sent"));
    let first = one_mail(stage, &event, SOON);
    let failed = MailEvent::SendFailed {
        reason: "the queue gave up".to_owned(),
        metadata: with_metadata,
    };
    assert!(stage.nylas.report(&first.id, &failed));
    stage.replies.wait_for_record(&event.id, "resent");
    let second = (0..600).find_map(|_| {
        thread::sleep(Duration::from_millis(100));
        stage
            .nylas
            .mails_to(&event.to)
            .into_iter()
            .find(|mail| !mail.failed)
    });
    let second = second.expect("no second mail");
    assert_ne!(second.grant_id, first.grant_id);
    assert_eq!(second.body, first.body);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(stage.nylas.mails_to(&event.to).len(), 2);
    assert_eq!(
        event.deliver(&stage.replies).answer(),
        pair(200, "duplicate")
    );
}

fn a_mail_nylas_queued_and_could_not_send_goes_through_the_other_account(stage: &Stage) {
    queued_then_failed(stage, true);
}

fn a_failed_send_is_known_by_its_message_id_alone(stage: &Stage) {
    queued_then_failed(stage, false);
}

fn a_grant_that_expires_is_an_alert(stage: &Stage) {
    assert!(stage.nylas.report_grant(THIRD, GrantEvent::Expired));
    let record = wait_for(&stage.replies, "the grant", |record| {
        record["outcome"] == "grant_expired"
    });
    assert_eq!(record["alert"], true);
    assert_eq!(record["account"], THIRD);
}

fn a_message_without_a_notification_is_found(stage: &Stage) {
    // The main relay's account: no webhook is registered for it.
    let inbound = from_outside(GRANT, &unique(), &[]);
    let id = stage.nylas.receive(inbound).unwrap();
    let reply_id = reply_id(GRANT, &id);
    // The mailbox is full of the mails of other tests, so it takes several looks.
    for _ in 0..20 {
        let path = "/cdn-cgi/local/scheduled?cron=*/15+*+*+*+*";
        assert_eq!(stage.relay.get(path).unwrap().code, 200);
        thread::sleep(Duration::from_secs(2));
        let records = stage.relay.records();
        let is_found = records
            .iter()
            .any(|record| record["reply"] == reply_id.as_str() && record["outcome"] == "person");
        if is_found {
            assert!(records.iter().any(|record| record["outcome"] == "found"));
            return;
        }
    }
    panic!("not found:\n{}", stage.relay.log());
}

fn a_worker_down_for_two_of_nylas_three_attempts_hands_the_reply_on(stage: &Stage) {
    let relay = Relay::start("down", stage.reply_settings());
    stage.nylas.add_webhook(
        &relay.url("/api/webhooks/nylas"),
        NYLAS_WEBHOOK_SECRET,
        &["message.created"],
    );
    relay.kill();
    let words = unique();
    let id = stage
        .nylas
        .receive(from_outside(THIRD, &words, &[]))
        .unwrap();
    let failed = || {
        let here = relay.url("/api/webhooks/nylas");
        let notified = stage.nylas.notified();
        let about = notified
            .iter()
            .filter(|attempt| attempt.url == here && attempt.status.is_none());
        about.count()
    };
    for _ in 0..600 {
        if failed() >= 2 {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    assert!(failed() >= 2);
    relay.run();
    let reply_id = reply_id(THIRD, &id);
    wait_for(&relay, "the hand-off", |record| {
        record["reply"] == reply_id.as_str()
            && record["event"] == "hand_off"
            && record["outcome"] == "handed_on"
    });
    // Nylas notifies this Worker and the one that was there all along separately.
    let handed = stage.agent.handed(&words);
    assert!(handed.len() <= 2, "{handed:?}");
}

fn without_inbox_a_reply_is_handed_on_through_outbox(stage: &Stage) {
    handed_on_without(
        stage,
        "lane-outbox",
        &[("producers", "-inbox"), ("consumers", "-inbox")],
    );
}

/// So it does not go through `OUTBOX`.
fn a_reply_is_handed_on_through_inbox_while_nothing_comes_out_of_outbox(stage: &Stage) {
    handed_on_without(stage, "lane-inbox", &[("consumers", "-outbox")]);
}

/// A reply reaches the agent and the person, with some ends of the queues removed. The account is called as the Worker.
fn handed_on_without(stage: &Stage, name: &str, removed: &[(&'static str, &'static str)]) {
    let account = Account {
        grant_id: name.to_owned(),
        email: format!("auth@{name}.example"),
        name: None,
    };
    let nylas = StandIn::start_blocking(Options::new(API_KEY, vec![account])).unwrap();
    let settings = Settings {
        removed: removed.to_vec(),
        ..stage.reply_settings()
    };
    let settings = settings
        .var("NYLAS_API_BASE", nylas.base_url())
        .var("NYLAS_ACCOUNTS", "")
        .var("NYLAS_GRANT_ID", name);
    let relay = Relay::start(name, settings);
    let url = relay.url("/api/webhooks/nylas");
    nylas.add_webhook(&url, NYLAS_WEBHOOK_SECRET, &["message.created"]);
    let words = unique();
    nylas.receive(from_outside(name, &words, &[])).unwrap();
    stage.agent.wait_for(&words);
    let forwarded = nylas.wait_for_mail(PERSON, SOON);
    assert!(forwarded.is_some(), "{}", relay.log());
}
