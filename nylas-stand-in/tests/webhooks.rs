//! Webhooks, notifications, incoming mails, and accounts created through the API.

#![allow(clippy::unwrap_used)]

mod common;

use common::{GRANT, KEY, Reply, get, mail, options, post, put, send};
use hmac::{Hmac, Mac};
use nylas_stand_in::{AccountState, GrantEvent, Inbound, MailEvent, Options, StandIn};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);

struct Received {
    signature: String,
    /// `Content-Encoding`.
    encoding: String,
    body: Vec<u8>,
}

impl Received {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A webhook that echoes challenges or not, and answers notifications with these statuses in turn, then 200.
fn hook(echoes: bool, statuses: Vec<u16>) -> (String, Receiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook?a=b", listener.local_addr().unwrap());
    let (sender, received) = channel();
    let mut statuses = statuses.into_iter();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut first, mut length) = (String::new(), 0);
            let (mut signature, mut encoding) = (String::new(), String::new());
            reader.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                match line.trim().split_once(": ") {
                    Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                        length = value.parse().unwrap()
                    }
                    Some(("x-nylas-signature", value)) => signature = value.to_owned(),
                    Some(("content-encoding", value)) => encoding = value.to_owned(),
                    Some(_) => {}
                    None => break,
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let (status, answer) = match first.split_once("challenge=") {
                Some((_, rest)) if echoes => (200, rest.split(' ').next().unwrap().to_owned()),
                Some(_) => (404, String::new()),
                None => {
                    let received = Received {
                        signature,
                        encoding,
                        body,
                    };
                    sender.send(received).unwrap();
                    (statuses.next().unwrap_or(200), String::new())
                }
            };
            let length = answer.len();
            let headers = format!("connection: close\r\ncontent-length: {length}\r\n");
            write!(stream, "HTTP/1.1 {status} X\r\n{headers}\r\n{answer}").unwrap();
        }
    });
    (url, received)
}

fn start() -> StandIn {
    StandIn::start_blocking(Options {
        notify_interval: Duration::from_millis(20),
        ..options()
    })
    .unwrap()
}

fn api(nylas: &StandIn, path: &str, body: &Value) -> Reply {
    let bearer = format!("Bearer {KEY}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    post(nylas, path, &headers, body.to_string().as_bytes()).unwrap()
}

fn create(nylas: &StandIn, url: &str, triggers: &[&str]) -> Reply {
    api(
        nylas,
        "/v3/webhooks",
        &json!({ "trigger_types": triggers, "webhook_url": url, "description": "test" }),
    )
}

#[test]
fn a_webhook_is_made_listed_and_given_a_new_secret() {
    let nylas = start();
    let (url, _received) = hook(true, vec![]);
    let made = create(&nylas, &url, &["message.created"]);
    assert_eq!(
        (made.status, &made.body["data"]["status"]),
        (200, &json!("active"))
    );
    let id = made.body["data"]["id"].as_str().unwrap().to_owned();
    let list = get(&nylas, "/v3/webhooks").body;
    assert_eq!(
        (
            &list["data"][0]["id"],
            list["data"][0].get("webhook_secret")
        ),
        (&json!(id), None)
    );
    let rotated = api(
        &nylas,
        &format!("/v3/webhooks/rotate-secret/{id}"),
        &json!({}),
    );
    assert!(rotated.body["data"]["webhook_secret"].is_string());
    assert_ne!(
        rotated.body["data"]["webhook_secret"],
        made.body["data"]["webhook_secret"]
    );
    assert_eq!(create(&nylas, &url, &["message.created"]).status, 400);
}

#[test]
fn a_webhook_is_changed_only_in_the_fields_named() {
    let nylas = start();
    let (url, received) = hook(true, vec![]);
    assert_eq!(create(&nylas, &url, &["message.unknown"]).status, 400);
    let made = create(&nylas, &url, &["message.bounced"]);
    let path = format!("/v3/webhooks/{}", made.body["data"]["id"].as_str().unwrap());
    let paused = put(&nylas, &path, &json!({ "status": "pause" })).body["data"].clone();
    assert_eq!(paused["status"], json!("pause"));
    assert_eq!(paused["trigger_types"], json!(["message.bounced"]));
    assert_eq!(paused["description"], json!("test"));
    let triggers = json!({ "trigger_types": ["message.delivered"] });
    put(&nylas, &path, &triggers);
    send(&nylas, "k", &mail("a@example.com"));
    put(&nylas, &path, &json!({ "status": "active" }));
    send(&nylas, "l", &mail("b@example.com"));
    // What happened while it was paused is not notified later.
    let object = received.recv_timeout(SOON).unwrap().json()["data"]["object"].clone();
    assert_eq!(object["message"]["to"][0], json!("b@example.com"));
    for wrong in [
        json!({ "status": "failed" }),
        json!({ "trigger_types": ["message.unknown"] }),
        json!({ "unknown": 1 }),
    ] {
        assert_eq!(put(&nylas, &path, &wrong).status, 400, "{wrong}");
    }
    let nobody = put(&nylas, "/v3/webhooks/unknown", &triggers);
    assert_eq!((nobody.status, nobody.kind()), (400, "70000"));
}

#[test]
fn a_mail_to_another_account_here_comes_in() {
    let nylas = start();
    let (url, received) = hook(true, vec![]);
    create(&nylas, &url, &["message.created"]);
    let address = get(&nylas, &format!("/v3/grants/{GRANT}")).body["data"]["email"].clone();
    send(&nylas, "k", &mail(address.as_str().unwrap()));
    let folders: Vec<Value> = (0..2)
        .map(|_| received.recv_timeout(SOON).unwrap().json()["data"]["object"]["folders"].clone())
        .collect();
    assert_ne!(folders[0], folders[1], "Sent and the inbox");
}

#[test]
fn a_destination_that_does_not_echo_is_refused() {
    let nylas = start();
    let (url, _received) = hook(false, vec![]);
    let refused = create(&nylas, &url, &["message.created"]);
    assert_eq!((refused.status, refused.kind()), (400, "70005"));
    assert_eq!(
        refused.message(),
        "unable.verify.webhook_url : status is not ok, got 404"
    );
    assert_eq!(
        create(&nylas, "http://127.0.0.1:1/", &["message.created"]).kind(),
        "70005"
    );
}

#[test]
fn a_reply_is_stored_and_notified_with_a_signature() {
    let nylas = start();
    let (url, received) = hook(true, vec![]);
    let secret = create(&nylas, &url, &["message.created"]).body["data"]["webhook_secret"]
        .as_str()
        .unwrap()
        .to_owned();
    send(&nylas, "k", &mail("a@example.com"));
    let sent = nylas.mails().remove(0);
    assert_eq!(
        received.recv_timeout(SOON).unwrap().json()["data"]["object"]["id"],
        json!(sent.id)
    );
    let inbound = Inbound {
        grant_id: GRANT.to_owned(),
        from: "a@example.com".to_owned(),
        subject: "Re: 123456 is your code".to_owned(),
        body: "<p>Not me!</p>".to_owned(),
        in_reply_to_message_id: Some(sent.id.clone()),
        headers: vec![("Auto-Submitted".to_owned(), "auto-replied".to_owned())],
        ..Inbound::default()
    };
    let id = nylas.receive(inbound.clone()).unwrap();
    let reply = received.recv_timeout(SOON).unwrap();
    let envelope = reply.json();
    assert_eq!(
        (&envelope["type"], &envelope["webhook_delivery_attempt"]),
        (&json!("message.created"), &json!(1))
    );
    let object = &envelope["data"]["object"];
    assert_eq!(
        (&object["id"], &object["thread_id"]),
        (&json!(id), &json!(sent.thread_id))
    );
    assert_eq!(reply.signature, signed(&secret, &reply.body));
    assert_eq!(reply.encoding, "");
    let stored = get(
        &nylas,
        &format!("/v3/grants/{GRANT}/messages/{id}?fields=include_headers"),
    )
    .body;
    let headers = stored["data"]["headers"].as_array().unwrap();
    for name in ["In-Reply-To", "References", "Auto-Submitted"] {
        assert!(headers.iter().any(|header| header["name"] == json!(name)));
    }
    assert_eq!(
        nylas.receive(Inbound {
            grant_id: "nobody".to_owned(),
            ..inbound
        }),
        None
    );
}

fn signed(secret: &str, body: &[u8]) -> String {
    let mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    let signature = mac.chain_update(body).finalize().into_bytes();
    signature.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Nylas signs the compressed bytes.
#[test]
fn a_webhook_that_asks_for_it_gets_its_notifications_compressed() {
    let nylas = start();
    let (url, received) = hook(true, vec![]);
    let wanted = json!({
        "trigger_types": ["message.created"], "webhook_url": url, "compressed_delivery": true,
    });
    let made = api(&nylas, "/v3/webhooks", &wanted).body["data"].clone();
    assert_eq!(made["compressed_delivery"], json!(true));
    send(&nylas, "k", &mail("a@example.com"));
    let packed = received.recv_timeout(SOON).unwrap();
    assert_eq!(packed.encoding, "gzip");
    let secret = made["webhook_secret"].as_str().unwrap();
    assert_eq!(packed.signature, signed(secret, &packed.body));
    let unpacked: Value =
        serde_json::from_reader(flate2::read::GzDecoder::new(&packed.body[..])).unwrap();
    assert_eq!(unpacked["data"]["object"]["id"], json!(nylas.mails()[0].id));
    // A change that does not name it leaves it, and it can be taken back.
    let path = format!("/v3/webhooks/{}", made["id"].as_str().unwrap());
    let same = put(&nylas, &path, &json!({ "description": "packed" }));
    assert_eq!(same.body["data"]["compressed_delivery"], json!(true));
    put(&nylas, &path, &json!({ "compressed_delivery": false }));
    send(&nylas, "l", &mail("a@example.com"));
    let plain = received.recv_timeout(SOON).unwrap();
    assert_eq!((plain.encoding.as_str(), plain.body[0]), ("", b'{'));
}

#[test]
fn a_sent_mail_is_delivered_with_its_metadata() {
    let nylas = start();
    let (url, received) = hook(true, vec![]);
    create(&nylas, &url, &["message.delivered"]);
    send(&nylas, "k", &mail("a@example.com"));
    let data = received.recv_timeout(SOON).unwrap().json()["data"].clone();
    assert_eq!(data["grant_id"], json!(GRANT));
    assert_eq!(
        data["object"]["message"]["metadata"],
        json!({ "key1": "msg_1" })
    );
}

#[test]
fn three_attempts_and_only_after_some_statuses() {
    for (statuses, attempts) in [
        (vec![503, 429, 502], 3),
        (vec![503], 2),
        (vec![500], 1),
        (vec![200], 1),
    ] {
        let nylas = start();
        let (url, received) = hook(true, statuses);
        create(&nylas, &url, &["message.bounced"]);
        nylas.notify(
            "message.bounced",
            json!({ "object": { "message": { "id": "x" } } }),
        );
        let seen: Vec<Value> = (0..attempts)
            .map(|_| received.recv_timeout(SOON).unwrap().json())
            .collect();
        assert!(received.recv_timeout(Duration::from_millis(150)).is_err());
        let numbers: Vec<u64> = seen
            .iter()
            .filter_map(|received| received["webhook_delivery_attempt"].as_u64())
            .collect();
        assert_eq!(numbers, (1..=attempts).collect::<Vec<u64>>());
        assert!(seen.iter().all(|received| received["id"] == seen[0]["id"]));
    }
}

#[test]
fn a_variant_goes_to_subscribers_of_its_base_type_only() {
    let nylas = start();
    let (url, received) = hook(true, vec![]);
    create(&nylas, &url, &["message.created"]);
    nylas.notify("message.created_twice", json!({}));
    nylas.notify("grant.expired", json!({}));
    nylas.notify("message.created.truncated", json!({}));
    assert_eq!(
        received.recv_timeout(SOON).unwrap().json()["type"],
        json!("message.created.truncated")
    );
    assert!(received.recv_timeout(Duration::from_millis(100)).is_err());
}

#[test]
fn the_same_address_again_is_the_same_account() {
    let nylas = start();
    let wanted = json!({ "provider": "nylas", "name": "New", "settings": { "email": "new@app.example.com" } });
    let made = api(&nylas, "/v3/connect/custom", &wanted);
    let again = api(&nylas, "/v3/connect/custom", &wanted);
    assert_eq!((made.status, again.status), (201, 201));
    assert_eq!(made.body["data"]["id"], again.body["data"]["id"]);
    let id = made.body["data"]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        get(&nylas, &format!("/v3/grants/{id}")).body["data"]["name"],
        json!("New")
    );
    assert_eq!(
        api(
            &nylas,
            "/v3/connect/custom",
            &json!({ "provider": "google" })
        )
        .status,
        400
    );
}

#[test]
fn steered_over_http() {
    let nylas = start();
    let rule = json!({ "times": 1, "action": { "answer": { "status": 503 } } });
    assert_eq!(api(&nylas, "/control/rules", &rule).status, 200);
    assert_eq!(send(&nylas, "1", &mail("a@example.com")).status, 503);
    assert_eq!(
        api(
            &nylas,
            "/control/accounts",
            &json!({ "grant_id": GRANT, "state": "paused" })
        )
        .status,
        200
    );
    assert_eq!(send(&nylas, "2", &mail("a@example.com")).status, 400);
    assert_eq!(
        api(
            &nylas,
            "/control/accounts",
            &json!({ "grant_id": GRANT, "state": "healthy" })
        )
        .status,
        200
    );
    let plan = |plan: Value| assert_eq!(api(&nylas, "/control/plan", &plan).status, 200);
    plan(json!({ "mails_a_day": 0 }));
    assert_eq!(send(&nylas, "plan", &mail("a@example.com")).status, 429);
    plan(json!({}));
    send(&nylas, "3", &mail("a@example.com"));
    assert_eq!(
        api(
            &nylas,
            "/control/clock",
            &json!({ "advance_ms": 3_600_000 })
        )
        .status,
        200
    );
    assert!(!send(&nylas, "3", &mail("a@example.com")).replayed());
    assert_eq!(
        get(&nylas, "/inbox.json").body.as_array().map(Vec::len),
        Some(2)
    );
    for (what, body) in [
        ("rules", json!({})),
        ("accounts", json!({ "grant_id": "new" })),
        ("clock", json!({ "back": 1 })),
    ] {
        assert_eq!(api(&nylas, &format!("/control/{what}"), &body).status, 400);
    }
    let form = [("content-type", "text/plain")];
    assert_eq!(
        post(&nylas, "/control/clock", &form, b"{\"advance_ms\":1}")
            .unwrap()
            .status,
        400
    );
}

#[test]
fn waiting_for_a_mail_over_http() {
    let nylas = start();
    assert_eq!(
        get(&nylas, "/inbox/wait?to=a@example.com&timeout_ms=50").status,
        408
    );
    let waited = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| get(&nylas, "/inbox/wait?to=a%40example.com&timeout_ms=4000"));
        std::thread::sleep(Duration::from_millis(100));
        send(&nylas, "1", &mail("a@example.com"));
        waiting.join().unwrap()
    });
    let id = waited.body["id"].as_str().unwrap().to_owned();
    assert_eq!(id, nylas.mails()[0].id);
    assert_eq!(
        get(
            &nylas,
            &format!("/inbox/wait?to=a@example.com&timeout_ms=50&after={id}")
        )
        .status,
        408
    );
    send(&nylas, "2", &mail("a@example.com"));
    let later = get(
        &nylas,
        &format!("/inbox/wait?to=a@example.com&timeout_ms=50&after={id}"),
    );
    assert_eq!(later.body["id"], json!(nylas.mails()[1].id));
    assert_eq!(get(&nylas, "/inbox/wait?timeout_ms=50").status, 400);
}

#[test]
fn what_became_of_a_mail() {
    let nylas = start();
    let (url, received) = hook(true, vec![]);
    nylas.add_webhook(&url, "secret", &[]);
    send(&nylas, "k", &mail("a@example.com"));
    let id = nylas.mails()[0].id.clone();
    let next = || received.recv_timeout(SOON).unwrap().json();
    let by_itself = [next(), next()];
    for kind in ["message.created", "message.delivered"] {
        assert!(
            by_itself
                .iter()
                .any(|received| received["type"] == json!(kind))
        );
    }
    let bounced = MailEvent::Bounced {
        kind: "MailboxFull".to_owned(),
        diagnostic_code: Some("smtp; 550 user unknown".to_owned()),
    };
    let failed = |metadata| MailEvent::SendFailed {
        reason: "queue expired".to_owned(),
        metadata,
    };
    let table = [
        (
            bounced,
            "message.bounced",
            "/bounce/recipients/0/diagnostic_code",
            json!("smtp; 550 user unknown"),
        ),
        (
            MailEvent::Complaint,
            "message.complaint",
            "/complaint/complained_recipients/0",
            json!("a@example.com"),
        ),
        (
            MailEvent::Rejected,
            "message.rejected",
            "/message/metadata/key1",
            json!("msg_1"),
        ),
        (
            failed(true),
            "message.send_failed",
            "/metadata/key1",
            json!("msg_1"),
        ),
        (
            failed(false),
            "message.send_failed",
            "/to/0/email",
            json!("a@example.com"),
        ),
    ];
    for (event, kind, pointer, value) in table {
        assert!(nylas.report(&id, &event));
        let received = next();
        assert_eq!(received["type"], json!(kind));
        assert_eq!(received["data"]["grant_id"], json!(GRANT));
        assert_eq!(
            received["data"]["object"].pointer(pointer),
            Some(&value),
            "{received}"
        );
        let about = received["data"]["object"]
            .get("message")
            .unwrap_or(&received["data"]["object"]);
        assert_eq!(about["id"], json!(id));
    }
    assert!(nylas.mails()[0].failed);
    assert!(!nylas.report("none", &MailEvent::Delivered));
    assert!(
        nylas
            .notified()
            .iter()
            .all(|attempt| attempt.status == Some(200))
    );
}

#[test]
fn what_happened_to_an_account() {
    let nylas = start();
    let (url, received) = hook(true, vec![]);
    nylas.add_webhook(&url, "secret", &["grant.expired", "grant.deleted"]);
    assert!(nylas.report_grant(GRANT, GrantEvent::Updated));
    for (event, kind, code) in [
        (GrantEvent::Expired, "grant.expired", 25009),
        (GrantEvent::Deleted, "grant.deleted", 25013),
    ] {
        assert!(nylas.report_grant(GRANT, event));
        let received = received.recv_timeout(SOON).unwrap().json();
        let object = &received["data"]["object"];
        assert_eq!(
            (&received["type"], &object["code"]),
            (&json!(kind), &json!(code))
        );
        assert_eq!(
            (&object["grant_id"], &object["provider"]),
            (&json!(GRANT), &json!("nylas"))
        );
    }
    assert!(!nylas.report_grant("nobody", GrantEvent::Expired));
}

#[test]
fn an_event_of_a_queued_mail_is_sent_only_by_a_test() {
    let nylas = start();
    let (url, received) = hook(true, vec![]);
    nylas.add_webhook(&url, "secret", &[]);
    nylas.set_account_state(GRANT, AccountState::PerSecond { mails: 0, queue: 9 });
    assert_eq!(send(&nylas, "k", &mail("a@example.com")).status, 202);
    assert_eq!(
        received.recv_timeout(SOON).unwrap().json()["type"],
        json!("message.created")
    );
    assert!(received.recv_timeout(Duration::from_millis(100)).is_err());
    assert!(nylas.report(&nylas.mails()[0].id, &MailEvent::Delivered));
    assert_eq!(
        received.recv_timeout(SOON).unwrap().json()["type"],
        json!("message.delivered")
    );
}

#[test]
fn a_notification_of_a_mail_over_a_megabyte_has_no_body() {
    let nylas = start();
    let (url, received) = hook(true, vec![]);
    nylas.add_webhook(&url, "secret", &["message.created"]);
    let inbound = Inbound {
        grant_id: GRANT.to_owned(),
        from: "a@example.com".to_owned(),
        from_name: Some("Ada".to_owned()),
        subject: "Re: 1".to_owned(),
        body: "x".repeat(2_000_000),
        ..Inbound::default()
    };
    let id = nylas.receive(inbound).unwrap();
    let received = received.recv_timeout(SOON).unwrap().json();
    assert_eq!(received["type"], json!("message.created.truncated"));
    let object = &received["data"]["object"];
    assert_eq!(
        (
            &object["id"],
            object.get("body"),
            &object["from"][0]["name"]
        ),
        (&json!(id), None, &json!("Ada"))
    );
    let whole = get(&nylas, &format!("/v3/grants/{GRANT}/messages/{id}")).body;
    assert_eq!(
        whole["data"]["body"].as_str().map(str::len),
        Some(2_000_000)
    );
}

#[test]
fn an_unreachable_destination_is_tried_again() {
    let nylas = start();
    nylas.add_webhook("http://127.0.0.1:1/", "secret", &[]);
    nylas.notify("grant.expired", json!({ "object": {} }));
    std::thread::sleep(Duration::from_millis(300));
    let attempts: Vec<_> = nylas
        .notified()
        .iter()
        .map(|attempt| (attempt.attempt, attempt.status))
        .collect();
    assert_eq!(attempts, [(1, None), (2, None), (3, None)]);
}

#[test]
fn events_reported_over_http() {
    let nylas = start();
    let (url, received) = hook(true, vec![]);
    send(&nylas, "k", &mail("a@example.com"));
    let sent = nylas.mails()[0].id.clone();
    let table = [
        (
            "webhooks",
            json!({ "url": url, "secret": "s", "trigger_types": [] }),
            "",
        ),
        (
            "mail-events",
            json!({ "mail_id": sent, "event": { "bounced": { "kind": "MailboxFull" } } }),
            "message.bounced",
        ),
        (
            "mail-events",
            json!({ "mail_id": sent, "event": "complaint" }),
            "message.complaint",
        ),
        (
            "grant-events",
            json!({ "grant_id": GRANT, "event": "expired" }),
            "grant.expired",
        ),
        (
            "notifications",
            json!({ "type": "message.updated", "data": { "object": {} } }),
            "message.updated",
        ),
        (
            "inbound",
            json!({ "grant_id": GRANT, "from": "a@example.com", "subject": "Re: 1", "body": "no" }),
            "message.created",
        ),
    ];
    for (what, body, kind) in table {
        assert_eq!(api(&nylas, &format!("/control/{what}"), &body).status, 200);
        if !kind.is_empty() {
            assert_eq!(
                received.recv_timeout(SOON).unwrap().json()["type"],
                json!(kind)
            );
        }
    }
    for (what, body) in [
        (
            "mail-events",
            json!({ "mail_id": "none", "event": "complaint" }),
        ),
        (
            "grant-events",
            json!({ "grant_id": "none", "event": "expired" }),
        ),
        (
            "inbound",
            json!({ "grant_id": "none", "from": "a@example.com", "subject": "", "body": "" }),
        ),
    ] {
        assert_eq!(api(&nylas, &format!("/control/{what}"), &body).status, 400);
    }
    assert_eq!(
        get(&nylas, "/notified.json").body[0]["type"],
        json!("message.bounced")
    );
    assert_eq!(
        get(&nylas, "/requests.json").body[0]["recipient"],
        json!("a@example.com")
    );
}
