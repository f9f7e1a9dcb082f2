use super::*;
use serde_json::json;

fn email() -> Email {
    Email {
        to: "Jane@Example.com".into(),
        reply_to_local_part: Some("support".into()),
        ..Email::sample()
    }
}

fn response(status: u16, body: &str) -> HttpResponse {
    HttpResponse {
        status,
        headers: vec![("retry-after".into(), "7".into())],
        body: body.to_owned(),
        is_truncated: false,
    }
}

#[test]
fn a_found_mail_is_this_mail() {
    let find = |status: u16, body: Value| {
        classify_find(
            &response(status, &body.to_string()),
            &email(),
            &Route::default(),
        )
    };
    let found = FindOutcome::Found(SentMail {
        message_id: Some("m1".into()),
        thread_id: None,
        is_queued: true,
    });
    assert_eq!(
        find(
            200,
            json!({"data": [{"id": "m1", "metadata": {"key1": "msg_1"}}]})
        ),
        found
    );
    // A list may leave metadata out; then the recipient decides.
    assert_eq!(
        find(
            200,
            json!({"data": [{"id": "m1", "to": [{"email": "jane@example.com"}]}]})
        ),
        found
    );
    // Where the filter was ignored, another mail must not count as this one.
    for other in [
        json!([]),
        json!([{"id": "m1", "metadata": {"key1": "msg_2"}, "to": [{"email": "jane@example.com"}]}]),
        json!([{"id": "m1", "to": [{"email": "john@example.com"}]}]),
        json!([{"id": "m1"}]),
    ] {
        assert_eq!(find(200, json!({"data": other})), FindOutcome::NotFound);
    }
    for status in [403, 404, 423] {
        assert_eq!(find(status, json!({})), FindOutcome::Refused);
    }
    for status in [400, 401, 429, 500] {
        assert_eq!(find(status, json!({})), FindOutcome::Unknown);
    }
    assert_eq!(find(200, json!({})), FindOutcome::Unknown);
}

/// `docs/production.md`.
#[test]
fn a_folder_is_an_id_and_its_attribute_tells_which() {
    let folder = |id: &str, name: &str, attributes: Value| json!({"id": id, "name": name, "attributes": attributes});
    let told = folders_of(&[
        folder("f1", "Sent", json!(["\\Inbox"])),
        folder("f2", "Verschickt", json!(["\\Sent"])),
        folder("f3", "Junk", json!(["\\Archive"])),
        folder("f4", "Werbung", json!(["\\Junk"])),
    ]);
    assert_eq!(
        (told.sent.as_deref(), told.junk.as_deref()),
        (Some("f2"), Some("f4"))
    );
    assert!(told.is_sent("f2") && told.is_junk("f4"));
    assert!(!told.is_sent("f1") && !told.is_junk("f3") && !told.is_junk("f2"));
    // As in the example of Nylas' reference, which has no attributes.
    let named = folders_of(&[
        json!({"id": "SENT", "name": "SENT", "system_folder": true}),
        json!({"id": "Label_1", "name": "Spam", "attributes": []}),
    ]);
    assert_eq!(
        (named.sent.as_deref(), named.junk.as_deref()),
        (Some("SENT"), Some("Label_1"))
    );
    // Names stay a second sign, because the schema of notifications shows names.
    let none = folders_of(&[]);
    assert!(none.is_sent("\\Sent") && none.is_junk("SPAM") && !none.is_junk("inbox"));
}
