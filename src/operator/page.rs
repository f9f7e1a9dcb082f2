//! The operator's page at `/admin`, rendered here: it needs no script and loads nothing.
//!
//! What it costs is in list operations, of which the free plan has 1,000 a day: the first page three (mails, delivery
//! events, dead letters), a list of mails two, any other page one. None reads a mail.

use super::{
    accounts::AccountRow,
    api::View,
    attention::{self, Attention},
    form::Done,
    mails::{Mail, Tone, percentile, waits},
};
use crate::{
    config::Config,
    ledger::Ledger,
    model::{
        log::VERSION,
        time::{utc, words},
    },
    ports::{Ports, StoreError},
};
use html::{Html, clock};

mod asked;
mod html;
mod lists;
mod mail;
mod paging;
mod pictures;
mod style;

pub use asked::Asked;
pub use style::policy;

/// How many mails the first page shows.
const LATEST: usize = 15;
/// How many dead letters it shows.
const DEAD: usize = 10;

/// A list that has a page of its own.
const PAGES: [(&str, &str); 6] = [
    ("", "Overview"),
    ("mails", "Mails"),
    ("dead", "Dead letters"),
    ("replies", "Replies"),
    ("suppressed", "Suppressed"),
    ("templates", "Templates"),
];

/// The page. `message`: what went wrong with a form, which is shown above everything. `None`: the ledger did not
/// answer.
pub async fn page<P: Ports>(
    ports: &P,
    config: &Config,
    asked: &Asked,
    message: Option<&str>,
) -> Option<String> {
    let view = View {
        ports,
        config,
        ledger: &Ledger::new(ports),
    };
    let mut page = Html {
        html: String::new(),
        now: ports.now(),
    };
    let show = asked.show.as_deref().unwrap_or_default();
    begin(&mut page, asked);
    let done = asked.done.as_deref().and_then(Done::parse);
    let said = match (message, done) {
        (Some(message), _) => Some(("bad", message)),
        (None, done) => done.map(|done| ("good", done.says())),
    };
    if let Some((tone, message)) = said {
        page.push("<p role=status class=\"strip ");
        page.push(tone);
        page.push("\"><strong>");
        page.text(message);
        page.push("</strong></p>");
    }
    let written = match (&asked.id, show) {
        (Some(id), _) => mail::mail(&view, &mut page, id).await,
        (None, "mails") => lists::mails(&view, &mut page, asked).await,
        (None, "dead") => lists::dead(&view, &mut page, asked).await,
        (None, "replies") => lists::replies(&view, &mut page, asked).await,
        (None, "suppressed") => lists::suppressed(&view, &mut page, asked).await,
        (None, "templates") => lists::templates(&view, &mut page).await,
        (None, _) => overview(&view, &mut page).await,
    };
    written.ok()?;
    page.push("</main><footer class=dim><p>");
    page.text(&format!(
        "Version {VERSION}. As of {}; what Workers KV lists may be a minute old.",
        utc(page.now)
    ));
    page.push("</p></footer></html>");
    Some(page.html)
}

/// The head, the links to the lists, and what looks up a mail.
fn begin(page: &mut Html, asked: &Asked) {
    page.push(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content='width=device-width,initial-scale=1'><title>",
    );
    let show = asked.show.as_deref().unwrap_or_default();
    let title = PAGES.iter().find(|(name, _)| *name == show);
    let title = match &asked.id {
        Some(id) => id,
        None => title.map_or("Overview", |(_, title)| title),
    };
    page.text(title);
    page.push(" - clerk-nylas-relay</title><style>");
    page.push(style::STYLE);
    page.push(
        "</style><header><h1><a href=/admin>clerk-nylas-relay</a></h1><nav aria-label=Lists>",
    );
    for (name, title) in PAGES {
        let is_current = asked.id.is_none() && name == show;
        match name {
            "" => page.link("/admin", title, is_current),
            name => page.link(&format!("?show={name}"), title, is_current),
        }
    }
    // A post: an address is not for the browser's history, nor for anybody's log of requests.
    page.push(
        "</nav><form method=post action=/admin role=search><label for=find>Look up</label>\
         <input id=find name=subject required autocomplete=off placeholder='msg_... or an address'>\
         <button name=action value=find>Find</button></form></header><main>",
    );
}

/// The first page.
async fn overview<P: Ports>(view: &View<'_, P>, page: &mut Html) -> Result<(), StoreError> {
    let mails = view.mails().await?;
    let dead = view.ledger.all("dead:", "id").await?;
    let accounts = view.accounts().await?;
    // The lists show samples, too.
    let of_users = view.of_users(&mails);
    let found = view.attention(&of_users, &dead, &accounts).await;
    strip(page, &found, &mails);
    if !dead.is_empty() {
        lists::dead_table(page, dead.get(..DEAD).unwrap_or(&dead));
        if dead.len() > DEAD {
            page.link(
                "?show=dead",
                &format!("All {} dead letters", dead.len()),
                false,
            );
        }
    }
    if mails.is_empty() {
        page.push(
            "<p class=empty>No mail has come yet. In Clerk's dashboard: Webhooks, an endpoint for \
             <code>email.created</code> at this address with <code>/api/webhooks/clerk</code>; then switch one \
             template's &quot;Delivered by Clerk&quot; off and sign in with a test user.</p>",
        );
    } else {
        pictures::day(page, &of_users);
    }
    accounts_table(page, &accounts);
    if let Some(cap) = view.config.monthly_cap {
        page.element(
            "p class=dim",
            &format!("All accounts together: {cap} mails a month, counted once an hour."),
        );
    }
    if !mails.is_empty() {
        page.heading("Latest mails");
        lists::mails_table(page, mails.get(..LATEST).unwrap_or(&mails), &accounts);
        page.link("?show=mails", "All mails", false);
    }
    page.suppress_form();
    Ok(())
}

/// What needs attention, and since when; or that all is well.
fn strip(page: &mut Html, found: &[Attention], mails: &[Mail]) {
    let worst = found.iter().map(|found| found.trouble.tone()).max();
    let tone = worst.unwrap_or(Tone::Good);
    page.push("<section aria-label='What needs attention' class=\"strip ");
    page.push(tone.as_str());
    page.push("\">");
    if found.is_empty() && mails.is_empty() {
        page.state("Ready: no mail has come yet", Tone::Neutral);
    } else if found.is_empty() {
        let now = page.now;
        let today = mails.iter().filter(|mail| mail.is_of_today(now));
        let all = waits(today.clone(), now);
        page.state("All is well", Tone::Good);
        let mut says = format!(
            ": {} in the last 24 hours",
            attention::count_of(today.count(), "mail")
        );
        if let Some(p50) = percentile(&all, 50) {
            says.push_str(&format!(
                "; half of the users waited at most {}",
                words(p50)
            ));
        }
        page.text(&says);
        page.push(".");
    } else {
        page.state("Needs attention", tone);
        page.push("<ul>");
        for one in found {
            page.push("<li><span class=\"state ");
            page.push(one.trouble.tone().as_str());
            page.push("\" aria-hidden=true>");
            page.push(one.trouble.tone().sign());
            page.push("</span> ");
            page.link(one.trouble.link(), &one.says, false);
            if let Some(since) = one.since {
                page.push(" <span class=dim>since ");
                page.text(&clock(since, page.now));
                page.push(", ");
                page.when(since);
                page.push("</span>");
            }
        }
        page.push("</ul>");
    }
    page.push("</section>");
}

fn accounts_table(page: &mut Html, accounts: &[AccountRow]) {
    page.push("<h2 id=accounts>Accounts</h2>");
    let columns = ["account", "state", "sent today", "bounced today", ""];
    page.table("Accounts", &columns);
    for account in accounts {
        page.row();
        page.cell("");
        page.text(account.title());
        if account.email.is_some() {
            page.push("<small class=id>");
            page.text(&account.grant_id);
            page.push("</small>");
        }
        page.cell("");
        match &account.reason {
            None => page.state("up", Tone::Good),
            Some(reason) => {
                page.state("down", Tone::Bad);
                page.push("<small>");
                page.text(&reason.replace('_', " "));
                if let Some(since) = account.since {
                    page.push(", since ");
                    page.when(since);
                }
                if let Some(until) = account.until {
                    page.push("; looked at again ");
                    page.when(until);
                }
                page.push("</small>");
            }
        }
        page.cell("sent today");
        match (account.sent_today, account.cap) {
            (None, _) => page.push("-"),
            (Some(sent), None) => page.text(&sent.to_string()),
            (Some(sent), Some(cap)) => page.push(&format!(
                "{sent} of {cap} <meter min=0 max={cap} high={} value={sent} aria-label='mails of the day'></meter>",
                cap.saturating_mul(7) / 10
            )),
        }
        page.cell("bounced today");
        page.text(&account.bounced.to_string());
        page.cell("");
        if account.is_guarded() {
            page.state(
                &format!("guard holds back {} %", account.held_back_percent),
                Tone::Waiting,
            );
            page.push(" ");
            page.button("lift-guard", &account.grant_id, "Lift the guard");
        }
    }
    page.end_table();
}

#[cfg(test)]
mod tests;
