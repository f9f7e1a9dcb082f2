//! The page of one mail: what it is, what it waits for, and its history.

use super::html::{Html, clock};
use crate::{
    model::time::{HOUR, millis, words},
    operator::{
        accounts::title,
        api::View,
        mails::Mail,
        row::{field, number, rows, word},
    },
    ports::{Ports, StoreError},
};
use serde_json::Value;

/// One mail.
pub(super) async fn mail<P: Ports>(
    view: &View<'_, P>,
    page: &mut Html,
    id: &str,
) -> Result<(), StoreError> {
    page.push("<h2 class=id>");
    page.text(id);
    page.push("</h2>");
    let (code, answer) = view.delivery(id).await?;
    if code != 200 {
        page.push(
            "<p class=empty>The relay knows no mail with this id. It never came (look at Clerk's Message Attempts), \
             was not for the relay (delivered by Clerk, filtered, ignored), or is older than 14 days.</p>",
        );
        return Ok(());
    }
    let delivery = field(&answer, "delivery");
    let event = delivery.get("fate").filter(|fate| fate.is_string());
    let event = event.map(|_| delivery.clone());
    let mail = Mail {
        id: id.to_owned(),
        ..Mail::new(&delivery, event.as_ref())
    };
    page.push("<p>");
    page.state(mail.shown(), mail.tone());
    let waits_for = word(&delivery, "waits_for");
    if !waits_for.is_empty() {
        page.text(&format!(": it waits for {waits_for}"));
    }
    page.push("</p>");
    if answer.get("dead_letter") == Some(&Value::Bool(true)) {
        page.push("<p>It is among the dead letters. ");
        page.button("redrive", id, "Send again");
        page.push("</p>");
    }
    facts(view, page, &mail, &delivery).await?;
    page.heading("What happened");
    history(page, rows(&answer, "history"));
    Ok(())
}

async fn facts<P: Ports>(
    view: &View<'_, P>,
    page: &mut Html,
    mail: &Mail,
    delivery: &Value,
) -> Result<(), StoreError> {
    let accounts = view.accounts().await?;
    page.push("<dl>");
    let waited = mail.waited(page.now).map(words).unwrap_or_default();
    let attempts = match mail.attempts {
        0 => String::new(),
        count => count.to_string(),
    };
    for (name, value) in [
        ("template", mail.slug.as_str()),
        ("reason", &mail.reason.replace('_', " ")),
        ("user waited", &waited),
        ("tries", &attempts),
        ("Nylas said last", &mail.said),
        ("account", title(&accounts, &mail.account)),
        ("user at Clerk", word(delivery, "user_id")),
        ("message at Nylas", word(delivery, "message_id")),
        ("thread at Nylas", word(delivery, "thread_id")),
    ] {
        if !value.is_empty() {
            page.element("dt", name);
            page.element("dd", value);
        }
    }
    if !mail.recipient.is_empty() {
        page.push("<dt>recipient</dt><dd>");
        let query = format!("?show=mails&to={}", mail.recipient);
        page.link(&query, "mails to the same address", false);
        page.push("</dd>");
    }
    page.push("</dl>");
    Ok(())
}

/// The timeline, the oldest first.
fn history(page: &mut Html, entries: &[Value]) {
    page.push("<ol class=time>");
    let mut before = None;
    for entry in entries {
        let at = number(entry, "at").unwrap_or_default();
        page.push(if at > page.now.0 {
            "<li class=next>"
        } else {
            "<li>"
        });
        page.push("<b>");
        match word(entry, "event") {
            "made" => page.push("made by Clerk"),
            event => page.text(&event.replace('_', " ")),
        }
        page.push("</b> <span class=dim>");
        page.text(&word(entry, "reason").replace('_', " "));
        page.push("</span><small>");
        page.text(&clock(at, page.now));
        page.push(", ");
        page.when(at);
        // How much later it was says more than the moment, within an hour.
        let later = before.map_or(u64::MAX, |before| at.saturating_sub(before));
        if at <= page.now.0 && later > 0 && later < millis(HOUR) {
            page.text(&format!(", {} later", words(later)));
        }
        page.push("</small>");
        before = Some(at);
    }
    page.push("</ol>");
}
