//! HTML to text, in which quoted lines begin with `> `, as in a plain text mail.

use super::scan::{after, begins, cut, plain, start_of};

/// Whether a body has a tag that HTML mails have.
pub fn is_html(body: &str) -> bool {
    const TAGS: [&str; 18] = [
        "!doctype",
        "html",
        "head",
        "body",
        "div",
        "p>",
        "p ",
        "br",
        "table",
        "span",
        "a ",
        "b>",
        "i>",
        "font",
        "blockquote",
        "meta",
        "style",
        "img",
    ];
    body.split('<')
        .skip(1)
        .any(|rest| TAGS.iter().any(|tag| begins(rest, tag)))
}

/// The visible text of an HTML body.
pub fn to_text(body: &str) -> String {
    Html::read(body)
}

/// An element that is left out, or quoted, until it ends.
struct Until {
    name: String,
    /// Elements of that name open now.
    open: u32,
}

impl Until {
    fn end_of(name: &str) -> Option<Self> {
        Some(Self {
            name: name.to_owned(),
            open: 1,
        })
    }

    /// Whether it goes on after this tag.
    fn goes_on(&mut self, name: &str, is_end: bool) -> bool {
        if self.name == name {
            self.open = if is_end {
                self.open.saturating_sub(1)
            } else {
                self.open.saturating_add(1)
            };
        }
        self.open > 0
    }
}

/// HTML on its way to text, in which quoted lines begin with `> `, as in a plain text mail.
#[derive(Default)]
struct Html {
    text: String,
    hidden: Option<Until>,
    quote: Option<Until>,
    /// From here on everything is quoted.
    is_history: bool,
    /// White space was read and not written yet.
    is_spaced: bool,
}

impl Html {
    fn read(body: &str) -> String {
        let mut html = Self::default();
        let mut rest = body;
        // Once there is no end of a tag, or of a quoted attribute, there is none further on either.
        let (mut has_ends, mut has_quotes) = (true, true);
        while let Some((before, tag)) = rest.split_once('<') {
            html.push_text(before);
            let is_tag = has_ends
                && tag.starts_with(|first: char| {
                    first.is_ascii_alphabetic() || matches!(first, '/' | '!' | '?')
                });
            if !is_tag {
                html.push_text("<");
                rest = tag;
                continue;
            }
            if let Some(comment) = tag.strip_prefix("!--") {
                rest = after(comment, "-->").unwrap_or_default();
                continue;
            }
            let mut end = has_quotes.then(|| tag_end(tag)).flatten();
            if end.is_none() {
                has_quotes = false;
                end = tag.find('>');
            }
            let Some((inside, behind)) = end.and_then(|end| tag.split_at_checked(end)) else {
                has_ends = false;
                html.push_text("<");
                rest = tag;
                continue;
            };
            rest = behind.get(1..).unwrap_or_default();
            let name = html.tag(inside);
            // What is inside these is no HTML.
            if matches!(
                name.as_str(),
                "script" | "style" | "title" | "textarea" | "xmp"
            ) {
                rest = raw_end(rest, &name);
            }
        }
        html.push_text(rest);
        html.text
    }

    /// Takes a tag. The name of an element that begins.
    fn tag(&mut self, inside: &str) -> String {
        let is_end = inside.starts_with('/');
        let inside = inside.trim_start_matches('/');
        let length = inside
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-'))
            .count();
        let (name, attributes) = inside.split_at_checked(length).unwrap_or_default();
        let name = name.to_ascii_lowercase();
        let is_void = matches!(
            name.as_str(),
            "br" | "img" | "hr" | "meta" | "link" | "input" | "wbr" | "col" | "base" | "area"
        );
        if let Some(hidden) = &mut self.hidden {
            if !hidden.goes_on(&name, is_end) {
                self.hidden = None;
            }
            return String::new();
        }
        let was_quote = self.quote.is_some();
        if let Some(quote) = &mut self.quote
            && !quote.goes_on(&name, is_end)
        {
            self.new_line();
            self.quote = None;
        }
        let is_block = matches!(
            name.as_str(),
            "p" | "div"
                | "br"
                | "tr"
                | "li"
                | "ul"
                | "ol"
                | "table"
                | "blockquote"
                | "h1"
                | "h2"
                | "h3"
                | "h4"
                | "h5"
                | "h6"
                | "hr"
                | "pre"
                | "section"
                | "article"
                | "header"
                | "footer"
                | "address"
                | "dd"
                | "dt"
                | "center"
                | "form"
        );
        if is_block {
            self.new_line();
        }
        if matches!(name.as_str(), "td" | "th") {
            self.is_spaced = true;
        }
        if is_end {
            return String::new();
        }
        let looks = Looks::of(attributes);
        self.is_history |= looks.begins_history;
        if looks.is_hidden || matches!(name.as_str(), "head" | "noscript" | "template" | "svg") {
            if !is_void {
                self.hidden = Until::end_of(&name);
            }
            return String::new();
        }
        if !is_void && !was_quote && (looks.is_quote || name == "blockquote") {
            self.new_line();
            self.quote = Until::end_of(&name);
        }
        if name == "li" {
            self.push_text("- ");
        }
        name
    }

    fn new_line(&mut self) {
        self.is_spaced = false;
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    fn push_text(&mut self, text: &str) {
        if self.hidden.is_some() {
            return;
        }
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            let (letter, length) = match letter {
                '&' => entity(rest).unwrap_or((letter, 1)),
                _ => (letter, letter.len_utf8()),
            };
            rest = rest.get(length..).unwrap_or_default();
            match plain(letter) {
                None => {}
                Some(' ' | '\n') => self.is_spaced = true,
                Some(letter) => self.push(letter),
            }
        }
    }

    fn push(&mut self, letter: char) {
        let is_first = self.text.is_empty() || self.text.ends_with('\n');
        if is_first && (self.is_history || self.quote.is_some()) {
            self.text.push_str("> ");
        } else if self.is_spaced && !is_first {
            self.text.push(' ');
        }
        self.is_spaced = false;
        self.text.push(letter);
    }
}

/// Where a tag ends: at the first `>` outside quotes.
fn tag_end(tag: &str) -> Option<usize> {
    let mut quote = None;
    let mut is_value = false;
    for (at, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at),
            (None, b'"' | b'\'') if is_value => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
        is_value = byte == b'=' || is_value && byte.is_ascii_whitespace();
    }
    None
}

/// What follows the end tag of an element whose content is not HTML.
fn raw_end<'a>(rest: &'a str, name: &str) -> &'a str {
    let mut from = rest;
    while let Some(tag) = after(from, "</") {
        if begins(tag, name) {
            return tag.split_once('>').map_or("", |(_, after)| after);
        }
        from = tag;
    }
    ""
}

/// What a tag's attributes say of how it looks.
#[derive(Default)]
struct Looks {
    is_hidden: bool,
    is_quote: bool,
    /// As in Outlook, which puts the history after a mark and not into an element.
    begins_history: bool,
}

impl Looks {
    fn of(attributes: &str) -> Self {
        const QUOTES: [&str; 6] = [
            "gmail_quote",
            "gmail_attr",
            "yahoo_quoted",
            "moz-cite-prefix",
            "protonmail_quote",
            "zmail_extra",
        ];
        const HISTORY: [&str; 3] = ["divrplyfwdmsg", "appendonsend", "outlookmessageheader"];
        let mut looks = Self::default();
        let mut rest = attributes.trim_start();
        while !rest.is_empty() {
            let (name, after) = cut(rest, |letter| letter == '=' || letter.is_ascii_whitespace());
            let name = name.trim_matches('/').to_ascii_lowercase();
            let after = after.trim_start();
            let value;
            (value, rest) = match after.strip_prefix('=').map(str::trim_start) {
                None => ("", after),
                Some(text) => match text.chars().next() {
                    Some(quote @ ('"' | '\'')) => {
                        let text = text.get(1..).unwrap_or_default();
                        text.split_once(quote).unwrap_or((text, ""))
                    }
                    _ => cut(text, |letter| letter.is_ascii_whitespace()),
                },
            };
            // An empty name is a stray quote or sign: its one character is behind us.
            if name.is_empty() && value.is_empty() && rest.len() == after.len() {
                let mut letters = rest.chars();
                letters.next();
                rest = letters.as_str();
            }
            rest = rest.trim_start();
            let value = value.to_ascii_lowercase();
            let has_any = |marks: &[&str]| marks.iter().any(|mark| value.contains(mark));
            match name.as_str() {
                "hidden" => looks.is_hidden = true,
                "style" => looks.is_hidden |= hides(&value),
                "class" | "id" => {
                    looks.is_quote |= has_any(&QUOTES);
                    looks.begins_history |= has_any(&HISTORY);
                }
                _ => {}
            }
        }
        looks
    }
}

/// Whether a style makes its element impossible to see.
fn hides(style: &str) -> bool {
    let style: String = style
        .chars()
        .filter(|letter| !letter.is_ascii_whitespace())
        .collect();
    let is_zero = |property: &str| {
        let mut rest = style.as_str();
        while let Some(value) = after(rest, property) {
            let (number, _) = cut(value, |letter| !matches!(letter, '0'..='9' | '.'));
            if !number.is_empty() && number.chars().all(|digit| matches!(digit, '0' | '.')) {
                return true;
            }
            rest = value;
        }
        false
    };
    style.contains("display:none")
        || style.contains("visibility:hidden")
        || style.contains("mso-hide:all")
        || is_zero("font-size:")
        || is_zero("opacity:")
        || is_zero("max-height:")
}

/// The character an entity stands for, and how many bytes it takes.
fn entity(text: &str) -> Option<(char, usize)> {
    const NAMED: [(&str, char); 36] = [
        ("amp", '&'),
        ("lt", '<'),
        ("gt", '>'),
        ("quot", '"'),
        ("apos", '\''),
        ("nbsp", ' '),
        ("shy", '\u{ad}'),
        ("zwnj", '\u{ad}'),
        ("zwj", '\u{ad}'),
        ("ensp", ' '),
        ("emsp", ' '),
        ("thinsp", ' '),
        ("ndash", '–'),
        ("mdash", '—'),
        ("hellip", '…'),
        ("lsquo", '‘'),
        ("rsquo", '’'),
        ("ldquo", '“'),
        ("rdquo", '”'),
        ("laquo", '«'),
        ("raquo", '»'),
        ("bull", '•'),
        ("middot", '·'),
        ("copy", '©'),
        ("reg", '®'),
        ("euro", '€'),
        ("auml", 'ä'),
        ("ouml", 'ö'),
        ("uuml", 'ü'),
        ("Auml", 'Ä'),
        ("Ouml", 'Ö'),
        ("Uuml", 'Ü'),
        ("szlig", 'ß'),
        ("eacute", 'é'),
        ("egrave", 'è'),
        ("agrave", 'à'),
    ];
    // A semicolon may be missing after a number; browsers take it all the same.
    let name = text.strip_prefix('&')?;
    let name = start_of(name, 32);
    if let Some(number) = name.strip_prefix('#') {
        let (digits, radix, before) = match number.strip_prefix(['x', 'X']) {
            Some(digits) => (digits, 16, 3_usize),
            None => (number, 10, 2),
        };
        let (digits, after) = cut(digits, |letter| !letter.is_digit(radix));
        let letter = char::from_u32(u32::from_str_radix(digits, radix).ok()?)?;
        let end = usize::from(after.starts_with(';'));
        return Some((
            letter,
            before.saturating_add(digits.len()).saturating_add(end),
        ));
    }
    let (name, _) = name.split_once(';')?;
    let (_, letter) = NAMED.iter().find(|(known, _)| *known == name)?;
    Some((*letter, name.len().saturating_add(2)))
}
