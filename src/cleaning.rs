//! A reply as text: what its writer added, apart from what they quoted, and in neither what could harm
//! whoever reads it.
//!
//! Replies quote the mail they answer, and that one holds a live code or link. So there is one rule,
//! for the new part, the quoted part and the subject alike: **every link, and every four or more digits with
//! nothing but spaces and punctuation between them, is removed**, and so are words of capitals and digits
//! ("K7F-2Q9"). It takes times and order numbers along; the whole message is still in the mailbox. Links hidden behind texts go with the HTML, and so do images
//! and what cannot be seen, which carries instructions for machines.

/// The longest text and the longest history handed on, in bytes.
pub const TEXT_BYTES_MAX: usize = 24 * 1024;
/// No more of a body is looked at: a person's own words stand in front.
const BODY_BYTES_MAX: usize = 512 * 1024;
const SUBJECT_CHARS_MAX: usize = 200;

const CODE_REMOVED: &str = "[code removed]";
const LINK_REMOVED: &str = "[link removed]";

/// What is left of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleaned {
    /// What the writer added.
    pub text: String,
    /// The history they quoted.
    pub quoted: String,
    /// Something was cut off.
    pub truncated: bool,
}

/// Cleans a body: HTML if it has a tag that HTML mails have, plain text otherwise.
pub fn clean(body: &str) -> Cleaned {
    let looked_at = start_of(body, BODY_BYTES_MAX);
    let visible = if is_html(looked_at) {
        Html::read(looked_at)
    } else {
        looked_at.chars().filter_map(plain).collect()
    };
    let (text, quoted) = split(&visible);
    let (text, quoted) = (redact(&text), redact(&quoted));
    let (kept_text, kept_quoted) = (
        start_of(&text, TEXT_BYTES_MAX),
        start_of(&quoted, TEXT_BYTES_MAX),
    );
    Cleaned {
        truncated: looked_at.len() < body.len()
            || kept_text.len() < text.len()
            || kept_quoted.len() < quoted.len(),
        text: kept_text.to_owned(),
        quoted: kept_quoted.to_owned(),
    }
}

/// One line, cleaned the same way.
pub fn subject(text: &str) -> String {
    let line: String = text
        .chars()
        .filter_map(plain)
        .map(|letter| if letter == '\n' { ' ' } else { letter })
        .collect();
    redact(line.trim())
        .chars()
        .take(SUBJECT_CHARS_MAX)
        .collect()
}

/// At most that many bytes of a text, whole characters.
fn start_of(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

/// A character as it may be handed on. `None`: it cannot be seen.
fn plain(letter: char) -> Option<char> {
    match letter {
        '\n' | '\u{2028}' | '\u{2029}' => Some('\n'),
        '\t'
        | '\u{a0}'
        | '\u{1680}'
        | '\u{2000}'..='\u{200a}'
        | '\u{202f}'
        | '\u{205f}'
        | '\u{3000}' => Some(' '),
        '\0'..='\u{1f}'
        | '\u{7f}'..='\u{9f}'
        | '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{20e3}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' => None,
        _ => Some(letter),
    }
}

/// Whether `text` begins with `start`, whatever the case of ASCII letters.
fn begins(text: &str, start: &str) -> bool {
    text.as_bytes()
        .get(..start.len())
        .is_some_and(|bytes| bytes.eq_ignore_ascii_case(start.as_bytes()))
}

/// Where a piece is in a text. (`str::find` brings a search along that is larger than this module.)
fn find(text: &str, piece: &str) -> Option<usize> {
    text.as_bytes()
        .windows(piece.len())
        .position(|window| window == piece.as_bytes())
}

pub(crate) fn has(text: &str, piece: &str) -> bool {
    find(text, piece).is_some()
}

/// What follows a piece.
fn after<'a>(text: &'a str, piece: &str) -> Option<&'a str> {
    text.get(find(text, piece)?.saturating_add(piece.len())..)
}

fn is_html(body: &str) -> bool {
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
            let has_any = |marks: &[&str]| marks.iter().any(|mark| has(&value, mark));
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

/// A text up to the first character that ends it, and the rest.
fn cut(text: &str, is_end: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(is_end).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
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
    has(&style, "display:none")
        || has(&style, "visibility:hidden")
        || has(&style, "mso-hide:all")
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

/// Divides visible text into what is new and what is quoted. Every line ends up in one of the two.
fn split(visible: &str) -> (String, String) {
    let lines: Vec<&str> = visible.split('\n').map(str::trim).collect();
    let (mut text, mut quoted) = (String::new(), String::new());
    let mut is_history = false;
    // The lines of an attribution still to come.
    let mut attribution = 0_usize;
    for (at, line) in lines.iter().enumerate() {
        let ahead = lines.get(at..).unwrap_or_default();
        if !is_history && attribution == 0 && !line.starts_with('>') {
            is_history = begins_history(ahead);
            attribution = attribution_lines(ahead);
            let after = ahead.get(attribution..).unwrap_or_default();
            // Whose quote is not marked line by line, the rest is quote.
            is_history |= attribution > 0 && !next_is_marked(after);
        }
        let is_quoted = is_history || attribution > 0 || line.starts_with('>');
        attribution = attribution.saturating_sub(1);
        let part = if is_quoted { &mut quoted } else { &mut text };
        let line = line.trim_start_matches(['>', ' ']);
        // At most one empty line.
        if !line.is_empty() || !part.is_empty() && !part.ends_with("\n\n") {
            part.push_str(line);
            part.push('\n');
        }
    }
    (text.trim().to_owned(), quoted.trim().to_owned())
}

fn next_is_marked(lines: &[&str]) -> bool {
    lines
        .iter()
        .find(|line| !line.is_empty())
        .is_some_and(|line| line.starts_with('>'))
}

/// How many lines a line like "On Monday, Acme <auth@acme.example> wrote:" takes; 0: it is none.
fn attribution_lines(ahead: &[&str]) -> usize {
    const WROTE: [&str; 12] = [
        "wrote",
        "schrieb",
        "a écrit",
        "escribi",
        "ha scritto",
        "escreveu",
        "schreef",
        "skrev",
        "napsal",
        "napisa",
        "kirjoitti",
        "a scris",
    ];
    let mut joined = String::new();
    for (count, line) in (1..=3).zip(ahead) {
        if line.is_empty() || line.starts_with('>') || line.len() > 300 {
            return 0;
        }
        joined.push_str(line);
        joined.push(' ');
        if line.ends_with(':') {
            let names_somebody = joined.contains('@') || joined.bytes().any(|b| b.is_ascii_digit());
            let is_one = names_somebody && WROTE.iter().any(|wrote| has(&joined, wrote));
            return if is_one { count } else { 0 };
        }
    }
    0
}

/// Whether everything from here on is history: a title line, or the header of the mail that is answered.
fn begins_history(ahead: &[&str]) -> bool {
    const TITLES: [&str; 9] = [
        "original message",
        "forwarded message",
        "ursprüngliche nachricht",
        "weitergeleitete nachricht",
        "message d'origine",
        "mensaje original",
        "messaggio originale",
        "mensagem original",
        "oorspronkelijk bericht",
    ];
    const FROM: [&str; 8] = [
        "From:", "Von:", "De:", "Da:", "Van:", "Fra:", "Från:", "Od:",
    ];
    const OTHERS: [&str; 21] = [
        "Sent:",
        "Date:",
        "To:",
        "Cc:",
        "Subject:",
        "Gesendet:",
        "Datum:",
        "An:",
        "Betreff:",
        "Envoyé",
        "Objet:",
        "À:",
        "Enviado",
        "Para:",
        "Asunto:",
        "Assunto:",
        "Inviato:",
        "Oggetto:",
        "Verzonden:",
        "Aan:",
        "Onderwerp:",
    ];
    let Some(line) = ahead.first() else {
        return false;
    };
    if line.starts_with("--") || line.starts_with("Begin") {
        let line = line.to_ascii_lowercase();
        if TITLES.iter().any(|title| has(&line, title)) {
            return true;
        }
    }
    let is_rule = line.len() >= 10 && line.bytes().all(|byte| matches!(byte, b'_' | b'-'));
    let mut block = ahead
        .iter()
        .skip(usize::from(is_rule))
        .take(12)
        .map(|line| line.trim_start_matches('*'))
        .filter(|line| !line.is_empty())
        .take(6);
    let is_from = block
        .next()
        .is_some_and(|line| FROM.iter().any(|from| line.starts_with(from)));
    is_from
        && block
            .filter(|line| OTHERS.iter().any(|other| line.starts_with(other)))
            .count()
            >= 2
}

/// Replaces links and codes; see the head of this file.
pub fn redact(text: &str) -> String {
    redact_digits(&redact_words(text))
}

/// Words that are links, or parts of one, or codes of letters and digits.
fn redact_words(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    // The line before ended in the middle of a link.
    let mut goes_on = false;
    while !rest.is_empty() {
        let (word, after) = cut(rest, |letter| matches!(letter, ' ' | '\n'));
        let (gap, next) = cut(after, |letter| !matches!(letter, ' ' | '\n'));
        let ends_line = gap.starts_with('\n') || next.is_empty();
        let is_link = is_link(word) || goes_on && ends_line && is_part_of_link(word);
        out.push_str(if is_link {
            LINK_REMOVED
        } else if is_letter_code(word) {
            CODE_REMOVED
        } else {
            word
        });
        out.push_str(gap);
        goes_on = is_link && ends_line || word.is_empty() && goes_on;
        rest = next;
    }
    out
}

fn is_link(word: &str) -> bool {
    const SIGNS: [&str; 7] = [
        "://", "www.", "mailto:", "__clerk", "token=", "ticket=", "code=",
    ];
    let word = word.to_ascii_lowercase();
    let has_path = word.split_once('/').is_some_and(|(host, path)| {
        let host = host.trim_start_matches(['<', '(', '[', '"', '\'']);
        !path.is_empty() && host.contains('.') && host.bytes().any(|b| b.is_ascii_lowercase())
    });
    // A ticket, or what a mail client left of a link: long, and like nothing a person writes.
    let is_token = word.len() >= 20
        && is_url_text(&word)
        && word.bytes().any(|byte| byte.is_ascii_digit())
        && word.bytes().any(|byte| byte.is_ascii_lowercase());
    has_path || is_token || SIGNS.iter().any(|sign| has(&word, sign))
}

/// A line of its own below a link, of one word like no other: long, or with signs or capitals inside.
fn is_part_of_link(word: &str) -> bool {
    let mut small_before = false;
    let has_capital_inside = word.bytes().any(|byte| {
        let is_inside = small_before && byte.is_ascii_uppercase();
        small_before = byte.is_ascii_lowercase();
        is_inside
    });
    let has_sign = word
        .bytes()
        .any(|byte| byte.is_ascii_digit() || b"=&%_/?".contains(&byte));
    is_url_text(word) && (word.len() >= 16 || has_sign || has_capital_inside)
}

fn is_url_text(word: &str) -> bool {
    word.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~%=&?+/#:;,<>()[]\"'".contains(&byte))
}

/// As "K7F-2Q9": capitals and digits.
fn is_letter_code(word: &str) -> bool {
    let code = word.trim_matches(|letter: char| letter.is_ascii_punctuation());
    (6..=12).contains(&code.len())
        && code
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-')
        && code.bytes().any(|byte| byte.is_ascii_digit())
        && code.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// Runs of four or more digits, of any script, with nothing but spaces and punctuation between them.
fn redact_digits(text: &str) -> String {
    const DIGITS_MIN: u32 = 4;
    let mut out = String::new();
    // The run so far, what follows its last digit, and how many digits it has.
    let (mut run, mut gap, mut digits) = (String::new(), String::new(), 0_u32);
    let end_run = |out: &mut String, run: &mut String, digits: &mut u32| {
        out.push_str(if *digits >= DIGITS_MIN {
            CODE_REMOVED
        } else {
            run
        });
        run.clear();
        *digits = 0;
    };
    for letter in text.chars() {
        if is_digit(letter) {
            run.push_str(&gap);
            gap.clear();
            run.push(letter);
            digits = digits.saturating_add(1);
        } else if digits > 0 && is_between(letter) {
            gap.push(letter);
        } else {
            end_run(&mut out, &mut run, &mut digits);
            out.push_str(&gap);
            gap.clear();
            out.push(letter);
        }
    }
    end_run(&mut out, &mut run, &mut digits);
    out.push_str(&gap);
    out
}

fn is_between(letter: char) -> bool {
    letter.is_ascii_whitespace()
        || letter.is_ascii_punctuation()
        || matches!(letter, '\u{b7}' | '\u{2010}'..='\u{2027}' | '\u{2212}')
}

/// Digits people read as such: of other scripts, full-width, mathematical, circled, raised, lowered.
fn is_digit(letter: char) -> bool {
    matches!(letter,
        '0'..='9' | '\u{b2}' | '\u{b3}' | '\u{b9}' | '\u{660}'..='\u{669}' | '\u{6f0}'..='\u{6f9}'
        | '\u{7c0}'..='\u{7c9}' | '\u{966}'..='\u{96f}' | '\u{9e6}'..='\u{9ef}'
        | '\u{e50}'..='\u{e59}' | '\u{2070}' | '\u{2074}'..='\u{2079}' | '\u{2080}'..='\u{2089}'
        | '\u{2460}'..='\u{249b}' | '\u{24ea}'..='\u{24ff}' | '\u{2776}'..='\u{2793}'
        | '\u{ff10}'..='\u{ff19}' | '\u{1d7ce}'..='\u{1d7ff}' | '\u{1fbf0}'..='\u{1fbf9}')
}

#[cfg(test)]
mod tests;
