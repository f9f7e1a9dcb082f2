//! The page's lists.

use super::{asked::Asked, html::Html, paging::Part};
use crate::{
    ledger::recipient::RecipientHash,
    model::time::words,
    operator::{
        accounts::{AccountRow, title},
        api::View,
        mails::{Filter, Mail, Tone},
        row::{number, rows, word},
    },
    ports::{Ports, StoreError},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// The mails, with links that filter them.
pub(super) async fn mails<P: Ports>(
    view: &View<'_, P>,
    page: &mut Html,
    asked: &Asked,
) -> Result<(), StoreError> {
    let all = view.mails().await?;
    let accounts = view.accounts().await?;
    page.heading("Mails");
    filters(page, &all, &asked.filter, &accounts);
    if let Some(to) = asked.filter.to.as_deref().and_then(RecipientHash::parse) {
        recipient(view, page, &to).await?;
    }
    let found: Vec<Mail> = all
        .into_iter()
        .filter(|mail| asked.filter.fits(mail))
        .collect();
    if found.is_empty() {
        page.push("<p class=empty>No mail is like that.</p>");
        return Ok(());
    }
    let part = Part::of(&found, asked);
    mails_table(page, part.rows, &accounts);
    part.paging(page, &query(&asked.filter));
    Ok(())
}

/// The link to a list of mails. Its values are states, slugs, ids and hashes; nothing else comes through.
fn query(filter: &Filter) -> String {
    let mut query = String::from("?show=mails");
    for (name, value) in [
        ("state", &filter.state),
        ("slug", &filter.slug),
        ("account", &filter.account),
        ("to", &filter.to),
    ] {
        if let Some(value) = value {
            let is_plain =
                |letter: &char| letter.is_ascii_alphanumeric() || "_-.".contains(*letter);
            let value: String = value.chars().filter(is_plain).collect();
            query.push_str(&format!("&{name}={value}"));
        }
    }
    query
}

fn filters(page: &mut Html, all: &[Mail], filter: &Filter, accounts: &[AccountRow]) {
    let of = |change: &dyn Fn(&mut Filter)| {
        let mut other = filter.clone();
        change(&mut other);
        query(&other)
    };
    let state = filter.state.as_deref();
    page.push("<nav class=filter aria-label='Filter by state'><b>State</b>");
    page.link(&of(&|other| other.state = None), "all", state.is_none());
    let is_current = |tone: &Tone| state == Some(tone.as_str());
    for tone in Tone::ALL {
        if !matches!(tone, Tone::Waiting | Tone::Bad) && !is_current(&tone) {
            continue;
        }
        let count = all.iter().filter(|mail| mail.tone() == tone).count();
        let link = of(&|other| other.state = Some(tone.as_str().to_owned()));
        let text = format!("{} {} {count}", tone.sign(), tone.title());
        page.link(&link, &text, is_current(&tone));
    }
    let is_of_tone = Tone::ALL.iter().any(is_current);
    for (value, _) in counted(all, Mail::shown, state.filter(|_| !is_of_tone)) {
        let link = of(&|other| other.state = Some(value.clone()));
        // As many as the link shows: what was delivered was sent, too.
        let such = Filter {
            state: Some(value.clone()),
            ..Filter::default()
        };
        let count = all.iter().filter(|mail| such.fits(mail)).count();
        let text = format!("{} {count}", value.replace('_', " "));
        page.link(&link, &text, state == Some(&value));
    }
    page.push("</nav>");
    let slug = filter.slug.as_deref();
    let slugs = counted(all, |mail| &mail.slug, slug);
    if slugs.len() > 1 || slug.is_some() {
        page.push("<nav class=filter aria-label='Filter by template'><b>Template</b>");
        page.link(&of(&|other| other.slug = None), "all", slug.is_none());
        for (value, count) in slugs.into_iter().filter(|(value, _)| !value.is_empty()) {
            let link = of(&|other| other.slug = Some(value.clone()));
            page.link(&link, &format!("{value} {count}"), slug == Some(&value));
        }
        page.push("</nav>");
    }
    let account = filter.account.as_deref();
    if accounts.len() > 1 || account.is_some() {
        page.push("<nav class=filter aria-label='Filter by account'><b>Account</b>");
        page.link(&of(&|other| other.account = None), "all", account.is_none());
        for (value, count) in counted(all, |mail| &mail.account, account) {
            if value.is_empty() {
                continue;
            }
            let link = of(&|other| other.account = Some(value.clone()));
            let text = format!("{} {count}", title(accounts, &value));
            page.link(&link, &text, account == Some(&value));
        }
        page.push("</nav>");
    }
    if let Some(hash) = &filter.to {
        page.push("<nav class=filter aria-label='Filter by recipient'><b>To</b><span>the address with the hash <code>");
        page.text(hash.get(..12).unwrap_or(hash));
        page.push("\u{2026}</code></span>");
        page.link(&of(&|other| other.to = None), "everybody", false);
        page.push("</nav>");
    }
}

/// Whether a recipient gets mails.
async fn recipient<P: Ports>(
    view: &View<'_, P>,
    page: &mut Html,
    to: &RecipientHash,
) -> Result<(), StoreError> {
    view.ledger.read_recipient_ahead(to).await;
    page.push("<p>");
    match view.ledger.suppression(to).await? {
        None => page.state("not suppressed", Tone::Good),
        Some(row) => {
            page.state("suppressed", Tone::Bad);
            page.text(&format!(": {}, ", word(&row, "reason")));
            page.when(number(&row, "at").unwrap_or_default());
            page.push(" ");
            page.button("lift", to.as_str(), "Lift");
        }
    }
    if let Some(at) = view.ledger.proven_at(to).await? {
        page.push(" <span class=dim>; a mail was delivered there ");
        page.when(at.0);
        page.push("</span>");
    }
    page.push("</p>");
    Ok(())
}

/// How many mails there are of each value, the most frequent first; also of the current one, if there are none.
fn counted(
    mails: &[Mail],
    value: impl Fn(&Mail) -> &str,
    current: Option<&str>,
) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<&str, usize> =
        current.map(|current| (current, 0)).into_iter().collect();
    for mail in mails {
        let count = counts.entry(value(mail)).or_default();
        *count = count.saturating_add(1);
    }
    let mut counts: Vec<(String, usize)> = counts
        .into_iter()
        .map(|(value, count)| (value.to_owned(), count))
        .collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

pub(super) fn mails_table(page: &mut Html, mails: &[Mail], accounts: &[AccountRow]) {
    let columns = ["state", "when", "template", "waited", "account", "mail"];
    page.table("Mails, the newest first", &columns);
    for mail in mails {
        page.row();
        page.cell("");
        page.state(mail.shown(), mail.tone());
        details(page, mail);
        page.cell("");
        page.when(mail.at);
        page.text_cell("", &mail.slug);
        let waited = mail.waited(page.now).map(words).unwrap_or_default();
        page.text_cell("waited", &waited);
        page.text_cell("", title(accounts, &mail.account));
        page.cell("");
        page.mail_link(&mail.id);
    }
    page.end_table();
}

/// Why a mail has its state, unless that is what one expects; of a queued one: which try, the next one, Nylas' words.
fn details(page: &mut Html, mail: &Mail) {
    let mut parts = Vec::new();
    let is_expected = matches!(mail.tone(), Tone::Good) || mail.reason.is_empty();
    if !is_expected {
        parts.push(mail.reason.replace('_', " "));
    }
    if mail.tone() != Tone::Good && !mail.said.is_empty() {
        parts.push(format!("Nylas said {}", mail.said));
    }
    if mail.attempts > 1 {
        parts.push(format!("{} tries", mail.attempts));
    }
    let next = mail.retry_at.filter(|_| mail.tone() == Tone::Waiting);
    if parts.is_empty() && next.is_none() {
        return;
    }
    page.push("<small>");
    page.text(&parts.join("; "));
    if let Some(next) = next {
        page.push(if parts.is_empty() { "" } else { "; " });
        page.push("next try ");
        match next > page.now.0 {
            true => page.when(next),
            false => page.push("any moment"),
        }
    }
    page.push("</small>");
}

/// The dead letters.
pub(super) async fn dead<P: Ports>(
    view: &View<'_, P>,
    page: &mut Html,
    asked: &Asked,
) -> Result<(), StoreError> {
    let found = view.ledger.all("dead:", "id").await?;
    if found.is_empty() {
        page.heading("Dead letters");
        page.push("<p class=empty>Nothing was given up.</p>");
    } else {
        let part = Part::of(&found, asked);
        dead_table(page, part.rows);
        part.paging(page, "?show=dead");
    }
    Ok(())
}

pub(super) fn dead_table(page: &mut Html, rows: &[Value]) {
    page.heading("Dead letters");
    let columns = ["given up", "kind", "template", "id", ""];
    page.table("Dead letters", &columns);
    for row in rows {
        page.row();
        page.cell("");
        page.when(number(row, "at").unwrap_or_default());
        page.text_cell("", word(row, "kind"));
        page.text_cell("", word(row, "slug"));
        page.cell("");
        let id = word(row, "id");
        match word(row, "kind") {
            "mail" => page.mail_link(id),
            _ => page.element("span class=id", id),
        }
        page.cell("");
        page.button("redrive", id, "Send again");
    }
    page.end_table();
}

/// Who answered.
pub(super) async fn replies<P: Ports>(
    view: &View<'_, P>,
    page: &mut Html,
    asked: &Asked,
) -> Result<(), StoreError> {
    let found = view.ledger.all("reply:", "id").await?;
    page.heading("Replies");
    if found.is_empty() {
        page.push("<p class=empty>Nobody has answered a mail.</p>");
        return Ok(());
    }
    let part = Part::of(&found, asked);
    let columns = ["when", "from", "handed to", "held back", "answers", "reply"];
    page.table("Replies, the newest first", &columns);
    for row in part.rows {
        page.row();
        page.cell("");
        page.when(number(row, "at").unwrap_or_default());
        page.text_cell("", word(row, "class"));
        let to = row.get("handed_to").and_then(Value::as_array);
        let to: Vec<&str> = to.into_iter().flatten().filter_map(Value::as_str).collect();
        page.text_cell("handed to", &to.join(", "));
        page.text_cell("held back", &word(row, "held_back").replace('_', " "));
        page.cell("answers");
        match word(row, "svix_id") {
            "" => page.push("-"),
            id => page.mail_link(id),
        }
        page.cell("");
        page.element("span class=id", &super::html::short(word(row, "id")));
    }
    page.end_table();
    part.paging(page, "?show=replies");
    Ok(())
}

/// Suppressed addresses, as hashes.
pub(super) async fn suppressed<P: Ports>(
    view: &View<'_, P>,
    page: &mut Html,
    asked: &Asked,
) -> Result<(), StoreError> {
    let found = view.ledger.all("suppressed:", "id").await?;
    page.heading("Suppressed addresses");
    page.push("<p class=dim>The relay keeps keyed hashes of them. To see whether an address is one, look it up.</p>");
    if found.is_empty() {
        page.push("<p class=empty>No address is suppressed.</p>");
    } else {
        let part = Part::of(&found, asked);
        let columns = ["since", "reason", "hash", ""];
        page.table("Suppressed addresses", &columns);
        for row in part.rows {
            page.row();
            page.cell("");
            page.when(number(row, "at").unwrap_or_default());
            page.text_cell("", word(row, "reason"));
            page.cell("");
            let hash = word(row, "id");
            page.push("<a class=id href=\"");
            let to = Filter {
                to: Some(hash.to_owned()),
                ..Filter::default()
            };
            page.text(&query(&to));
            page.push("\">");
            page.text(hash.get(..12).unwrap_or(hash));
            page.push("\u{2026}</a>");
            page.cell("");
            page.button("lift", hash, "Lift");
        }
        page.end_table();
        part.paging(page, "?show=suppressed");
    }
    page.suppress_form();
    Ok(())
}

/// Which templates Clerk delivers itself, and the shape of the first event of each.
pub(super) async fn templates<P: Ports>(
    view: &View<'_, P>,
    page: &mut Html,
) -> Result<(), StoreError> {
    let found = view.ledger.all("shape:", "id").await?;
    page.heading("Templates");
    if let Some(handed_back) = view.handed_back().await {
        page.push("<p>");
        page.state("handed back", Tone::Waiting);
        page.push(" ");
        page.when(handed_back.at.0);
        page.push(": Clerk delivers these itself, because no account sent: <b>");
        page.text(&handed_back.templates.join(", "));
        page.push(
            "</b>. When one sends again, run <code>relayctl templates take --all</code>.</p>",
        );
    }
    page.push(
        "<p class=dim>Names, types and lengths in the first event of each, never values: compare them with Clerk's \
         &quot;Send example&quot; before you depend on a template.</p>",
    );
    if found.is_empty() {
        page.push("<p class=empty>No event has come yet.</p>");
    }
    for row in &found {
        page.push("<details><summary>");
        page.text(word(row, "id"));
        page.push(", first seen ");
        page.when(number(row, "at").unwrap_or_default());
        page.push("</summary>");
        page.table(word(row, "id"), &["field", "type", "length"]);
        for field in rows(row, "fields") {
            page.row();
            page.text_cell("", word(field, "path"));
            page.text_cell("", word(field, "type"));
            let length = number(field, "length").map(|length| length.to_string());
            page.text_cell("length", &length.unwrap_or_default());
        }
        page.end_table();
        page.push("</details>");
    }
    Ok(())
}
