//! The cases. Each asserts what Nylas' documents say, and `on_both` that both players answer alike beyond that.

use crate::{
    on_both,
    played::{Account, Behaviour, GRANT, OTHER, Recorder, address_of, text},
};
use std::time::Duration;

const TO: &str = "ann@example.com";
const ID: &str = "msg_1";
const SECONDS: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn send(nylas: &mut Recorder, key: &str) -> crate::played::Answer {
    nylas.send(GRANT, Some(key), TO, ID)
}

/// Long enough for an accepted mail to show in the mailbox.
fn until_visible(nylas: &mut Recorder) {
    nylas.advance(2 * SECONDS);
}

#[test]
fn a_send_is_answered_with_the_message() {
    on_both(true, |nylas| {
        let answer = send(nylas, "k");
        assert_eq!(answer.gist(), (200, "", false));
        assert!(
            answer.body["data"]["id"].is_string() && answer.body["data"]["thread_id"].is_string()
        );
        assert_eq!(nylas.accepted(), 1);
    });
}

#[test]
fn without_a_key_every_request_sends() {
    on_both(true, |nylas| {
        for _ in 0..2 {
            assert_eq!(nylas.send(GRANT, None, TO, ID).gist(), (200, "", false));
        }
        assert_eq!(nylas.accepted(), 2);
    });
}

#[test]
fn the_same_key_and_bytes_get_the_same_answer_and_send_nothing() {
    on_both(true, |nylas| {
        let first = send(nylas, "k");
        let second = send(nylas, "k");
        assert_eq!(second.gist(), (200, "", true));
        assert_eq!(first.body, second.body);
        assert_eq!(nylas.accepted(), 1);
    });
}

#[test]
fn the_same_key_with_other_bytes_is_refused_and_stays_as_it_was() {
    on_both(true, |nylas| {
        send(nylas, "k");
        let other = nylas.send(GRANT, Some("k"), "bob@example.com", ID);
        assert_eq!(other.gist(), (409, "api.invalid_idempotent_request", false));
        assert_eq!(send(nylas, "k").gist(), (200, "", true));
        assert_eq!(nylas.accepted(), 1);
    });
}

#[test]
fn a_key_in_flight_is_refused_until_its_answer_is_there() {
    on_both(true, |nylas| {
        nylas.next_send(Behaviour::Slow);
        nylas.send_and_hang_up(GRANT, "k", TO, ID);
        nylas.advance(SECONDS);
        assert_eq!(
            send(nylas, "k").gist(),
            (409, "api.concurrent_idempotent_request", false)
        );
        let other = nylas.send(GRANT, Some("k"), "bob@example.com", ID);
        assert_eq!(other.gist(), (409, "api.invalid_idempotent_request", false));
        nylas.advance(29 * SECONDS);
        assert_eq!(send(nylas, "k").gist(), (200, "", true));
        assert_eq!(nylas.accepted(), 1);
    });
}

#[test]
fn a_key_is_free_an_hour_after_its_first_use() {
    on_both(true, |nylas| {
        send(nylas, "k");
        nylas.advance(59 * MINUTE);
        assert_eq!(send(nylas, "k").gist(), (200, "", true));
        nylas.advance(61 * SECONDS);
        assert_eq!(send(nylas, "k").gist(), (200, "", false));
        assert_eq!(nylas.accepted(), 2);
    });
}

#[test]
fn each_account_has_keys_of_its_own() {
    on_both(true, |nylas| {
        send(nylas, "k");
        assert_eq!(
            nylas.send(OTHER, Some("k"), TO, ID).gist(),
            (200, "", false)
        );
        assert_eq!(nylas.accepted(), 2);
    });
}

#[test]
fn a_key_has_at_most_256_characters() {
    on_both(true, |nylas| {
        assert_eq!(send(nylas, &"k".repeat(256)).gist(), (200, "", false));
        assert_eq!(
            send(nylas, &"k".repeat(257)).gist(),
            (400, "api.invalid_idempotency_key", false)
        );
    });
}

#[test]
fn errors_are_kept_under_the_key() {
    for (behaviour, status, kind, accepted) in [
        (Behaviour::Refused, 402, "invalid_request_error", 0),
        (Behaviour::Unavailable, 503, "api.internal_error", 0),
        (Behaviour::TimedOut, 504, "provider_error", 1),
    ] {
        on_both(true, |nylas| {
            nylas.next_send(behaviour);
            assert_eq!(send(nylas, "k").gist(), (status, kind, false));
            assert_eq!(send(nylas, "k").gist(), (status, kind, true));
            assert_eq!(nylas.accepted(), accepted);
            assert_eq!(send(nylas, "k2").gist(), (200, "", false));
        });
    }
}

/// Each refusal of an account: its status, its error type, and what `Retry-After` says.
const REFUSALS: [(Account, u16, &str, Option<&str>); 4] = [
    (Account::Paused, 400, "api.invalid_request_error", None),
    (Account::AbuseBlocked, 403, "api.forbidden", None),
    (Account::OverDailyCap, 429, "rate_limit_error", None),
    (Account::Throttled, 429, "rate_limit_error", Some("1")),
];

#[test]
fn an_account_that_does_not_send_says_why() {
    for (account, status, kind, retry_after) in REFUSALS {
        on_both(true, |nylas| {
            nylas.set_account(GRANT, account);
            let refused = send(nylas, "k");
            assert_eq!(refused.gist(), (status, kind, false));
            assert_eq!(refused.header("retry-after"), retry_after);
            assert_eq!(nylas.accepted(), 0);
            assert_eq!(
                nylas.list(GRANT, &format!("metadata_pair=key1:{ID}")).len(),
                0
            );
        });
    }
}

/// Nylas' rate is the organization's.
#[test]
fn one_accounts_throttling_is_everyones() {
    on_both(true, |nylas| {
        nylas.set_account(GRANT, Account::Throttled);
        let other = nylas.send(OTHER, Some("k"), TO, ID);
        assert_eq!(other.gist(), (429, "rate_limit_error", false));
        assert_eq!(other.header("retry-after"), Some("1"));
        nylas.set_account(GRANT, Account::Healthy);
        assert_eq!(
            nylas.send(OTHER, Some("k2"), TO, ID).gist(),
            (200, "", false)
        );
    });
}

#[test]
fn a_kept_refusal_is_replayed_when_the_account_sends_again() {
    for (account, status, kind, _) in REFUSALS {
        on_both(true, |nylas| {
            nylas.set_account(GRANT, account);
            send(nylas, "k");
            nylas.set_account(GRANT, Account::Healthy);
            assert_eq!(send(nylas, "k").gist(), (status, kind, true));
            assert_eq!(send(nylas, "k2").gist(), (200, "", false));
        });
    }
}

#[test]
fn a_refusal_that_is_not_kept_leaves_the_key_free() {
    for (account, status, kind, _) in REFUSALS {
        on_both(false, |nylas| {
            nylas.set_account(GRANT, account);
            assert_eq!(send(nylas, "k").gist(), (status, kind, false));
            nylas.set_account(GRANT, Account::Healthy);
            assert_eq!(send(nylas, "k").gist(), (200, "", false));
        });
    }
}

#[test]
fn a_kept_answer_is_replayed_whatever_has_become_of_the_account_since() {
    for (account, ..) in REFUSALS {
        on_both(true, |nylas| {
            send(nylas, "k");
            nylas.set_account(GRANT, account);
            assert_eq!(send(nylas, "k").gist(), (200, "", true));
        });
    }
}

#[test]
fn a_refusal_that_is_not_kept_is_made_before_keys_are_looked_at() {
    for (account, status, kind, _) in REFUSALS {
        on_both(false, |nylas| {
            send(nylas, "k");
            nylas.set_account(GRANT, account);
            assert_eq!(send(nylas, "k").gist(), (status, kind, false));
            nylas.set_account(GRANT, Account::Healthy);
            assert_eq!(send(nylas, "k").gist(), (200, "", true));
        });
    }
}

#[test]
fn an_account_that_is_gone_answers_404_to_everything() {
    on_both(true, |nylas| {
        let id = text(&send(nylas, "k").body["data"]["id"]);
        until_visible(nylas);
        nylas.set_account(GRANT, Account::Gone);
        let gone = (404, "not_found_error", false);
        assert_eq!(send(nylas, "k").gist(), gone);
        for what in [
            String::new(),
            "/folders".to_owned(),
            format!("/messages?metadata_pair=key1:{ID}"),
            format!("/messages/{id}"),
        ] {
            assert_eq!(nylas.get(GRANT, &what).gist(), gone, "{what}");
        }
        assert_eq!(
            nylas.send(OTHER, Some("k"), TO, ID).gist(),
            (200, "", false)
        );
        nylas.set_account(GRANT, Account::Healthy);
        assert_eq!(send(nylas, "k").gist(), (200, "", true));
    });
}

#[test]
fn a_mail_is_found_by_what_was_attached_to_it() {
    on_both(true, |nylas| {
        let sent = send(nylas, "1");
        nylas.send(GRANT, Some("2"), TO, "msg_2");
        until_visible(nylas);
        let answer = nylas.get(GRANT, &format!("/messages?metadata_pair=key1:{ID}"));
        let found = answer.body["data"].as_array().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0]["id"], sent.body["data"]["id"]);
        assert_eq!(found[0]["thread_id"], sent.body["data"]["thread_id"]);
        assert_eq!(found[0]["metadata"]["key1"], ID);
        assert!(nylas.list(GRANT, "metadata_pair=key1:msg_3").is_empty());
        assert!(
            nylas
                .list(OTHER, &format!("metadata_pair=key1:{ID}"))
                .is_empty()
        );
    });
}

#[test]
fn a_mail_accepted_behind_a_timeout_is_found() {
    on_both(true, |nylas| {
        nylas.next_send(Behaviour::TimedOut);
        assert_eq!(send(nylas, "k").status, 504);
        until_visible(nylas);
        assert_eq!(
            nylas.list(GRANT, &format!("metadata_pair=key1:{ID}")).len(),
            1
        );
    });
}

#[test]
fn our_own_mail_lies_in_the_sent_folder() {
    on_both(true, |nylas| {
        let id = text(&send(nylas, "k").body["data"]["id"]);
        until_visible(nylas);
        let mut folder = |attribute: &str| {
            // How many others there are is no matter.
            let answer = nylas.get_unrecorded(GRANT, "/folders");
            let folders = answer.body["data"].as_array().cloned().unwrap();
            let found = folders
                .iter()
                .find(|folder| folder["attributes"][0] == attribute);
            let found = found.unwrap();
            assert_ne!(found["id"], found["name"]);
            text(&found["id"])
        };
        let (sent, inbox) = (folder("\\Sent"), folder("\\Inbox"));
        assert_eq!(nylas.list(GRANT, &format!("in={sent}")), [id.as_str()]);
        assert!(nylas.list(GRANT, &format!("in={inbox}")).is_empty());
        let message = nylas.get(GRANT, &format!("/messages/{id}"));
        assert_eq!(message.body["data"]["folders"], serde_json::json!([sent]));
    });
}

#[test]
fn a_message_is_read_with_its_headers_only_if_asked_for() {
    on_both(true, |nylas| {
        let sent = text(&send(nylas, "k").body["data"]["id"]);
        until_visible(nylas);
        let id = nylas.receive(GRANT, TO, &sent);
        let plain = nylas.get(GRANT, &format!("/messages/{id}"));
        assert_eq!(plain.body["data"].get("headers"), None);
        let whole = nylas.get(GRANT, &format!("/messages/{id}?fields=include_headers"));
        let headers = whole.body["data"]["headers"].as_array().unwrap();
        let automatic = serde_json::json!({ "name": "Auto-Submitted", "value": "auto-replied" });
        assert!(headers.contains(&automatic));
        assert_eq!(whole.body["data"]["from"][0]["email"], TO);
        assert_eq!(
            nylas.get(GRANT, "/messages/none").gist(),
            (404, "not_found_error", false)
        );
        assert_eq!(
            nylas.get(OTHER, &format!("/messages/{id}")).gist(),
            (404, "not_found_error", false)
        );
    });
}

#[test]
fn a_thread_has_our_mail_and_its_answer_newest_first() {
    on_both(true, |nylas| {
        let sent = send(nylas, "1").body["data"].clone();
        nylas.send(GRANT, Some("2"), TO, "msg_2");
        nylas.advance(10 * SECONDS);
        let (sent, thread) = (text(&sent["id"]), text(&sent["thread_id"]));
        let answer = nylas.receive(GRANT, TO, &sent);
        let select = "limit=50&select=id,to,date,metadata";
        let found = nylas.list(GRANT, &format!("thread_id={thread}&{select}"));
        assert_eq!(found, [answer.clone(), sent]);
        // Only what is selected is shown, headers included.
        let select = "fields=include_headers&select=id,from,headers";
        let message = nylas.get(GRANT, &format!("/messages/{answer}?{select}"));
        let shown = message.body["data"].as_object().unwrap();
        let shown: Vec<&String> = shown.keys().collect();
        assert_eq!(shown, ["from", "headers", "id"]);
    });
}

#[test]
fn what_came_after_a_moment_is_listed() {
    on_both(true, |nylas| {
        let sent = send(nylas, "k").body["data"].clone();
        until_visible(nylas);
        let id = text(&sent["id"]);
        let message = nylas.get(GRANT, &format!("/messages/{id}"));
        let at = message.body["data"]["date"].as_u64().unwrap();
        nylas.advance(10 * SECONDS);
        let answer = nylas.receive(GRANT, TO, &id);
        let query = |after: u64| format!("received_after={after}&limit=50");
        assert_eq!(nylas.list(GRANT, &query(at)), [answer.as_str()]);
        assert_eq!(nylas.list(GRANT, &query(at - 1)), [answer, id]);
    });
}

#[test]
fn an_account_says_its_address() {
    on_both(true, |nylas| {
        let answer = nylas.get(GRANT, "");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body["data"]["email"], address_of(GRANT));
        assert_eq!(answer.body["data"]["grant_status"], "valid");
    });
}

#[test]
fn a_queued_mail_is_answered_202_and_replayed_as_that() {
    on_both(true, |nylas| {
        nylas.next_send(Behaviour::Queued);
        assert_eq!(send(nylas, "k").gist(), (202, "", false));
        assert_eq!(send(nylas, "k").gist(), (202, "", true));
        until_visible(nylas);
        assert_eq!(
            nylas.list(GRANT, &format!("metadata_pair=key1:{ID}")).len(),
            1
        );
        assert_eq!(nylas.accepted(), 1);
    });
}

#[test]
fn a_queued_mail_that_cannot_be_sent_is_reported_and_leaves_the_mailbox() {
    on_both(true, |nylas| {
        nylas.next_send(Behaviour::QueuedInVain);
        let sent = send(nylas, "k");
        assert_eq!(sent.gist(), (202, "", false));
        until_visible(nylas);
        let found = format!("metadata_pair=key1:{ID}");
        assert_eq!(nylas.list(GRANT, &found), [text(&sent.body["data"]["id"])]);
        let notification = nylas.give_up_queued();
        assert_eq!(notification["type"], "message.send_failed");
        assert_eq!(
            notification["data"]["object"]["id"],
            sent.body["data"]["id"]
        );
        assert!(nylas.list(GRANT, &found).is_empty());
        assert_eq!(send(nylas, "k").gist(), (202, "", true));
    });
}
