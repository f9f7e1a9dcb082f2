use super::*;
use serde_json::json;

fn class(headers: &[(&str, &str)]) -> Class {
    classify("jane@example.com", headers, "INBOX").0
}

fn classify(from: &str, headers: &[(&str, &str)], folder: &str) -> (Class, Reason) {
    let headers: Vec<Value> = headers
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let message =
        json!({"id": "m", "from": [{"email": from}], "folders": [folder], "headers": headers});
    let folders = Folders {
        sent: Some("f2".to_owned()),
        junk: Some("f4".to_owned()),
    };
    InboundMail(&message).classify(&["Auth@Example.org".to_owned()], &folders)
}

#[test]
fn mail_without_a_machines_mark_is_a_persons() {
    assert_eq!(class(&[]), Class::Person);
    assert_eq!(class(&[("Auto-Submitted", "no")]), Class::Person);
    assert_eq!(
        class(&[("X-Auto-Response-Suppress", "None")]),
        Class::Person
    );
    assert_eq!(class(&[("Precedence", "first-class")]), Class::Person);
}

#[test]
fn an_automatic_reply_is_known_by_any_of_its_marks() {
    for header in [
        ("Auto-Submitted", "auto-replied"),
        ("auto-submitted", "auto-generated; x=y"),
        ("Auto-Submitted", "auto-notified"),
        ("Precedence", "bulk"),
        ("Precedence", "junk"),
        ("Precedence", "auto_reply"),
        ("X-Auto-Response-Suppress", "All"),
        ("X-Autoreply", "yes"),
        ("X-Autorespond", "Out of office"),
    ] {
        assert_eq!(class(&[header]), Class::Automatic, "{header:?}");
    }
}

#[test]
fn a_list_is_not_a_person() {
    for header in [
        ("List-Id", "<x.example.com>"),
        ("List-Unsubscribe", "<mailto:u@example.com>"),
        ("Precedence", "list"),
    ] {
        assert_eq!(class(&[header]), Class::List, "{header:?}");
    }
}

#[test]
fn a_mail_system_is_not_a_person() {
    assert_eq!(class(&[("Return-Path", "<>")]), Class::Bounce);
    let report = "multipart/report; report-type=delivery-status; boundary=b";
    assert_eq!(class(&[("Content-Type", report)]), Class::Bounce);
    for sender in ["MAILER-DAEMON@mx.example.com", "postmaster@example.com", ""] {
        assert_eq!(classify(sender, &[], "INBOX").0, Class::Bounce, "{sender}");
    }
}

/// Before everything else: a mail of ours carries marks of a machine, too.
#[test]
fn our_own_mail_is_ours_whatever_else_it_shows() {
    let automatic = [("Auto-Submitted", "auto-generated")];
    let own = |reason| (Class::Own, reason);
    assert_eq!(
        classify("auth@example.org", &automatic, "INBOX"),
        own(Reason::OwnAddress)
    );
    assert_eq!(
        classify("jane@example.com", &automatic, "SENT"),
        own(Reason::SentFolder)
    );
    assert_eq!(
        classify("jane@example.com", &automatic, "f2"),
        own(Reason::SentFolder)
    );
}

#[test]
fn spam_is_not_a_person() {
    assert_eq!(classify("jane@example.com", &[], "Junk").0, Class::Junk);
    assert_eq!(classify("jane@example.com", &[], "SPAM").0, Class::Junk);
    assert_eq!(classify("jane@example.com", &[], "f4").0, Class::Junk);
    assert_eq!(classify("jane@example.com", &[], "f1").0, Class::Person);
}
