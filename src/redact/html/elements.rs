//! What the HTML standard says of elements, by their names.

/// HTML mails have it. Other mails hold addresses in angle brackets, which are no tags.
pub const KNOWN: u16 = 1;
/// It has no content.
pub const VOID: u16 = 1 << 1;
/// Browsers do not show its content as text, whatever its style.
pub const NEVER: u16 = 1 << 2;
/// It begins and ends a line.
pub const LINE: u16 = 1 << 3;
/// It may stand in a head; any other ends the head.
pub const HEAD: u16 = 1 << 4;
/// Its start tag ends a paragraph.
pub const PARA: u16 = 1 << 5;
/// Its end tag ends it alone, and not what was opened inside.
pub const FORMAT: u16 = 1 << 6;
/// Its start tag ends a drawing.
pub const DRAW: u16 = 1 << 7;
/// End tags of others do not reach over it.
pub const SCOPE: u16 = 1 << 8;
/// The standard's "special": the end tag of one that is not does not reach over it.
pub const SPECIAL: u16 = 1 << 9;
/// It shows the line breaks of the source.
pub const PRE: u16 = 1 << 10;
/// It is a part of a table.
pub const TABLE: u16 = 1 << 11;

/// What is known of an element.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its place in the table; all that are not in it share one.
    pub id: usize,
    flags: u16,
}

impl Kind {
    pub fn of(name: &str) -> Self {
        let found = TABLE_OF_NAMES.binary_search_by(|(known, _)| (*known).cmp(name));
        let id = found.unwrap_or(TABLE_OF_NAMES.len());
        let flags = TABLE_OF_NAMES.get(id).map_or(0, |(_, flags)| *flags);
        Self { id, flags }
    }

    pub fn is(self, flags: u16) -> bool {
        self.flags & flags != 0
    }
}

/// How many kinds there are.
pub const KINDS: usize = TABLE_OF_NAMES.len().saturating_add(1);

/// Sorted.
#[rustfmt::skip]
const TABLE_OF_NAMES: &[(&str, u16)] = &[
    ("a", KNOWN | FORMAT | DRAW),
    ("address", LINE | PARA | DRAW | SPECIAL),
    ("applet", SCOPE | SPECIAL),
    ("area", VOID),
    ("article", LINE | PARA | DRAW | SPECIAL),
    ("aside", LINE | PARA | DRAW | SPECIAL),
    ("audio", NEVER | SPECIAL),
    ("b", KNOWN | FORMAT | DRAW),
    ("base", VOID | HEAD),
    ("basefont", VOID | HEAD),
    ("bgsound", VOID | HEAD),
    ("big", FORMAT | DRAW),
    ("blockquote", KNOWN | LINE | PARA | DRAW | SPECIAL),
    ("body", KNOWN | DRAW | SPECIAL),
    ("br", KNOWN | VOID | LINE | DRAW),
    ("button", SPECIAL),
    ("canvas", NEVER | SPECIAL),
    ("caption", SCOPE | SPECIAL | TABLE),
    ("center", KNOWN | LINE | PARA | DRAW | SPECIAL),
    ("code", FORMAT | DRAW),
    ("col", VOID),
    ("colgroup", SPECIAL),
    ("datalist", NEVER | SPECIAL),
    ("dd", KNOWN | LINE | PARA | DRAW | SPECIAL),
    ("details", LINE | PARA | DRAW | SPECIAL),
    ("dialog", PARA | SPECIAL),
    ("dir", PARA | SPECIAL),
    ("div", KNOWN | LINE | PARA | DRAW | SPECIAL),
    ("dl", KNOWN | LINE | PARA | DRAW | SPECIAL),
    ("dt", KNOWN | LINE | PARA | DRAW | SPECIAL),
    ("em", KNOWN | FORMAT | DRAW),
    ("embed", VOID),
    ("fieldset", LINE | PARA | DRAW | SPECIAL),
    ("figure", LINE | PARA | DRAW | SPECIAL),
    ("font", KNOWN | FORMAT | DRAW),
    ("footer", LINE | PARA | DRAW | SPECIAL),
    ("form", LINE | PARA | DRAW | SPECIAL),
    ("frame", VOID),
    ("frameset", SPECIAL),
    ("h1", KNOWN | LINE | PARA | DRAW | SPECIAL),
    ("h2", KNOWN | LINE | PARA | DRAW | SPECIAL),
    ("h3", KNOWN | LINE | PARA | DRAW | SPECIAL),
    ("h4", KNOWN | LINE | PARA | DRAW | SPECIAL),
    ("h5", LINE | PARA | DRAW | SPECIAL),
    ("h6", LINE | PARA | DRAW | SPECIAL),
    ("head", KNOWN | NEVER | HEAD | DRAW | SPECIAL),
    ("header", LINE | PARA | DRAW | SPECIAL),
    ("hgroup", PARA | SPECIAL),
    ("hr", KNOWN | VOID | LINE | PARA | DRAW | SPECIAL),
    ("html", KNOWN | HEAD | SCOPE | SPECIAL),
    ("i", KNOWN | FORMAT | DRAW),
    ("iframe", NEVER | SPECIAL),
    ("img", KNOWN | VOID | DRAW),
    ("input", VOID),
    ("li", KNOWN | LINE | PARA | DRAW | SPECIAL),
    ("link", VOID | HEAD),
    ("listing", PARA | SPECIAL | PRE),
    ("main", LINE | PARA | DRAW | SPECIAL),
    ("marquee", SCOPE | SPECIAL),
    ("math", 0),
    ("menu", PARA | SPECIAL),
    ("meta", KNOWN | VOID | HEAD | DRAW),
    ("nav", LINE | PARA | DRAW | SPECIAL),
    ("nobr", FORMAT | DRAW),
    ("noembed", NEVER | SPECIAL),
    ("noframes", NEVER | HEAD | SPECIAL),
    ("noscript", NEVER | HEAD | SPECIAL),
    ("object", SCOPE | SPECIAL),
    ("ol", KNOWN | LINE | PARA | DRAW | SPECIAL),
    ("option", 0),
    ("p", KNOWN | LINE | PARA | DRAW | SPECIAL),
    ("param", VOID),
    ("plaintext", PARA | SPECIAL | PRE),
    ("pre", KNOWN | LINE | PARA | DRAW | SPECIAL | PRE),
    ("s", FORMAT | DRAW),
    ("script", NEVER | HEAD | SPECIAL),
    ("search", PARA | SPECIAL),
    ("section", KNOWN | LINE | PARA | DRAW | SPECIAL),
    ("select", SPECIAL),
    ("small", FORMAT | DRAW),
    ("source", VOID),
    ("span", KNOWN | DRAW),
    ("strike", FORMAT | DRAW),
    ("strong", KNOWN | FORMAT | DRAW),
    ("style", KNOWN | NEVER | HEAD | SPECIAL),
    ("sub", DRAW),
    ("summary", LINE | PARA | DRAW | SPECIAL),
    ("sup", DRAW),
    ("svg", NEVER | SPECIAL),
    ("table", KNOWN | LINE | PARA | DRAW | SCOPE | SPECIAL | TABLE),
    ("tbody", KNOWN | SPECIAL | TABLE),
    ("td", KNOWN | SCOPE | SPECIAL | TABLE),
    ("template", NEVER | HEAD | SCOPE | SPECIAL),
    ("textarea", SPECIAL | PRE),
    ("tfoot", SPECIAL | TABLE),
    ("th", KNOWN | SCOPE | SPECIAL | TABLE),
    ("thead", SPECIAL | TABLE),
    ("title", KNOWN | NEVER | HEAD | SPECIAL),
    ("tr", KNOWN | LINE | DRAW | SPECIAL | TABLE),
    ("track", VOID),
    ("tt", FORMAT | DRAW),
    ("u", KNOWN | FORMAT | DRAW),
    ("ul", KNOWN | LINE | PARA | DRAW | SPECIAL),
    ("var", DRAW),
    ("video", NEVER | SPECIAL),
    ("wbr", VOID),
    ("xmp", PARA | SPECIAL | PRE),
];

/// Which open elements a start tag ends, and which it does not reach over. Paragraphs are apart.
pub fn ended_by(name: &str) -> Option<Ended> {
    const ITEM: &[&str] = &["li"];
    const TERM: &[&str] = &["dd", "dt"];
    const CELL: &[&str] = &["td", "th"];
    const ROW: &[&str] = &["tr"];
    const GROUP: &[&str] = &["thead", "tbody", "tfoot", "caption", "colgroup"];
    const OPTION: &[&str] = &["option"];
    const LINK: &[&str] = &["a"];
    match name {
        "li" => Some((ITEM, Limit::List)),
        "dd" | "dt" => Some((TERM, Limit::List)),
        "td" | "th" => Some((CELL, Limit::Table)),
        "tr" => Some((ROW, Limit::Table)),
        "thead" | "tbody" | "tfoot" => Some((GROUP, Limit::Table)),
        "option" => Some((OPTION, Limit::Special)),
        "a" => Some((LINK, Limit::Scope)),
        _ => None,
    }
}

pub type Ended = (&'static [&'static str], Limit);

/// What a search for an open element does not reach over.
#[derive(Clone, Copy)]
pub enum Limit {
    None,
    List,
    Table,
    Paragraph,
    Scope,
    Special,
}

impl Limit {
    pub fn stops_at(self, name: &str, kind: Kind) -> bool {
        match self {
            Self::None => false,
            Self::List => kind.is(SPECIAL) && !matches!(name, "address" | "div" | "p"),
            Self::Table => matches!(name, "table" | "template" | "html"),
            Self::Paragraph => kind.is(SCOPE) || name == "button",
            Self::Scope => kind.is(SCOPE),
            Self::Special => kind.is(SPECIAL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(TABLE_OF_NAMES.is_sorted_by(|(a, _), (b, _)| a < b));
    }
}
