//! Going up from the release before and back: its real Worker and the present one, on one ledger and with each
//! other's queue messages. What `docs/deploy.md` says of both is here.

use crate::{
    ADMIN_TOKEN, FIFTH, SEVENTH, SUPPORT, Stage,
    clerk::Event,
    relay::{API_KEY, NYLAS_WEBHOOK_SECRET, Relay, Response, Settings},
    replies::unique,
    tests::{SOON, notify, notify_at, notify_under, one_mail, pair, rule},
};
use base64::Engine;
use nylas_stand_in::{Action, Inbound, Mail, MailEvent};
use serde_json::{Value, json};
use std::{io::Write, thread, time::Duration};

/// The release before: a folder of `tests/releases`.
pub const BEFORE: &str = "0.1.0";
const PRESENT: &str = env!("CARGO_PKG_VERSION");

type Test = fn(&Stage);

macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub const ALL: &[(&str, Test)] = &[$((stringify!($name), $name)),*];
    };
}

tests![
    the_versions_tell_which_they_are,
    a_mail_the_older_sent_is_a_duplicate_for_the_newer,
    a_mail_the_newer_sent_is_a_duplicate_for_the_older,
    a_mail_the_older_queued_is_sent_once_by_the_newer,
    a_mail_the_newer_queued_is_sent_once_by_the_older,
    a_mail_nylas_took_from_the_older_without_its_knowledge_is_not_sent_twice_by_the_newer,
    a_mail_nylas_took_from_the_newer_without_its_knowledge_is_not_sent_twice_by_the_older,
    a_content_too_large_for_the_queue_is_read_by_the_newer,
    a_content_too_large_for_the_queue_is_read_by_the_older,
    a_mail_the_older_gave_up_is_sent_once_by_the_newers_redrive,
    a_mail_the_newer_gave_up_is_sent_once_by_the_older_when_clerk_sends_it_again,
    a_suppression_of_the_older_is_honoured_by_the_newer,
    a_suppression_of_the_newer_is_honoured_by_the_older,
    a_mail_nylas_could_not_send_is_sent_elsewhere_by_the_older,
    what_nylas_told_the_older_is_acted_on_by_the_newer,
    what_nylas_told_the_newer_is_kept_by_the_older_and_not_acted_on,
    a_compressed_notification_is_nothing_to_the_older,
    a_hand_off_the_older_does_not_know_waits_in_its_dead_letters,
    an_alert_the_older_does_not_know_waits_in_its_dead_letters,
    a_forward_the_older_sends_has_no_reply_to,
    up_back_and_up_again_on_one_ledger,
    what_is_not_text_is_kept_whole,
];

/// From a version to the other.
#[derive(Clone, Copy)]
struct Way {
    from: &'static str,
    to: &'static str,
}

const UP: Way = Way {
    from: "old",
    to: "new",
};
const BACK: Way = Way {
    from: "new",
    to: "old",
};

impl Way {
    /// From now on queue messages with this text go there: `work`, or `dead`, as when retries are used up.
    fn route(self, stage: &Stage, text: &str) {
        route(stage, text, &format!("{}_work", self.to));
    }
}

fn version(name: &str) -> &'static str {
    if name == "old" { BEFORE } else { PRESENT }
}

fn deliver(stage: &Stage, name: &str, event: &Event) -> Response {
    event.deliver_under(&stage.beside, &format!("/{name}"))
}

fn call(stage: &Stage, method: &str, path: &str, body: &str) -> Response {
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let headers = [("Authorization", bearer.as_str())];
    let response = stage
        .beside
        .request(method, path, &headers, body.as_bytes());
    response.expect("the switchboard did not answer")
}

fn route(stage: &Stage, text: &str, queue: &str) {
    assert_eq!(
        call(stage, "POST", &format!("/route/{queue}"), text).code,
        200
    );
}

/// What was put into either queue and holds this text, when it has been.
fn queued(stage: &Stage, text: &str) -> Vec<String> {
    for _ in 0..300 {
        let answer = call(stage, "POST", "/messages", text).json();
        let found: Vec<String> = serde_json::from_value(answer).unwrap();
        if !found.is_empty() {
            return found;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("nothing with {text} was queued");
}

fn ledger_path(key: &str) -> String {
    format!("/ledger/{}", key.replace(':', "%3A"))
}

fn redrive(stage: &Stage, id: &str) {
    let path = format!("/new/api/admin/dead/{id}/redrive");
    assert_eq!(
        call(stage, "POST", &path, "").answer(),
        pair(200, "redriven")
    );
}

fn wait_for(stage: &Stage, name: &str, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..300 {
        let mut records = stage.beside.records().into_iter();
        if let Some(record) =
            records.find(|record| record["version"] == version(name) && fits(record))
        {
            return record;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("no record of {what} by {name}:\n{}", stage.beside.log());
}

fn wait_for_outcome(stage: &Stage, name: &str, event: &Event, outcome: &str) -> Value {
    wait_for(stage, name, outcome, |record| {
        record["svix_id"] == event.id.as_str() && record["outcome"] == outcome
    })
}

/// The one mail, every request for which had the one key.
fn one_mail_under_its_key(stage: &Stage, event: &Event) -> Mail {
    let mail = one_mail(stage, event, SOON);
    let mut requests = stage.nylas.requests();
    requests.retain(|request| request.recipient.as_deref() == Some(event.to.as_str()));
    assert!(!requests.is_empty());
    for request in requests {
        assert_eq!(request.idempotency_key.as_deref(), Some(event.id.as_str()));
    }
    mail
}

fn the_versions_tell_which_they_are(stage: &Stage) {
    let health = stage.beside.get("/health").unwrap().json();
    let ok = |version| json!({"status": "ok", "version": version});
    assert_eq!(health, json!([ok(BEFORE), ok(PRESENT)]));
    assert_ne!(BEFORE, PRESENT);
}

fn sent_is_a_duplicate(stage: &Stage, way: Way) {
    let event = Event::code();
    assert_eq!(deliver(stage, way.from, &event).answer(), pair(200, "sent"));
    let again = deliver(stage, way.to, &event);
    assert_eq!(again.answer(), pair(200, "duplicate"));
    assert_eq!(again.json()["reason"], "sent_before");
    one_mail(stage, &event, SOON);
}

fn a_mail_the_older_sent_is_a_duplicate_for_the_newer(stage: &Stage) {
    sent_is_a_duplicate(stage, UP);
}

fn a_mail_the_newer_sent_is_a_duplicate_for_the_older(stage: &Stage) {
    sent_is_a_duplicate(stage, BACK);
}

fn queued_is_sent_once(stage: &Stage, way: Way) {
    let event = Event::code();
    stage
        .nylas
        .script(rule(&event, Some(1), Action::DropBefore));
    way.route(stage, &event.id);
    assert_eq!(
        deliver(stage, way.from, &event).answer(),
        pair(200, "queued")
    );
    // Asked again meanwhile.
    assert_eq!(
        deliver(stage, way.to, &event).answer(),
        pair(200, "duplicate")
    );
    one_mail_under_its_key(stage, &event);
    wait_for_outcome(stage, way.to, &event, "sent");
    // The queue delivers at least once, and to whichever version runs.
    let texts = queued(stage, &event.id);
    assert_eq!(texts.len(), 1, "put into the queue again: {texts:?}");
    let put = format!("/put/{}_work", way.from);
    assert_eq!(call(stage, "POST", &put, &texts[0]).code, 200);
    wait_for_outcome(stage, way.from, &event, "duplicate");
    one_mail_under_its_key(stage, &event);
}

fn a_mail_the_older_queued_is_sent_once_by_the_newer(stage: &Stage) {
    queued_is_sent_once(stage, UP);
}

fn a_mail_the_newer_queued_is_sent_once_by_the_older(stage: &Stage) {
    queued_is_sent_once(stage, BACK);
}

fn taken_without_knowledge_is_not_sent_twice(stage: &Stage, way: Way) {
    let event = Event::code();
    stage.nylas.script(rule(&event, Some(1), Action::DropAfter));
    way.route(stage, &event.id);
    assert_eq!(
        deliver(stage, way.from, &event).answer(),
        pair(200, "queued")
    );
    let record = wait_for_outcome(stage, way.to, &event, "sent");
    assert_eq!(record["event"], "outbox");
    one_mail_under_its_key(stage, &event);
}

fn a_mail_nylas_took_from_the_older_without_its_knowledge_is_not_sent_twice_by_the_newer(
    stage: &Stage,
) {
    taken_without_knowledge_is_not_sent_twice(stage, UP);
}

fn a_mail_nylas_took_from_the_newer_without_its_knowledge_is_not_sent_twice_by_the_older(
    stage: &Stage,
) {
    taken_without_knowledge_is_not_sent_twice(stage, BACK);
}

fn large_content_is_read(stage: &Stage, way: Way) {
    let html = format!("<p>marker</p>{}", "x".repeat(300_000));
    let event = Event::code().with("body", json!(html));
    stage
        .nylas
        .script(rule(&event, Some(1), Action::DropBefore));
    way.route(stage, &event.id);
    assert_eq!(
        deliver(stage, way.from, &event).answer(),
        pair(200, "queued")
    );
    assert_eq!(one_mail_under_its_key(stage, &event).body, html);
    wait_for_outcome(stage, way.to, &event, "sent");
    assert!(queued(stage, &event.id)[0].len() < 10_000);
    let kept = call(
        stage,
        "GET",
        &ledger_path(&format!("body:{}", event.id)),
        "",
    );
    assert!(kept.body.len() > html.len());
}

fn a_content_too_large_for_the_queue_is_read_by_the_newer(stage: &Stage) {
    large_content_is_read(stage, UP);
}

fn a_content_too_large_for_the_queue_is_read_by_the_older(stage: &Stage) {
    large_content_is_read(stage, BACK);
}

/// A mail of which nothing reached Nylas, in the dead letters of that version.
fn given_up(stage: &Stage, name: &str) -> Event {
    let event = Event::new("invitation");
    stage
        .nylas
        .script(rule(&event, Some(1), Action::DropBefore));
    route(stage, &event.id, &format!("{name}_dead"));
    assert_eq!(deliver(stage, name, &event).answer(), pair(200, "queued"));
    let record = wait_for_outcome(stage, name, &event, "dead_lettered");
    assert_eq!(record["reason"], "retries_used_up");
    assert!(stage.nylas.mails_to(&event.to).is_empty());
    event
}

fn a_mail_the_older_gave_up_is_sent_once_by_the_newers_redrive(stage: &Stage) {
    let event = given_up(stage, "old");
    UP.route(stage, &event.id);
    redrive(stage, &event.id);
    wait_for_outcome(stage, "new", &event, "sent");
    one_mail_under_its_key(stage, &event);
}

fn a_mail_the_newer_gave_up_is_sent_once_by_the_older_when_clerk_sends_it_again(stage: &Stage) {
    let event = given_up(stage, "new");
    assert_eq!(deliver(stage, "old", &event).answer(), pair(200, "sent"));
    one_mail_under_its_key(stage, &event);
    // After the next upgrade, its dead letter is still there.
    route(stage, &event.id, "new_work");
    redrive(stage, &event.id);
    wait_for_outcome(stage, "new", &event, "sent");
    one_mail_under_its_key(stage, &event);
}

fn a_suppression_of_the_older_is_honoured_by_the_newer(stage: &Stage) {
    let event = Event::code();
    let key = clerk_nylas_relay::config::Secret::new(API_KEY);
    let key = clerk_nylas_relay::ledger::suppression_key(&event.to, &key);
    assert_eq!(call(stage, "PUT", &ledger_path(&key), "1").code, 200);
    for name in ["old", "new"] {
        assert_eq!(
            deliver(stage, name, &event).answer(),
            pair(200, "suppressed")
        );
    }
}

fn a_suppression_of_the_newer_is_honoured_by_the_older(stage: &Stage) {
    let event = Event::code();
    let address = json!({"address": event.to}).to_string();
    let added = call(stage, "POST", "/new/api/admin/suppressions", &address);
    assert_eq!(added.answer(), pair(200, "suppressed"));
    assert_eq!(
        deliver(stage, "old", &event).answer(),
        pair(200, "suppressed")
    );
    assert!(stage.nylas.mails_to(&event.to).is_empty());
}

/// Its queue message says where the mail was and failed; the older goes on from there.
fn a_mail_nylas_could_not_send_is_sent_elsewhere_by_the_older(stage: &Stage) {
    let event = Event::code();
    stage.nylas.script(rule(&event, Some(1), Action::Queue202));
    assert_eq!(deliver(stage, "new", &event).answer(), pair(200, "sent"));
    let first = one_mail(stage, &event, SOON);
    BACK.route(stage, &format!("\"failed\":[\"{}\"]", first.id));
    let failed = MailEvent::SendFailed {
        reason: "the queue gave up".to_owned(),
        metadata: true,
    };
    assert!(stage.nylas.report(&first.id, &failed));
    wait_for_outcome(stage, "new", &event, "resent");
    wait_for_outcome(stage, "old", &event, "sent");
    thread::sleep(Duration::from_secs(1));
    let mut mails = stage.nylas.mails_to(&event.to);
    mails.retain(|mail| !mail.failed);
    assert_eq!(mails.len(), 1, "{mails:?}");
    assert_ne!(mails[0].grant_id, first.grant_id);
}

/// A hard bounce, told to that version, in whose queue message goes to that one. The notification's id, whom it is about.
fn told_of_a_bounce(stage: &Stage, way: Way) -> (String, Event) {
    let event = Event::code();
    let id = format!("bounce-{}", event.id);
    way.route(stage, &id);
    let object = json!({
        "message": {"id": "elsewhere", "from": "auth@fifth.example", "to": [event.to]},
        "bounce": {"type": "Permanent", "recipients": [{"email": event.to}]},
    });
    let data = json!({"grant_id": FIFTH, "object": object});
    let told = json!({"specversion": "1.0", "id": id, "type": "message.bounced", "data": data})
        .to_string();
    let prefix = format!("/{}", way.from);
    let (code, _) = notify_under(&stage.beside, &prefix, NYLAS_WEBHOOK_SECRET, &told);
    assert_eq!(code, 200);
    (id, event)
}

fn wait_for_bounce(stage: &Stage, id: &str) {
    wait_for(stage, "new", "the bounce", |record| {
        record["notification"] == id && record["outcome"] == "bounced"
    });
}

fn what_nylas_told_the_older_is_acted_on_by_the_newer(stage: &Stage) {
    let (id, event) = told_of_a_bounce(stage, UP);
    wait_for_bounce(stage, &id);
    assert_eq!(
        deliver(stage, "new", &event).answer(),
        pair(200, "suppressed")
    );
}

fn what_nylas_told_the_newer_is_kept_by_the_older_and_not_acted_on(stage: &Stage) {
    let (id, event) = told_of_a_bounce(stage, BACK);
    let key = ledger_path(&format!("notification:{id}"));
    let is_kept = || call(stage, "GET", &key, "").body.contains(&event.to);
    // Asked for before it is there, it is missing for half a minute.
    wait_for(stage, "old", "what is kept", |record| {
        record["outcome"] == "kept"
    });
    thread::sleep(Duration::from_secs(2));
    assert!(is_kept());
    assert_eq!(deliver(stage, "old", &event).answer(), pair(200, "sent"));
    // The older's note of it does not keep the newer from acting on it, should it come again.
    let text = queued(stage, &id).remove(0);
    assert_eq!(call(stage, "POST", "/put/new_work", &text).code, 200);
    wait_for_bounce(stage, &id);
}

fn a_compressed_notification_is_nothing_to_the_older(stage: &Stage) {
    let told = json!({"specversion": "1.0", "id": unique(), "type": "thread.replied", "data": {}});
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(told.to_string().as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    let answer = |prefix: &str| {
        let gzip = [("Content-Encoding", "gzip")];
        notify_at(&stage.beside, prefix, NYLAS_WEBHOOK_SECRET, &packed, &gzip)
    };
    assert_eq!(answer("/new"), pair(200, "ignored"));
    assert_eq!(answer("/old"), pair(200, "unusable"));
}

/// A user's mail comes to the newer, and what it makes of that to the older.
fn reply_that_goes_to_the_older(stage: &Stage) -> String {
    let words = unique();
    BACK.route(stage, &words);
    let id = receive(stage, FIFTH, &words);
    let told = told_of(FIFTH, &id);
    let answer = notify_under(&stage.beside, "/new", NYLAS_WEBHOOK_SECRET, &told);
    assert_eq!(answer, pair(200, "queued"));
    words
}

fn receive(stage: &Stage, grant_id: &str, words: &str) -> String {
    let inbound = Inbound {
        grant_id: grant_id.to_owned(),
        from: format!("{words}@elsewhere.example"),
        subject: "Hello".to_owned(),
        body: format!("<p>{words}</p>"),
        ..Inbound::default()
    };
    stage.nylas.receive(inbound).unwrap()
}

fn told_of(grant_id: &str, id: &str) -> String {
    let object = json!({"id": id, "grant_id": grant_id, "object": "message"});
    json!({"specversion": "1.0", "id": format!("told-{id}"), "type": "message.created", "data": {"object": object}})
        .to_string()
}

/// The dead letter with this text, when the newer lists it: lists are as stale as reads.
fn dead_letter(stage: &Stage, text: &str) -> String {
    for _ in 0..70 {
        let listed = call(stage, "GET", "/new/api/admin/dead?limit=200", "").json();
        for row in listed["dead_letters"].as_array().unwrap() {
            let id = row["id"].as_str().unwrap().to_owned();
            let kept = call(stage, "GET", &ledger_path(&format!("dead:{id}")), "");
            if id.starts_with("message-") && kept.body.contains(text) {
                return id;
            }
        }
        thread::sleep(Duration::from_secs(1));
    }
    panic!("no dead letter with {text}:\n{}", stage.beside.log());
}

/// What the older cannot read it put aside the first time it saw it, and said so.
fn put_aside_at_once(stage: &Stage) {
    let unreadable = |record: &Value| record["reason"] == "unreadable_message";
    let record = wait_for(stage, "old", "an unreadable message", unreadable);
    assert_eq!(record["alert"], true);
    for record in stage.beside.records().into_iter().filter(unreadable) {
        assert_eq!(record["outcome"], "dead_lettered", "{record}");
        assert_eq!(record["attempt"], 1, "{record}");
        assert_eq!(record["version"], BEFORE, "{record}");
    }
}

fn a_hand_off_the_older_does_not_know_waits_in_its_dead_letters(stage: &Stage) {
    let words = reply_that_goes_to_the_older(stage);
    let id = dead_letter(stage, &words);
    put_aside_at_once(stage);
    assert!(stage.agent.handed(&words).is_empty());
    // After the next upgrade.
    route(stage, &words, "new_work");
    redrive(stage, &id);
    stage.agent.wait_for(&words);
    thread::sleep(Duration::from_secs(1));
    assert_eq!(stage.agent.handed(&words).len(), 1);
}

fn an_alert_the_older_does_not_know_waits_in_its_dead_letters(stage: &Stage) {
    let event = Event::code();
    let refused = Action::Answer {
        status: 402,
        body: json!({"error": {"type": "api.provider_error", "message": "scripted"}}),
        headers: Vec::new(),
        accept_mail: false,
        keep: true,
    };
    stage.nylas.script(rule(&event, Some(1), refused));
    let about = "clerk_webhook.rejected";
    BACK.route(stage, about);
    assert_eq!(
        deliver(stage, "new", &event).answer(),
        pair(200, "rejected")
    );
    let id = dead_letter(stage, about);
    put_aside_at_once(stage);
    // Others may be about the same account; this one names the mail.
    assert!(stage.alerts.handed(event.id.as_str()).is_empty());
    route(stage, about, "new_work");
    redrive(stage, &id);
    stage.alerts.wait_for(event.id.as_str());
}

fn a_forward_the_older_sends_has_no_reply_to(stage: &Stage) {
    let words = reply_that_goes_to_the_older(stage);
    let forwards = || {
        let mut mails = stage.nylas.mails_to(SUPPORT);
        mails.retain(|mail| mail.body.contains(&words));
        mails
    };
    for _ in 0..300 {
        if !forwards().is_empty() {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    thread::sleep(Duration::from_secs(1));
    let forwards = forwards();
    assert_eq!(forwards.len(), 1);
    assert_eq!(forwards[0].reply_to, None);
}

/// The older, the newer, the older, the newer: one after the other, as deployed.
fn up_back_and_up_again_on_one_ledger(stage: &Stage) {
    let newer = Settings {
        // Looked through before, so that the next look is not the first.
        ledger: vec![(
            format!("looked:{SEVENTH}"),
            json!({"since": crate::clerk::now_seconds() * 1000, "until": 0}).to_string(),
        )],
        ..stage.reply_settings()
    }
    .var("NYLAS_ACCOUNTS", "")
    .var("NYLAS_GRANT_ID", SEVENTH)
    .var("REPLY_FORWARD_TO", "");
    let older = Settings {
        release: Some(BEFORE),
        ..newer.clone()
    };
    let relay = Relay::start("deployed", older.clone());
    let becomes = |settings: &Settings| {
        relay.kill();
        relay.configure(settings);
        relay.run();
    };
    let [first, second, third] = [(); 3].map(|()| Event::code());
    let is_duplicate = |event: &Event| {
        assert_eq!(event.deliver(&relay).answer(), pair(200, "duplicate"));
    };
    assert_eq!(first.deliver(&relay).answer(), pair(200, "sent"));
    becomes(&newer);
    is_duplicate(&first);
    assert_eq!(second.deliver(&relay).answer(), pair(200, "sent"));
    becomes(&older);
    is_duplicate(&first);
    is_duplicate(&second);
    assert_eq!(third.deliver(&relay).answer(), pair(200, "sent"));
    // A user's mail, which the older keeps the notification of, and no more.
    let words = unique();
    let id = receive(stage, SEVENTH, &words);
    let told = told_of(SEVENTH, &id);
    assert_eq!(
        notify(&relay, NYLAS_WEBHOOK_SECRET, &told),
        pair(200, "stored")
    );
    becomes(&newer);
    assert!(stage.agent.handed(&words).is_empty());
    is_duplicate(&third);
    // The account's address, looked up by the first of all, is known to the others.
    let account = format!("/v3/grants/{SEVENTH}");
    let requests = stage.nylas.requests().into_iter();
    let looked_up = requests.filter(|request| request.path == account);
    assert_eq!(looked_up.count(), 1);
    let looks = relay.get("/cdn-cgi/local/scheduled?cron=*/15+*+*+*+*");
    assert_eq!(looks.unwrap().code, 200);
    stage.agent.wait_for(&words);
    for event in [first, second, third] {
        one_mail(stage, &event, SOON);
    }
}

/// Something else may write to the queue, or the content type of a message may change: none of it is lost.
fn what_is_not_text_is_kept_whole(stage: &Stage) {
    let marker = unique("not-text");
    let letters = || -> Vec<String> {
        let listed = call(stage, "GET", "/new/api/admin/dead?limit=1000", "").json();
        let letters = listed["dead_letters"].as_array().unwrap().clone();
        let ids = letters.iter().map(|letter| letter["id"].as_str().unwrap());
        ids.map(|id| call(stage, "GET", &ledger_path(&format!("dead:{id}")), "").body)
            .collect()
    };
    let value = json!({ "a": [marker, 1] }).to_string();
    let base64 = base64::engine::general_purpose::STANDARD.encode(&marker);
    for (kind, sent, kept_kind, kept) in [
        ("json", &value, "json", &value),
        ("bytes", &marker, "base64", &base64),
    ] {
        let path = format!("/put/new_work?type={kind}");
        assert_eq!(call(stage, "POST", &path, sent).code, 200);
        let expected = json!({"foreign": {"kind": kept_kind, "body": kept}}).to_string();
        let is_kept = (0..90).any(|_| {
            thread::sleep(Duration::from_secs(1));
            letters().iter().any(|letter| {
                serde_json::from_str::<Value>(letter)
                    .is_ok_and(|letter| letter.to_string() == expected)
            })
        });
        assert!(is_kept, "{kind}: {expected} is not among {:?}", letters());
    }
}
