//! The operator's API, page and alerts. Each test is one behaviour, named by it.

use crate::{
    ADMIN_TOKEN, EXPIRED_LETTER, FOURTH, GRANT, Stage, THIRD,
    clerk::{Event, MARKER},
    relay::{Relay, Response, SECRET},
    relayctl::Relayctl,
    tests::{SOON, one_mail, pair, rule},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use nylas_stand_in::Action;
use serde_json::{Value, json};
use std::{thread, time::Duration};

type Test = fn(&Stage);

macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub const ALL: &[(&str, Test)] = &[$((stringify!($name), $name)),*];
    };
}

tests![
    without_a_token_there_is_no_operators_side,
    a_wrong_token_is_refused,
    a_delivery_is_listed_and_shown,
    a_dead_letter_is_sent_again,
    a_dead_letter_that_has_expired_is_not,
    a_form_that_cannot_be_done_says_so_on_the_page,
    an_address_is_suppressed_and_lifted_by_hand,
    the_page_shows_it_and_loads_and_runs_nothing,
    the_page_shows_the_history_of_one_mail,
    the_page_looks_up_a_mail,
    the_page_is_read_in_a_browser_without_scripts,
    a_form_of_another_site_is_refused,
    the_shape_of_a_template_is_stored_without_its_values,
    an_alert_is_given_once_and_says_what_to_do,
    a_used_up_cap_is_an_alert_and_shown,
    wrong_settings_are_an_alert,
    relayctl_tries_out_shows_and_repairs_the_running_relay,
    relayctl_proves_what_can_be_told_of_the_running_relay,
];

pub fn call(relay: &Relay, method: &str, path: &str, body: &Value) -> Response {
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let headers = [("Authorization", bearer.as_str())];
    relay
        .request(
            method,
            &format!("/api/admin/{path}"),
            &headers,
            body.as_bytes(),
        )
        .expect("the Worker did not answer")
}

fn get(relay: &Relay, path: &str) -> Value {
    let response = call(relay, "GET", path, &Value::Null);
    assert_eq!(response.code, 200, "{path}: {}", response.body);
    response.json()
}

/// Waits until a list shows the entry. KV lists lag behind writes.
fn listed(relay: &Relay, path: &str, list: &str, fits: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..70 {
        let answer = get(relay, path);
        let found = answer[list]
            .as_array()
            .unwrap()
            .iter()
            .find(|row| fits(row));
        if let Some(row) = found {
            return row.clone();
        }
        thread::sleep(Duration::from_secs(1));
    }
    panic!("not listed under {path}");
}

fn without_a_token_there_is_no_operators_side(stage: &Stage) {
    for path in ["/admin", "/api/admin/summary"] {
        let headers = [("Authorization", "Bearer ")];
        let response = stage.simple.request("GET", path, &headers, b"").unwrap();
        assert_eq!(response.answer(), pair(404, "not_found"));
    }
}

fn a_wrong_token_is_refused(stage: &Stage) {
    for path in ["/admin", "/api/admin/summary", "/api/admin/nowhere"] {
        for value in ["", "Bearer wrong", "Basic d3Jvbmc6d3Jvbmc="] {
            let headers = [("Authorization", value)];
            let response = stage.replies.request("GET", path, &headers, b"").unwrap();
            assert_eq!(response.answer(), pair(401, "unauthorized"));
            assert!(response.header("www-authenticate").is_some());
        }
    }
    let records = stage.replies.records();
    let logged = records
        .iter()
        .filter(|record| record["event"] == "operator");
    assert!(logged.count() > 0);
    assert!(!stage.replies.log().contains("d3Jvbmc6d3Jvbmc="));
    assert_eq!(
        call(&stage.replies, "GET", "nowhere", &Value::Null).code,
        404
    );
}

fn a_delivery_is_listed_and_shown(stage: &Stage) {
    let event = Event::code();
    assert_eq!(event.deliver(&stage.replies).answer(), pair(200, "sent"));
    let row = listed(
        &stage.replies,
        "deliveries?limit=1000",
        "deliveries",
        |row| row["svix_id"] == event.id.as_str(),
    );
    assert_eq!(row["state"], "sent");
    assert_eq!(row["slug"], "verification_code");
    assert_eq!(row["attempts"], 1);
    assert!(row["age_ms"].as_u64().is_some() && row["at"].as_u64().is_some());
    let one = get(&stage.replies, &format!("deliveries/{}", event.id));
    assert_eq!(one["delivery"]["svix_id"], event.id.as_str());
    assert_eq!(one["dead_letter"], false);
    let history = one["history"].as_array().unwrap();
    assert_eq!(history[0]["event"], "made");
    assert_eq!(history[1]["event"], "sent");
    // The delivery event may have come by now.
    assert_eq!(
        history.get(2).map_or(&Value::Null, |entry| &entry["event"]),
        &one["delivery"]["fate"]
    );
    assert!(history[0]["at"].as_u64() <= history[1]["at"].as_u64());
    assert!(!one.to_string().contains(MARKER), "{one}");
    let unknown = call(
        &stage.replies,
        "GET",
        "deliveries/msg_unknown",
        &Value::Null,
    );
    assert_eq!(unknown.answer(), pair(404, "not_found"));
    let summary = get(&stage.replies, "summary");
    assert!(summary["deliveries"]["sent"].as_u64().unwrap() > 0);
    assert!(summary["latency_ms"]["p50"].as_u64().is_some());
    assert_eq!(summary["accounts"].as_array().unwrap().len(), 2);
    assert_eq!(summary["version"], env!("CARGO_PKG_VERSION"));
}

fn a_dead_letter_is_sent_again(stage: &Stage) {
    let relay = Relay::start(
        "redriven",
        crate::relay::Settings {
            max_retries: Some(1),
            ..stage.settings().var("ADMIN_TOKEN", ADMIN_TOKEN)
        },
    );
    let relayctl = Relayctl::new(&std::env::temp_dir())
        .env("RELAY_URL", relay.url(""))
        .env("ADMIN_TOKEN", ADMIN_TOKEN);
    let died = |slug: &str| {
        let event = Event::new(slug);
        // One attempt in the request, and two by the queue.
        stage
            .nylas
            .script(rule(&event, Some(3), Action::DropBefore));
        assert_eq!(event.deliver(&relay).answer(), pair(200, "queued"));
        event
    };
    let letters = [
        died("invitation"),
        died("magic_link_sign_in"),
        died("verification_code"),
    ];
    for letter in &letters {
        relay.wait_for_record(&letter.id, "dead_lettered");
        let row = listed(&relay, "dead", "dead_letters", |row| {
            row["id"] == letter.id.as_str()
        });
        assert!(!row.to_string().contains(MARKER), "{row}");
        assert_eq!(row["slug"], letter.json["data"]["slug"]);
        assert!(row["at"].as_u64().is_some(), "{row}");
    }
    let [by_the_api, by_its_id, _with_the_others] = &letters;
    let path = format!("dead/{}/redrive", by_the_api.id);
    let redriven = call(&relay, "POST", &path, &Value::Null);
    assert_eq!(redriven.answer(), pair(200, "redriven"));
    one_mail(stage, by_the_api, SOON);
    relayctl.run(&["redrive", &by_its_id.id]).well();
    one_mail(stage, by_its_id, SOON);
    // What became of it before is not forgotten.
    let one = get(&relay, &format!("deliveries/{}", by_its_id.id));
    let history = one["history"].as_array().unwrap();
    let events: Vec<_> = history.iter().map(|entry| &entry["event"]).collect();
    assert_eq!(events[..3], ["made", "dead_lettered", "redriven"], "{one}");
    relayctl.run(&["redrive", "--dead"]).well();
    for letter in &letters {
        one_mail(stage, letter, SOON);
    }
    let again = call(&relay, "POST", "dead/msg_unknown/redrive", &Value::Null);
    assert_eq!(again.answer(), pair(404, "not_found"));
}

fn a_dead_letter_that_has_expired_is_not(stage: &Stage) {
    let path = format!("dead/{EXPIRED_LETTER}/redrive");
    let answer = call(&stage.relay, "POST", &path, &Value::Null).answer();
    assert_eq!(answer, pair(409, "expired"));
}

/// A browser shows the answer, so it is the page with a sentence about what went wrong.
fn a_form_that_cannot_be_done_says_so_on_the_page(stage: &Stage) {
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    for (form, code, sentence) in [
        (
            format!("action=redrive&subject={EXPIRED_LETTER}"),
            409,
            "older than its content is of use",
        ),
        (
            "action=redrive&subject=msg_unknown".to_owned(),
            404,
            "not there any more",
        ),
        (
            "action=suppress&subject=nobody".to_owned(),
            400,
            "not one plain e-mail address",
        ),
        ("action=dance&subject=".to_owned(), 404, "no such button"),
    ] {
        let response = stage
            .relay
            .request("POST", "/admin", &headers, form.as_bytes());
        let response = response.unwrap();
        assert_eq!(response.code, code, "{form}");
        let kind = response.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("text/html"), "{kind}");
        assert!(
            response.body.contains(sentence),
            "{form}: {}",
            response.body
        );
        assert!(
            response.body.contains("Suppress an address"),
            "{}",
            response.body
        );
    }
}

fn an_address_is_suppressed_and_lifted_by_hand(stage: &Stage) {
    let to = "marker-by-hand@example.com";
    let answer = || {
        let event = Event::code().with("to_email_address", json!(to));
        event.deliver(&stage.replies).answer()
    };
    let body = json!({"address": to});
    let malformed = call(
        &stage.replies,
        "POST",
        "suppressions",
        &json!({"address": "x"}),
    );
    assert_eq!(malformed.answer(), pair(400, "address_malformed"));
    let unknown = call(&stage.replies, "DELETE", "suppressions", &body);
    assert_eq!(unknown.answer(), pair(404, "not_found"));
    let added = call(&stage.replies, "POST", "suppressions", &body);
    assert_eq!(added.answer(), pair(200, "suppressed"));
    let in_the_end = |wanted: &str| {
        for _ in 0..70 {
            if answer() == pair(200, wanted) {
                return;
            }
            thread::sleep(Duration::from_secs(1));
        }
        panic!("never answered {wanted}");
    };
    in_the_end("suppressed");
    let row = listed(&stage.replies, "suppressions", "suppressions", |row| {
        row["reason"] == "operator"
    });
    assert!(!row.to_string().contains(to), "{row}");
    for _ in 0..70 {
        let lifted = call(&stage.replies, "DELETE", "suppressions", &body);
        if lifted.code == 200 {
            in_the_end("sent");
            return;
        }
        thread::sleep(Duration::from_secs(1));
    }
    panic!("never lifted");
}

fn the_page_shows_it_and_loads_and_runs_nothing(stage: &Stage) {
    let event = Event::code();
    assert_eq!(event.deliver(&stage.replies).answer(), pair(200, "sent"));
    listed(
        &stage.replies,
        "deliveries?limit=1000",
        "deliveries",
        |row| row["svix_id"] == event.id.as_str(),
    );
    let page = page(&stage.replies);
    assert_eq!(page.code, 200);
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    assert!(page.body.contains("Latest mails"), "{}", page.body);
    // What else is not on it: tests/page.rs.
    assert!(!page.body.contains("<script"), "{}", page.body);
    assert!(
        !page.body.contains(MARKER),
        "something private is on the page"
    );
}

fn the_page_shows_the_history_of_one_mail(stage: &Stage) {
    let event = Event::code();
    assert_eq!(event.deliver(&stage.replies).answer(), pair(200, "sent"));
    let of = |id: &str| {
        let basic = basic();
        let headers = [("Authorization", basic.as_str())];
        let path = format!("/admin?id={id}");
        let page = stage.replies.request("GET", &path, &headers, b"").unwrap();
        assert_eq!(page.code, 200);
        let (_, rest) = page.body.split_once("<main>").unwrap();
        rest.split_once("</main>").unwrap().0.to_owned()
    };
    let shown = of(&event.id);
    assert!(shown.contains(&event.id), "{shown}");
    assert!(
        shown.contains(">made by Clerk<") && shown.contains(">sent<"),
        "{shown}"
    );
    assert!(!shown.contains(MARKER), "{shown}");
    for unknown in ["msg_unknown", "%3Cscript%3E"] {
        let shown = of(unknown);
        assert!(shown.contains("knows no mail with this id"), "{shown}");
        assert!(!shown.contains("<script>"), "{shown}");
    }
}

/// By the message's id, or by the recipient's address, which does not get into any link.
fn the_page_looks_up_a_mail(stage: &Stage) {
    let to = "marker-looked-up@example.com";
    let event = Event::code().with("to_email_address", json!(to));
    assert_eq!(event.deliver(&stage.replies).answer(), pair(200, "sent"));
    let find = |subject: &str| {
        let basic = basic();
        let headers = [
            ("Authorization", basic.as_str()),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        let form = format!("action=find&subject={}", subject.replace('@', "%40"));
        let found = stage
            .replies
            .request("POST", "/admin", &headers, form.as_bytes());
        let found = found.unwrap();
        assert_eq!(found.code, 303, "{}", found.body);
        found.header("location").unwrap().to_owned()
    };
    assert_eq!(find(&event.id), format!("/admin?id={}", event.id));
    let link = find(to);
    assert!(!link.contains("marker"), "{link}");
    let basic = basic();
    let headers = [("Authorization", basic.as_str())];
    for _ in 0..70 {
        let page = stage.replies.request("GET", &link, &headers, b"").unwrap();
        if page.body.contains(&event.id) {
            assert!(page.body.contains("1 to 1 of 1"), "{}", page.body);
            assert!(!page.body.contains(MARKER), "{}", page.body);
            let body = json!({"address": to});
            let rows = call(&stage.replies, "POST", "deliveries?events=true", &body).json();
            assert_eq!(rows["deliveries"].as_array().unwrap().len(), 1, "{rows}");
            assert_eq!(rows["deliveries"][0]["svix_id"], event.id.as_str());
            return;
        }
        thread::sleep(Duration::from_secs(1));
    }
    panic!("not found by its address");
}

fn basic() -> String {
    format!("Basic {}", STANDARD.encode(format!("me:{ADMIN_TOKEN}")))
}

fn page(relay: &Relay) -> Response {
    let basic = basic();
    let headers = [("Authorization", basic.as_str())];
    relay.request("GET", "/admin", &headers, b"").unwrap()
}

fn the_page_is_read_in_a_browser_without_scripts(stage: &Stage) {
    let event = Event::code();
    assert_eq!(event.deliver(&stage.replies).answer(), pair(200, "sent"));
    listed(
        &stage.replies,
        "deliveries?limit=1000",
        "deliveries",
        |row| row["svix_id"] == event.id.as_str(),
    );
    let output = std::process::Command::new("scripts/with-tools")
        .args(["node", "tests/operator/page.mjs"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("RELAY_URL", stage.replies.url(""))
        .env("ADMIN_TOKEN", ADMIN_TOKEN)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    if said.starts_with("skipped") {
        eprintln!("{said}");
    } else {
        assert_eq!(
            said.trim(),
            "ok",
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

fn a_form_of_another_site_is_refused(stage: &Stage) {
    let basic = basic();
    let own = stage.replies.url("");
    let post = |path: &str, from: &[(&str, &str)]| {
        let mut headers = vec![
            ("Authorization", basic.as_str()),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        headers.extend(from);
        let body = b"action=suppress&subject=marker-form%40example.com";
        stage.replies.request("POST", path, &headers, body).unwrap()
    };
    for from in [
        ("Sec-Fetch-Site", "cross-site"),
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
    ] {
        for path in ["/admin", "/api/admin/suppressions"] {
            let answer = post(path, &[from]).answer();
            assert_eq!(answer, pair(403, "forbidden"), "{path} {from:?}");
        }
    }
    let of_the_page = [("Sec-Fetch-Site", "same-origin"), ("Origin", own.as_str())];
    let of_an_older_browser = &of_the_page[1..];
    for from in [&of_the_page[..], of_an_older_browser, &[]] {
        let response = post("/admin", from);
        let said = (response.code, response.header("location"));
        assert_eq!(said, (303, Some("/admin?done=suppressed")), "{from:?}");
    }
}

fn the_shape_of_a_template_is_stored_without_its_values(stage: &Stage) {
    let event = Event::new("reset_password_code");
    assert_eq!(event.deliver(&stage.replies).answer(), pair(200, "sent"));
    let shape = listed(&stage.replies, "shapes", "templates", |row| {
        row["slug"] == "reset_password_code"
    });
    let fields = shape["fields"].as_array().unwrap();
    let of = |path: &str| fields.iter().find(|field| field["path"] == path).unwrap();
    assert_eq!(of("data.data.otp_code")["type"], "string");
    assert_eq!(of("data.delivered_by_clerk")["type"], "boolean");
    assert!(!shape.to_string().contains(MARKER), "{shape}");
}

/// Waits for the alert with this text.
fn alert(stage: &Stage, text: &str) -> Value {
    let alert = stage.alerts.wait_for(text).payload();
    assert_eq!(alert["text"], alert["content"]);
    assert!(!alert.to_string().contains(MARKER), "{alert}");
    alert
}

fn an_alert_is_given_once_and_says_what_to_do(stage: &Stage) {
    // Clerk's sender name is "notifications", the accounts' are not.
    for _ in 0..2 {
        assert_eq!(
            Event::code().deliver(&stage.replies).answer(),
            pair(200, "sent")
        );
    }
    let drift = alert(stage, "sender name differs");
    assert_eq!(drift["outcome"], "drift");
    assert!(
        drift["text"]
            .as_str()
            .unwrap()
            .contains("Change one of the two")
    );
    // The same alert twice within the hour.
    for _ in 0..2 {
        let event = Event::code();
        let refused = Action::Answer {
            status: 402,
            body: json!({"error": {"type": "invalid_request_error", "message": "scripted"}}),
            headers: Vec::new(),
            accept_mail: false,
            keep: true,
        };
        stage.nylas.script(rule(&event, Some(1), refused));
        assert_eq!(
            event.deliver(&stage.replies).answer(),
            pair(200, "rejected")
        );
        alert(stage, "refused a mail for good");
        thread::sleep(Duration::from_secs(2));
    }
    // Each account has its own alert.
    for account in [THIRD, FOURTH] {
        let given = stage.alerts.handed("refused a mail for good");
        let about = given.iter().filter(|alert| alert.body.contains(account));
        let about: Vec<_> = about.collect();
        assert!(about.len() <= 1, "{about:?}");
    }
}

fn a_used_up_cap_is_an_alert_and_shown(stage: &Stage) {
    // One mail a day is allowed.
    let capped = stage
        .settings()
        .var("ADMIN_TOKEN", ADMIN_TOKEN)
        .var("ALERT_WEBHOOK_URL", &stage.alerts.url)
        .var("NYLAS_DAILY_CAP", "1");
    let relay = Relay::start("capped", capped);
    let event = Event::code();
    assert_eq!(event.deliver(&relay).answer(), pair(200, "sent"));
    one_mail(stage, &event, SOON);
    let path = "/cdn-cgi/local/scheduled?cron=*/15+*+*+*+*";
    assert_eq!(relay.get(path).unwrap().code, 200);
    let alert = alert(stage, "all_of_the_cap");
    assert_eq!(alert["account"], GRANT, "{alert}");
    for _ in 0..70 {
        let summary = get(&relay, "summary");
        let accounts = summary["accounts"].as_array().unwrap();
        if accounts
            .iter()
            .any(|account| account["sent_today"].as_u64() > Some(0))
        {
            return;
        }
        thread::sleep(Duration::from_secs(1));
    }
    panic!("the mails of the day are not shown");
}

/// The command line against the real Worker. Its other tests are in `relayctl/tests`.
fn relayctl_tries_out_shows_and_repairs_the_running_relay(stage: &Stage) {
    let folder = std::env::temp_dir().join(format!("relayctl-e2e-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let relayctl = Relayctl::new(&folder)
        .env("RELAY_URL", stage.replies.url(""))
        .env("ADMIN_TOKEN", ADMIN_TOKEN)
        .env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET);
    let run = |arguments: &[&str]| relayctl.run(arguments).well().out;
    run(&[
        "trigger",
        "invitation",
        "--to",
        "marker-relayctl@example.com",
    ]);
    assert!(
        stage
            .nylas
            .wait_for_mail("marker-relayctl@example.com", SOON)
            .is_some()
    );
    run(&[
        "trigger",
        "--hostile",
        "all",
        "--to",
        "marker-hostile@example.com",
    ]);
    // 1: it found a problem, such as an account that is down.
    let status = relayctl.run(&["status"]);
    assert!(matches!(status.code, 0 | 1), "{}", status.all());
    let listed = run(&["list", "--json", "--limit", "1000"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let id = listed["deliveries"][0]["svix_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let status = run(&["status", &id]);
    assert!(status.contains(&id) && status.contains(" made"), "{status}");
    let tail = run(&["tail", "--looks", "1", "--before", "100", "--json"]);
    assert_eq!(tail.matches(&format!("\"{id}\"")).count(), 1, "{tail}");
    run(&["list", "--dead"]);
    run(&["list", "--replies"]);
    run(&["suppression", "add", "marker-command@example.com"]);
    run(&["suppression", "list"]);
    let lifted = (0..70).any(|_| {
        thread::sleep(Duration::from_secs(1));
        relayctl
            .run(&["suppression", "remove", "marker-command@example.com"])
            .code
            == 0
    });
    assert!(lifted);
    run(&["inspect"]);
    let _ = std::fs::remove_dir_all(&folder);
}

fn wrong_settings_are_an_alert(stage: &Stage) {
    assert_eq!(Event::code().deliver(&stage.broken).code, 503);
    let alert = alert(stage, "missing or malformed");
    assert!(
        alert["text"]
            .as_str()
            .unwrap()
            .contains("INLINE_SEND_BUDGET_MS"),
        "{alert}"
    );
}

/// In workerd: notifications through the real entry, the real KV, and the real queue. What each answer can be is in
/// `relayctl/tests/prove.rs`.
fn relayctl_proves_what_can_be_told_of_the_running_relay(stage: &Stage) {
    let folder = std::env::temp_dir().join(format!("relayctl-prove-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let ran = Relayctl::new(&folder)
        .env("NYLAS_API_BASE", stage.nylas.base_url())
        .env("NYLAS_API_KEY", crate::relay::API_KEY)
        .env("NYLAS_GRANT_ID", THIRD)
        .env("RELAY_URL", stage.replies.url(""))
        .env("ADMIN_TOKEN", ADMIN_TOKEN)
        .run(&["prove", "--yes", "--json", "--second-ms", "300"]);
    let document = ran.json();
    for answer in document["answers"].as_array().unwrap() {
        let expected: &[&str] = match answer["id"].as_str().unwrap() {
            // A send is too quick here to hang up on.
            "key-held-on-hang-up" => &["could_not_be_told"],
            // Nor is it held for an hour, and no mail goes over SMTP: `over_starttls_...` plays that.
            "answers-kept" | "message-ids-kept" => &["could_not_be_told"],
            // The stand-in sends both at the same time.
            "notifications-in-order" => &["holds", "does_not_hold"],
            _ => &["holds"],
        };
        let verdict = answer["verdict"].as_str().unwrap();
        assert!(expected.contains(&verdict), "{answer}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
