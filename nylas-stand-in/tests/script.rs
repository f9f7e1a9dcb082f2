//! Each way in which a rule makes a request fail.

mod common;

use common::{GRANT, OTHER, get, mail, options, send, send_briefly, start, try_get, try_send};
use nylas_stand_in::{Action, Options, RequestKind, Rule, StandIn};
use serde_json::json;
use std::time::Duration;

#[test]
fn a_late_mail_comes_though_nobody_waits() {
    let nylas = start();
    nylas.script(Rule::once(Action::AcceptAfter(Duration::from_millis(400))));
    assert!(send_briefly(&nylas, "k", &mail("a@example.com")));
    assert!(nylas.mails().is_empty());
    assert!(
        nylas
            .wait_for_mail("a@example.com", Duration::from_secs(5))
            .is_some()
    );
}

#[test]
fn a_mail_at_once_whose_answer_is_late() {
    let nylas = start();
    nylas.script(Rule::once(Action::AcceptThenDelay(Duration::from_secs(
        100,
    ))));
    assert!(send_briefly(&nylas, "k", &mail("a@example.com")));
    assert_eq!(nylas.mails().len(), 1);
    assert_eq!(
        send(&nylas, "k", &mail("a@example.com")).kind(),
        "api.concurrent_idempotent_request"
    );
    nylas.advance_clock(Duration::from_secs(100));
    std::thread::sleep(Duration::from_millis(100));
    assert!(send(&nylas, "k", &mail("a@example.com")).replayed());
    assert_eq!(nylas.mails().len(), 1);
    assert_eq!(
        nylas.requests().first().and_then(|request| request.status),
        None
    );
}

#[test]
fn no_answer_and_no_mail() {
    let nylas = start();
    nylas.script(Rule::once(Action::NeverAnswer));
    assert!(send_briefly(&nylas, "k", &mail("a@example.com")));
    assert!(nylas.mails().is_empty());
    assert!(!send(&nylas, "k", &mail("a@example.com")).replayed());
}

#[test]
fn a_connection_dropped_before_and_after() {
    let nylas = start();
    nylas.script(Rule::once(Action::DropBefore));
    nylas.script(Rule::once(Action::DropAfter));
    assert!(try_send(&nylas, GRANT, Some("k"), &mail("a@example.com")).is_err());
    assert!(nylas.mails().is_empty());
    assert!(try_send(&nylas, GRANT, Some("k"), &mail("a@example.com")).is_err());
    assert_eq!(nylas.mails().len(), 1);
    let third = send(&nylas, "k", &mail("a@example.com"));
    assert_eq!((third.status, third.replayed()), (200, true));
    assert_eq!(nylas.mails().len(), 1);
}

#[test]
fn any_answer_with_or_without_the_mail_stored_or_not() {
    for (accept_mail, keep) in [(false, false), (false, true), (true, false), (true, true)] {
        let nylas = start();
        let body = json!({ "error": { "type": "provider_error", "message": "Provider request timed out." } });
        let headers = vec![("Retry-After".to_owned(), "7".to_owned())];
        nylas.script(Rule::once(Action::Answer {
            status: 504,
            body,
            headers,
            accept_mail,
            keep,
        }));
        let answer = send(&nylas, "k", &mail("a@example.com"));
        assert_eq!(
            (answer.status, answer.kind(), answer.header("retry-after")),
            (504, "provider_error", Some("7"))
        );
        assert_eq!(nylas.mails().len(), usize::from(accept_mail));
        let again = send(&nylas, "k", &mail("a@example.com"));
        assert_eq!(
            (again.status, again.replayed()),
            if keep { (504, true) } else { (200, false) }
        );
    }
}

#[test]
fn a_body_that_is_no_json() {
    let nylas = start();
    let headers = vec![("content-type".to_owned(), "text/html".to_owned())];
    let action = Action::Answer {
        status: 502,
        body: json!("<h1>Bad"),
        headers,
        accept_mail: false,
        keep: false,
    };
    nylas.script(Rule::once(action));
    let answer = send(&nylas, "k", &mail("a@example.com"));
    assert_eq!(
        (
            answer.status,
            answer.body,
            answer.headers["content-type"].to_str().unwrap()
        ),
        (502, json!("<h1>Bad"), "text/html")
    );
}

#[test]
fn a_queued_mail_is_a_success() {
    let nylas = start();
    nylas.script(Rule::once(Action::Queue202));
    let answer = send(&nylas, "k", &mail("a@example.com"));
    assert_eq!(answer.status, 202);
    assert_eq!(answer.body["data"]["id"], json!(nylas.mails()[0].id));
    assert_eq!(send(&nylas, "k", &mail("a@example.com")).status, 202);
}

#[test]
fn the_first_rule_that_matches_and_has_times_left() {
    let nylas = start();
    let answer = |status| Action::Answer {
        status,
        body: json!({}),
        headers: vec![],
        accept_mail: false,
        keep: false,
    };
    nylas.script(Rule {
        recipient: Some("B@example.com".to_owned()),
        ..Rule::once(answer(501))
    });
    nylas.script(Rule {
        key_prefix: Some("x-".to_owned()),
        ..Rule::once(answer(502))
    });
    nylas.script(Rule {
        grant_id: Some(OTHER.to_owned()),
        ..Rule::once(answer(503))
    });
    nylas.script(Rule {
        times: Some(2),
        ..Rule::once(answer(504))
    });
    let status = |key: &str, to: &str| send(&nylas, key, &mail(to)).status;
    assert_eq!(status("1", "a@example.com"), 504);
    assert_eq!(status("x-1", "b@example.com"), 501);
    assert_eq!(status("x-1", "b@example.com"), 502);
    assert_eq!(status("x-1", "b@example.com"), 504);
    assert_eq!(status("x-1", "b@example.com"), 200);
}

#[test]
fn reading_goes_wrong_as_well() {
    let nylas = start();
    let find = |action| Rule {
        kind: RequestKind::Find,
        ..Rule::once(action)
    };
    let path = format!("/v3/grants/{GRANT}/messages");
    nylas.script(find(Action::DropBefore));
    nylas.script(find(Action::Answer {
        status: 503,
        body: json!(null),
        headers: vec![],
        accept_mail: false,
        keep: false,
    }));
    nylas.script(Rule {
        kind: RequestKind::Grant,
        ..Rule::once(Action::DropAfter)
    });
    assert_eq!(send(&nylas, "k", &mail("a@example.com")).status, 200);
    assert!(try_get(&nylas, &path).is_err());
    assert_eq!(get(&nylas, &path).status, 503);
    assert_eq!(get(&nylas, &path).status, 200);
    assert!(try_get(&nylas, &format!("/v3/grants/{GRANT}")).is_err());
    nylas.script(Rule {
        kind: RequestKind::Any,
        ..Rule::once(Action::DropBefore)
    });
    assert!(try_get(&nylas, &format!("/v3/grants/{GRANT}/folders")).is_err());
}

#[test]
fn a_rule_in_json() {
    let rule: Rule =
        serde_json::from_value(json!({ "times": 1, "action": { "accept_after_ms": 250 } }))
            .unwrap();
    assert!(
        matches!(rule.action, Action::AcceptAfter(delay) if delay == Duration::from_millis(250))
    );
    let rule: Rule =
        serde_json::from_value(json!({ "action": { "free_key_on_hang_up_ms": 250 } })).unwrap();
    assert!(
        matches!(rule.action, Action::FreeKeyOnHangUp(delay) if delay == Duration::from_millis(250))
    );
    assert!(
        serde_json::from_value::<Rule>(json!({ "action": "drop_before", "recepient": "x" }))
            .is_err()
    );
    for action in [
        json!("never_answer"),
        json!("queue_202"),
        json!({ "answer": { "status": 500 } }),
    ] {
        serde_json::from_value::<Rule>(json!({ "kind": "any", "action": action })).unwrap();
    }
}

/// As Cloudflare has a Worker's seventh request wait for a connection.
#[test]
fn one_request_more_than_there_are_connections_waits() {
    let nylas = StandIn::start_blocking(Options {
        connections: Some(2),
        ..options()
    })
    .unwrap();
    let late = Action::AcceptThenDelay(Duration::from_millis(600));
    nylas.script(Rule {
        times: None,
        ..Rule::once(late)
    });
    std::thread::scope(|scope| {
        for number in 0..3 {
            let nylas = &nylas;
            scope.spawn(move || {
                let key = format!("k{number}");
                send(nylas, &key, &mail("a@example.com"));
            });
            std::thread::sleep(Duration::from_millis(100));
        }
        let accepted = nylas.mails().len();
        assert_eq!(accepted, 2, "the third is not begun yet");
    });
    let waited: Vec<bool> = nylas.requests().iter().map(|one| one.waited).collect();
    assert_eq!(waited, [false, false, true]);
    assert_eq!(nylas.mails().len(), 3);
}
