use super::*;
use crate::model::mail::Slug;

fn email(slug: &str, created_at: UnixMillis) -> Email {
    Email {
        created_at,
        slug: Slug::new(Some(slug)),
        ..Email::sample()
    }
}

#[test]
fn a_message_survives_the_journey() {
    let mail = Message::Mail(Box::new(QueuedMail {
        email: email("invitation", UnixMillis(1_700_000_000_123)),
        content: QueuedContent::Here(Content::Html("<p>\"é\u{0}</p>".into())),
        queued_at: UnixMillis(1_700_000_001_000),
        is_oldest: false,
        route: Route::default(),
    }));
    let text = mail.to_text().unwrap();
    assert!(Message::from_text(&text) == Some(mail));
}

/// A new version finds messages of older ones in the queue.
#[test]
fn a_message_of_the_first_version_can_be_read() {
    let text = concat!(
        r#"{"mail":{"email":{"svix_id":"msg_1","created_at":1700000000123,"slug":"invitation","#,
        r#""to":"jane@example.com","subject":"Code"},"content":{"here":{"html":"<p></p>"}},"#,
        r#""queued_at":1700000001000,"trail":{"slots":[{"account":"g1","generation":0}],"#,
        r#""accounts":["g1"]}}}"#,
    );
    assert!(matches!(Message::from_text(text), Some(Message::Mail(_))));
    let text = concat!(
        r#"{"mail":{"email":{"svix_id":"msg_1","created_at":1700000000123,"slug":null,"#,
        r#""to":"jane@example.com","subject":"Code"},"content":"in_ledger","#,
        r#""queued_at":1700000001000}}"#,
    );
    assert!(matches!(Message::from_text(text), Some(Message::Mail(_))));
}

#[test]
fn what_is_not_ours_is_not_read() {
    for text in [
        "",
        "{}",
        "null",
        r#"{"mail":{}}"#,
        r#"{"mail":{"email":{"svix_id":"a b"}}}"#,
    ] {
        assert!(Message::from_text(text).is_none(), "{text}");
    }
}
