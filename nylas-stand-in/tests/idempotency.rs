//! What an idempotency key does to a request.

mod common;

use common::{GRANT, KEY, OTHER, mail, options, send, send_briefly, start, try_send};
use nylas_stand_in::{AccountState, Action, Rule, StandIn};
use std::time::Duration;

/// Whether it becomes true within five seconds.
fn eventually(is_true: impl Fn() -> bool) -> bool {
    (0..250).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        is_true()
    })
}

#[test]
fn a_retry_gets_the_first_answer_and_sends_nothing() {
    let nylas = start();
    let first = send(&nylas, "k", &mail("a@example.com"));
    let second = send(&nylas, "k", &mail("a@example.com"));
    assert_eq!((first.status, first.replayed()), (200, false));
    assert_eq!((second.status, second.replayed()), (200, true));
    assert_eq!(first.body, second.body);
    assert_eq!(nylas.mails().len(), 1);
    let seen = nylas.requests();
    assert_eq!(
        seen.iter()
            .map(|request| request.replayed)
            .collect::<Vec<_>>(),
        [false, true]
    );
    assert!(
        seen.iter()
            .all(|request| request.idempotency_key.as_deref() == Some("k")
                && request.status == Some(200))
    );
}

#[test]
fn the_hour_counts_from_the_first_request() {
    let nylas = start();
    send(&nylas, "k", &mail("a@example.com"));
    nylas.advance_clock(Duration::from_secs(59 * 60));
    assert!(send(&nylas, "k", &mail("a@example.com")).replayed());
    nylas.advance_clock(Duration::from_secs(61));
    assert!(!send(&nylas, "k", &mail("a@example.com")).replayed());
    assert_eq!(nylas.mails().len(), 2);
}

#[test]
fn each_account_has_keys_of_its_own() {
    let nylas = start();
    let mut other = mail("a@example.com");
    other["from"] = serde_json::json!([{ "email": "login2@app.example.com" }]);
    send(&nylas, "k", &mail("a@example.com"));
    assert_eq!(
        try_send(&nylas, OTHER, Some("k"), &other).unwrap().status,
        200
    );
    assert_eq!(nylas.mails().len(), 2);
}

#[test]
fn without_a_key_every_request_sends() {
    let nylas = start();
    for _ in 0..2 {
        assert_eq!(
            try_send(&nylas, GRANT, None, &mail("a@example.com"))
                .unwrap()
                .status,
            200
        );
    }
    assert_eq!(nylas.mails_to("a@example.com").len(), 2);
}

#[test]
fn another_payload_is_refused_and_the_stored_answer_stays() {
    let nylas = start();
    send(&nylas, "k", &mail("a@example.com"));
    let refused = send(&nylas, "k", &mail("b@example.com"));
    assert_eq!(
        (refused.status, refused.kind()),
        (409, "api.invalid_idempotent_request")
    );
    assert!(send(&nylas, "k", &mail("a@example.com")).replayed());
}

#[test]
fn errors_are_stored_too() {
    let nylas = start();
    let mut wrong = mail("a@example.com");
    wrong["colour"] = "red".into();
    assert!(!send(&nylas, "k", &wrong).replayed());
    let again = send(&nylas, "k", &wrong);
    assert_eq!((again.status, again.replayed()), (400, true));
}

#[test]
fn a_key_in_flight_is_refused_until_the_answer_is_there() {
    let nylas = start();
    nylas.script(Rule::once(Action::AcceptAfter(Duration::from_secs(60))));
    assert!(send_briefly(&nylas, "k", &mail("a@example.com")));
    let busy = send(&nylas, "k", &mail("a@example.com"));
    assert_eq!(
        (busy.status, busy.kind()),
        (409, "api.concurrent_idempotent_request")
    );
    assert!(nylas.mails().is_empty());
    nylas.advance_clock(Duration::from_secs(60));
    assert!(
        nylas
            .wait_for_mail("a@example.com", Duration::from_secs(5))
            .is_some()
    );
    assert!(send(&nylas, "k", &mail("a@example.com")).replayed());
    assert_eq!(nylas.mails().len(), 1);
}

#[test]
fn a_hang_up_frees_the_key_by_a_rule_and_asking_again_makes_two_mails() {
    let nylas = start();
    nylas.script(Rule::once(Action::FreeKeyOnHangUp(Duration::from_secs(60))));
    assert!(send_briefly(&nylas, "k", &mail("a@example.com")));
    // The stand-in notices the hang-up a moment later.
    let again = (0..50)
        .map(|_| send(&nylas, "k", &mail("a@example.com")))
        .inspect(|_| std::thread::sleep(Duration::from_millis(20)))
        .find(|again| again.status != 409);
    let again = again.expect("the key was not freed");
    assert_eq!((again.status, again.replayed()), (200, false));
    assert_eq!(nylas.mails().len(), 1);
    nylas.advance_clock(Duration::from_secs(60));
    assert!(eventually(|| nylas.mails().len() == 2));
    let replayed = send(&nylas, "k", &mail("a@example.com"));
    assert_eq!(
        (replayed.replayed(), &replayed.body),
        (true, &again.body),
        "the answer of the request that has the key stays"
    );
}

#[test]
fn by_that_rule_a_caller_that_waits_keeps_the_key() {
    let nylas = start();
    nylas.script(Rule::once(Action::FreeKeyOnHangUp(Duration::from_secs(60))));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| send(&nylas, "k", &mail("a@example.com")));
        assert!(eventually(|| nylas.requests().len() == 1));
        let busy = send(&nylas, "k", &mail("a@example.com"));
        assert_eq!(
            (busy.status, busy.kind()),
            (409, "api.concurrent_idempotent_request")
        );
        nylas.advance_clock(Duration::from_secs(60));
        let first = first.join().unwrap();
        let replayed = send(&nylas, "k", &mail("a@example.com"));
        assert_eq!((first.status, first.replayed()), (200, false));
        assert_eq!((replayed.replayed(), replayed.body), (true, first.body));
    });
    assert_eq!(nylas.mails().len(), 1);
}

#[test]
fn keys_have_at_most_256_characters() {
    let nylas = start();
    assert_eq!(
        send(&nylas, &"k".repeat(256), &mail("a@example.com")).status,
        200
    );
    let refused = send(&nylas, &"k".repeat(257), &mail("a@example.com"));
    assert_eq!(
        (refused.status, refused.kind()),
        (400, "api.invalid_idempotency_key")
    );
}

#[test]
fn a_wrong_api_key_leaves_the_idempotency_key_free() {
    let nylas = start();
    let path = format!("/v3/grants/{GRANT}/messages/send");
    let headers = [
        ("authorization", "Bearer no"),
        ("idempotency-key", "k"),
        ("content-type", "application/json"),
    ];
    let refused = common::post(
        &nylas,
        &path,
        &headers,
        mail("a@example.com").to_string().as_bytes(),
    )
    .unwrap();
    assert_eq!(
        (refused.status, refused.kind()),
        (401, "token.unauthorized_access")
    );
    assert!(!KEY.is_empty());
    assert!(!send(&nylas, "k", &mail("a@example.com")).replayed());
}

#[test]
fn whether_refusals_for_an_accounts_state_are_stored_is_an_option() {
    for keeps in [true, false] {
        let options = nylas_stand_in::Options {
            keeps_throttling: keeps,
            keeps_account_refusals: keeps,
            ..options()
        };
        let nylas = StandIn::start_blocking(options).unwrap();
        for (key, state, status) in [
            ("a", AccountState::RateLimited, 429),
            ("b", AccountState::Paused, 400),
        ] {
            nylas.set_account_state(GRANT, state);
            assert_eq!(send(&nylas, key, &mail("a@example.com")).status, status);
            nylas.set_account_state(GRANT, AccountState::Healthy);
            let again = send(&nylas, key, &mail("a@example.com"));
            assert_eq!(
                (again.status, again.replayed()),
                if keeps { (status, true) } else { (200, false) }
            );
        }
    }
}

#[test]
fn a_refusal_that_is_not_stored_comes_before_keys_are_looked_at() {
    let options = nylas_stand_in::Options {
        keeps_account_refusals: false,
        ..options()
    };
    let nylas = StandIn::start_blocking(options).unwrap();
    send(&nylas, "k", &mail("a@example.com"));
    nylas.set_account_state(GRANT, AccountState::Paused);
    let refused = send(&nylas, "k", &mail("a@example.com"));
    assert_eq!((refused.status, refused.replayed()), (400, false));
    nylas.set_account_state(GRANT, AccountState::Healthy);
    let replayed = send(&nylas, "k", &mail("a@example.com"));
    assert_eq!((replayed.status, replayed.replayed()), (200, true));
}

#[test]
fn a_replay_has_the_status_and_the_body_but_no_retry_after() {
    let nylas = start();
    nylas.set_account_state(GRANT, AccountState::RateLimited);
    let first = send(&nylas, "k", &mail("a@example.com"));
    let again = send(&nylas, "k", &mail("a@example.com"));
    assert_eq!((again.status, &again.body), (429, &first.body));
    assert_eq!(first.header("retry-after"), Some("1"));
    assert_eq!(again.header("retry-after"), None);
    assert_eq!(again.header("content-type"), Some("application/json"));
}
