//! The HTML that is being written. Everything that is not the page's own goes through [`Html::text`], which escapes.

use crate::{
    model::time::{UnixMillis, away, utc},
    operator::mails::Tone,
};

/// The HTML that is being written.
pub struct Html {
    pub html: String,
    pub now: UnixMillis,
}

impl Html {
    pub fn push(&mut self, html: &str) {
        self.html.push_str(html);
    }

    /// Adds text, escaped.
    pub fn text(&mut self, text: &str) {
        for letter in text.chars() {
            match letter {
                '&' => self.push("&amp;"),
                '<' => self.push("&lt;"),
                '>' => self.push("&gt;"),
                '"' => self.push("&quot;"),
                '\'' => self.push("&#39;"),
                _ => self.html.push(letter),
            }
        }
    }

    /// Adds an element with a text in it. `tag` may have attributes of the page's own.
    pub fn element(&mut self, tag: &str, text: &str) {
        let name = tag.split(' ').next().unwrap_or_default();
        self.push("<");
        self.push(tag);
        self.push(">");
        self.text(text);
        self.push("</");
        self.push(name);
        self.push(">");
    }

    pub fn heading(&mut self, text: &str) {
        self.element("h2", text);
    }

    /// Adds a link. `query` is escaped: its values are ids, slugs and hashes, which are plain.
    pub fn link(&mut self, query: &str, text: &str, is_current: bool) {
        self.push("<a href=\"");
        self.text(query);
        self.push("\"");
        if is_current {
            self.push(" aria-current=true");
        }
        self.push(">");
        self.text(text);
        self.push("</a>");
    }

    /// Adds a link to a mail. Svix' ids begin with the time, so their ends tell mails apart.
    pub fn mail_link(&mut self, id: &str) {
        self.push("<a class=id href=\"?id=");
        self.text(id);
        self.push("\" title=\"");
        self.text(id);
        self.push("\">");
        self.text(&short(id));
        self.push("</a>");
    }

    /// Adds how long ago it was, or how long it will be, which is the same in every time zone. The moment itself is
    /// its title.
    pub fn when(&mut self, at: u64) {
        if at == 0 {
            self.push("-");
            return;
        }
        let text = away(at, self.now.0);
        let utc = utc(UnixMillis(at));
        self.push("<time datetime=\"");
        self.push(&utc.replacen(' ', "T", 1));
        self.push("\" title=\"");
        self.push(&utc);
        self.push("\">");
        self.text(&text);
        self.push("</time>");
    }

    /// Adds a state, with its tone's colour and sign.
    pub fn state(&mut self, state: &str, tone: Tone) {
        self.push("<span class=\"state ");
        self.push(tone.as_str());
        self.push("\"><span aria-hidden=true>");
        self.push(tone.sign());
        self.push("</span> ");
        self.text(&state.replace('_', " "));
        self.push("</span>");
    }

    /// Begins a table with a caption for who hears it. On a phone each row is a block, and still a row.
    pub fn table(&mut self, caption: &str, columns: &[&str]) {
        self.push("<table role=table><caption>");
        self.text(caption);
        self.push("</caption><thead role=rowgroup><tr role=row>");
        for column in columns {
            self.push("<th role=columnheader scope=col>");
            self.text(column);
        }
        self.push("<tbody role=rowgroup>");
    }

    pub fn row(&mut self) {
        self.push("<tr role=row>");
    }

    /// Begins a cell. `label` is shown before it on a phone.
    pub fn cell(&mut self, label: &str) {
        self.push("<td role=cell data-l=\"");
        self.text(label);
        self.push("\">");
    }

    pub fn text_cell(&mut self, label: &str, text: &str) {
        self.cell(label);
        self.text(if text.is_empty() { "-" } else { text });
    }

    pub fn end_table(&mut self) {
        self.push("</table>");
    }

    /// Adds a form with one button. `subject` is what it acts upon.
    pub fn button(&mut self, action: &str, subject: &str, text: &str) {
        self.push("<form method=post action=/admin><input type=hidden name=subject value=\"");
        self.text(subject);
        self.push("\"><button name=action value=");
        self.push(action);
        self.push(">");
        self.text(text);
        self.push("</button></form>");
    }

    pub fn suppress_form(&mut self) {
        self.push(
            "<h2>Suppress an address, or lift it</h2><form method=post action=/admin>\
             <label for=address>Address</label>\
             <input id=address name=subject type=email required autocomplete=off> \
             <button name=action value=suppress>Suppress</button> \
             <button name=action value=lift>Lift</button></form>",
        );
    }
}

/// A moment of today without its date.
pub fn clock(at: u64, now: UnixMillis) -> String {
    let utc = utc(UnixMillis(at));
    let from = if at >= now.midnight().0 { 11 } else { 0 };
    format!("{} UTC", utc.get(from..19).unwrap_or_default())
}

/// `msg_...` and the last characters of an id that is long.
pub fn short(id: &str) -> String {
    let (Some((kind, rest)), 16..) = (id.split_once('_'), id.len()) else {
        return id.to_owned();
    };
    let last = rest.get(rest.len().saturating_sub(6)..).unwrap_or(rest);
    format!("{kind}_\u{2026}{last}")
}
