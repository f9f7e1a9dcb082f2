use super::*;
use serde_json::json;

fn notification(kind: &str, object: Value) -> Value {
    json!({
        "specversion": "1.0", "type": kind, "source": "/nylas/send", "id": "n-1", "time": 1_700_000_000,
        "data": {"application_id": "a", "grant_id": "g1", "object": object},
    })
}

fn delivery_event(kind: &str, object: Value) -> DeliveryEvent {
    match Notification::read(&VerifiedJson(notification(kind, object)))
        .unwrap()
        .kind
    {
        NotificationKind::DeliveryEvent(event) => event,
        other => panic!("{other:?}"),
    }
}

fn sent() -> Value {
    json!({
        "id": "m1", "subject": "123456 is your code", "from": "auth@example.com", "to": ["jane@example.com"],
        "sent_at": 1, "metadata": {"key1": "msg_1"},
    })
}

#[test]
fn a_message_is_known_by_its_id_whatever_the_suffixes_of_the_type() {
    for suffix in [
        "",
        ".truncated",
        ".transformed",
        ".metadata",
        ".cleaned.transformed.truncated",
    ] {
        let object = json!({
            "id": "m1", "grant_id": "g1", "from": [{"email": "jane@example.com"}], "folders": ["INBOX"],
        });
        let kind = format!("message.created{suffix}");
        let read = Notification::read(&VerifiedJson(notification(&kind, object))).unwrap();
        assert_eq!(read.account, GrantId::parse("g1").unwrap());
        assert_eq!(
            read.kind,
            NotificationKind::Arrived {
                message_id: "m1".into(),
                sent_by_us: None,
                from: Some("jane@example.com".into()),
            }
        );
    }
}

#[test]
fn a_message_we_sent_is_known_by_its_folder_or_by_our_metadata() {
    for folder in ["SENT", "sent", "\\Sent"] {
        assert_eq!(
            sent_by_us(&json!({"folders": [folder]}), &Folders::default()),
            Some(Reason::SentFolder)
        );
    }
    for id in ["msg_2abc", "forward_00ff"] {
        assert_eq!(
            sent_by_us(&json!({"metadata": {"key1": id}}), &Folders::default()),
            Some(Reason::OurMetadata)
        );
    }
    let received = json!({"folders": ["INBOX"], "metadata": {"key1": "all-meetings"}});
    assert_eq!(sent_by_us(&received, &Folders::default()), None);
    let folders = Folders {
        sent: Some("f2".into()),
        junk: Some("f4".into()),
    };
    let in_folder = |id: &str| sent_by_us(&json!({"folders": [id]}), &folders);
    assert_eq!(in_folder("f2"), Some(Reason::SentFolder));
    assert_eq!((in_folder("f4"), in_folder("f1")), (None, None));
}

#[test]
fn other_types_are_not_for_us_and_what_is_no_notification_is_unusable() {
    for kind in [
        "message.updated",
        "message.createdx",
        "thread.replied",
        "message.bounce_detected",
        "unheard.of",
    ] {
        assert_eq!(
            Notification::read(&VerifiedJson(notification(kind, json!({"id": "m"})))),
            Err(NotForUs::OtherType)
        );
    }
    for unusable in [
        json!(null),
        json!([]),
        json!({"id": "n", "type": "message.created"}),
        json!({"id": "a b", "type": "message.created", "data": {"object": {"id": "m", "grant_id": "g"}}}),
        json!({"id": "n", "type": "message.created", "data": {"object": {"grant_id": "g"}}}),
        json!({"id": "n", "type": "message.created", "data": {"object": {"id": "m"}}}),
    ] {
        assert_eq!(
            Notification::read(&VerifiedJson(unusable.clone())),
            Err(NotForUs::Unusable),
            "{unusable}"
        );
    }
}

#[test]
fn what_became_of_a_mail_names_it_and_whom_it_concerns() {
    let delivered = json!({"message": sent(), "delivered": {"delivered_at": 1, "recipients": ["jane@example.com"]}});
    let event = delivery_event("message.delivered", delivered);
    assert_eq!(event.kind, DeliveryEventKind::Delivered);
    assert_eq!(event.svix_id, SvixId::parse("msg_1"));
    assert_eq!(event.message_id.as_deref(), Some("m1"));
    assert_eq!(event.recipients[0].address, "jane@example.com");

    let complaint = json!({
        "message": sent(),
        "complaint": {"type": "abuse", "complained_recipients": ["jane@example.com"]},
    });
    let event = delivery_event("message.complaint", complaint);
    assert_eq!(
        (event.kind, event.recipients.len()),
        (DeliveryEventKind::Complained, 1)
    );

    let event = delivery_event(
        "message.rejected",
        json!({"message": sent(), "rejected_at": 1}),
    );
    assert_eq!(
        (event.kind, event.recipients.len()),
        (DeliveryEventKind::Rejected, 0)
    );
}

#[test]
fn a_bounce_is_judged_by_the_other_servers_words_or_else_by_its_type() {
    let meaning = |kind: &str, diagnostic: Value| {
        let bounce = json!({
            "type": kind, "recipients": [{"email": "jane@example.com", "diagnostic_code": diagnostic}],
        });
        let event = delivery_event(
            "message.bounced",
            json!({"message": sent(), "bounce": bounce}),
        );
        event.recipients[0].bounce
    };
    let unknown = json!("smtp; 550 user unknown");
    assert_eq!(meaning("MailboxFull", unknown), BounceKind::NoSuchMailbox);
    assert_eq!(meaning("MailboxFull", json!(null)), BounceKind::Soft);
    assert_eq!(
        meaning("NoSuchUser", json!(null)),
        BounceKind::NoSuchMailbox
    );
}

#[test]
fn a_failed_send_may_come_without_metadata_and_even_without_the_message() {
    let event = delivery_event(
        "message.send_failed",
        json!({"object": "message", "id": "m1", "grant_id": "g1"}),
    );
    assert_eq!(
        (event.svix_id, event.message_id.as_deref()),
        (None, Some("m1"))
    );
    let event = delivery_event("message.send_failed", json!(null));
    assert_eq!((event.svix_id, event.message_id), (None, None));
}

#[test]
fn what_is_private_is_removed_before_a_notification_is_queued() {
    let created = json!({"id": "m1", "grant_id": "g1", "subject": "Re: 123456", "body": "123456", "snippet": "123456"});
    let bounced = json!({"message": sent(), "bounce": {}});
    for (kind, object) in [("message.created", created), ("message.bounced", bounced)] {
        let queued = VerifiedJson(notification(kind, object)).into_queue();
        assert!(!queued.contains("123456"));
        assert!(Notification::read(&VerifiedJson::from_queue(&queued)).is_ok());
    }
}

/// Nylas' own examples, where they lie beside the checkout.
#[test]
fn nylas_own_examples_are_read() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/nylas");
    let Ok(files) = std::fs::read_dir(folder) else {
        eprintln!("skipped: Nylas' examples are not beside the checkout");
        return;
    };
    let mut count = 0;
    for file in files {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("webhook-") || name.starts_with("webhook-create") {
            continue;
        }
        // Their ids are written <LIKE_THIS>.
        let text = std::fs::read_to_string(&path)
            .unwrap()
            .replace(['<', '>'], "");
        let notification: Value = serde_json::from_str(&text).unwrap();
        let read = Notification::read(&VerifiedJson(notification));
        let expected = match name
            .trim_start_matches("webhook-")
            .trim_end_matches(".json")
        {
            "message.created" => {
                // Their example of an inbound message is one that was sent.
                let NotificationKind::Arrived { sent_by_us, .. } = read.unwrap().kind else {
                    panic!("{name}")
                };
                assert_eq!(sent_by_us, Some(Reason::SentFolder));
                count += 1;
                continue;
            }
            "message.created.cleaned"
            | "message.delivered"
            | "message.bounced"
            | "message.complaint"
            | "message.rejected"
            | "grant.expired"
            | "grant.deleted"
            | "grant.updated" => true,
            _ => false,
        };
        assert_eq!(read.is_ok(), expected, "{name}: {read:?}");
        if !expected {
            assert_eq!(read, Err(NotForUs::OtherType), "{name}");
        }
        count += 1;
    }
    assert_eq!(count, 14);
}
