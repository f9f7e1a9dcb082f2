//! Reading the account, its folders and its messages.

mod common;

use common::{GRANT, OTHER, get, mail, send, start};
use serde_json::{Value, json};
use std::time::Duration;

fn ids(list: &Value) -> Vec<String> {
    let entries = list["data"].as_array().into_iter().flatten();
    entries
        .filter_map(|entry| Some(entry["id"].as_str()?.to_owned()))
        .collect()
}

#[test]
fn the_account() {
    let nylas = start();
    let data = get(&nylas, &format!("/v3/grants/{GRANT}")).body["data"].clone();
    assert_eq!(
        (&data["id"], &data["provider"], &data["grant_status"]),
        (&json!(GRANT), &json!("nylas"), &json!("valid"))
    );
    assert_eq!(
        (&data["email"], &data["name"]),
        (&json!("login@app.example.com"), &json!("App"))
    );
    assert_eq!(
        get(&nylas, "/v3/grants/login2@app.example.com").body["data"]["id"],
        json!(OTHER)
    );
    assert_eq!(get(&nylas, "/v3/grants/nobody").kind(), "not_found_error");
}

#[test]
fn found_by_what_the_sender_attached() {
    let nylas = start();
    let path = format!("/v3/grants/{GRANT}/messages");
    let mut other = mail("b@example.com");
    other["metadata"] = json!({ "key1": "msg 2+&" });
    send(&nylas, "1", &mail("a@example.com"));
    send(&nylas, "2", &other);
    assert_eq!(
        ids(&get(&nylas, &format!("{path}?metadata_pair=key1:msg_1")).body),
        [nylas.mails()[0].id.clone()]
    );
    let found = get(
        &nylas,
        &format!("{path}?metadata_pair=key1%3Amsg%202%2B%26&limit=1"),
    );
    assert_eq!(ids(&found.body), [nylas.mails()[1].id.clone()]);
    assert!(ids(&get(&nylas, &format!("{path}?metadata_pair=key1:none")).body).is_empty());
    assert!(
        ids(&get(
            &nylas,
            &format!("/v3/grants/{OTHER}/messages?metadata_pair=key1:msg_1")
        )
        .body)
        .is_empty()
    );
    for query in [
        "metadata_pair=key1:msg_1&received_after=1",
        "metadata_pair=key6:msg_1",
        "metadata_pair=key1",
        "in=sent",
        "limit=201",
        "limit=0",
        "page_token=x",
        "received_after=x",
        "colour=red",
    ] {
        assert_eq!(
            get(&nylas, &format!("{path}?{query}")).status,
            400,
            "{query}"
        );
    }
}

#[test]
fn a_sent_mail_is_in_the_sent_folder() {
    let nylas = start();
    send(&nylas, "1", &mail("a@example.com"));
    let folders = get(&nylas, &format!("/v3/grants/{GRANT}/folders")).body["data"].clone();
    let folders = folders.as_array().unwrap();
    assert_eq!(folders.len(), 6);
    assert!(folders.iter().all(|folder| folder["id"] != folder["name"]));
    let with = |attribute: &str| {
        let found = folders
            .iter()
            .find(|folder| folder["attributes"] == json!([attribute]))
            .unwrap();
        found["id"].as_str().unwrap().to_owned()
    };
    let count = |folder: String| {
        ids(&get(&nylas, &format!("/v3/grants/{GRANT}/messages?in={folder}")).body).len()
    };
    assert_eq!((count(with("\\Sent")), count(with("\\Inbox"))), (1, 0));
}

#[test]
fn newest_first_page_by_page() {
    let nylas = start();
    for key in 0..5 {
        send(&nylas, &key.to_string(), &mail("a@example.com"));
        nylas.advance_clock(Duration::from_secs(10));
    }
    let sent: Vec<String> = nylas
        .mails()
        .iter()
        .rev()
        .map(|mail| mail.id.clone())
        .collect();
    let (mut seen, mut query) = (Vec::new(), String::new());
    loop {
        let page = get(
            &nylas,
            &format!("/v3/grants/{GRANT}/messages?limit=2{query}"),
        )
        .body;
        seen.extend(ids(&page));
        match page["next_cursor"].as_str() {
            Some(next) => query = format!("&page_token={next}"),
            None => break,
        }
    }
    assert_eq!(seen, sent);
    let middle = nylas.mails()[2].at_ms / 1000;
    let after = get(
        &nylas,
        &format!("/v3/grants/{GRANT}/messages?received_after={middle}"),
    );
    assert_eq!(ids(&after.body), sent[..2]);
}

#[test]
fn one_message_with_and_without_its_headers() {
    let nylas = start();
    let mut request = mail("a@example.com");
    request["custom_headers"] = json!([{ "name": "Auto-Submitted", "value": "auto-generated" }]);
    send(&nylas, "1", &request);
    let path = format!("/v3/grants/{GRANT}/messages/{}", nylas.mails()[0].id);
    let plain = get(&nylas, &path).body["data"].clone();
    assert_eq!(
        (&plain["subject"], plain.get("headers")),
        (&json!("123456 is your code"), None)
    );
    let headers =
        get(&nylas, &format!("{path}?fields=include_headers")).body["data"]["headers"].clone();
    let wanted = json!({ "name": "Auto-Submitted", "value": "auto-generated" });
    assert!(headers.as_array().unwrap().contains(&wanted));
    assert_eq!(
        get(
            &nylas,
            &format!("/v3/grants/{OTHER}/messages/{}", nylas.mails()[0].id)
        )
        .status,
        404
    );
    assert_eq!(
        get(&nylas, &format!("/v3/grants/{GRANT}/messages/x")).status,
        404
    );
}
