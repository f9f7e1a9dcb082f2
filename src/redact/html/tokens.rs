//! Tags and texts, as `html5gum` reads them.

use html5gum::{
    Error, Reader, Span, Tokenizer,
    emitters::callback::{CallbackEmitter, CallbackEvent},
};
use std::convert::Infallible;

/// Takes tags and texts.
pub trait Sink {
    fn start(&mut self, tag: &Tag);
    fn end(&mut self, name: &str);
    fn text(&mut self, text: &str);
    fn other(&mut self, kind: Other);
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Other {
    Comment,
    Doctype,
    /// The body ended inside a tag or a comment, which is lost with the text that it took along.
    BrokenTag,
}

/// A start tag, with the attributes that say how it looks.
#[derive(Default)]
pub struct Tag {
    pub name: String,
    /// In small letters.
    pub style: String,
    /// Its classes and its id, in small letters.
    pub marks: String,
    pub is_hidden: bool,
    pub is_self_closing: bool,
    attribute: Attribute,
    has_style: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Attribute {
    Style,
    Mark,
    #[default]
    Other,
}

impl Tag {
    fn begin_attribute(&mut self, name: &[u8]) {
        self.attribute = match name {
            // Of two attributes of one name the first holds.
            b"style" if !self.has_style => Attribute::Style,
            b"class" | b"id" => Attribute::Mark,
            _ => Attribute::Other,
        };
        self.has_style |= name == b"style";
        self.is_hidden |= name == b"hidden";
    }

    fn put_value(&mut self, value: &[u8]) {
        let value = String::from_utf8_lossy(value).to_ascii_lowercase();
        match self.attribute {
            Attribute::Style => self.style = value,
            Attribute::Mark => {
                self.marks.push(' ');
                self.marks.push_str(&value);
            }
            Attribute::Other => {}
        }
    }

    pub fn has_any(&self, marks: &[&str]) -> bool {
        marks.iter().any(|mark| self.marks.contains(mark))
    }
}

pub fn read(body: &str, sink: &mut impl Sink) {
    let mut tag = Tag::default();
    let mut emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, _: Span<()>| {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                tag = Tag {
                    name: String::from_utf8_lossy(name).into_owned(),
                    ..Tag::default()
                }
            }
            CallbackEvent::AttributeName { name } => tag.begin_attribute(name),
            CallbackEvent::AttributeValue { value } => tag.put_value(value),
            CallbackEvent::CloseStartTag { self_closing } => {
                tag.is_self_closing = self_closing;
                sink.start(&tag);
            }
            CallbackEvent::EndTag { name } => sink.end(&String::from_utf8_lossy(name)),
            CallbackEvent::String { value } => sink.text(&String::from_utf8_lossy(value)),
            CallbackEvent::Doctype { .. } => sink.other(Other::Doctype),
            CallbackEvent::Comment { .. } => sink.other(Other::Comment),
            CallbackEvent::Error(Error::EofInTag | Error::EofInComment) => {
                sink.other(Other::BrokenTag);
            }
            CallbackEvent::Error(_) => {}
        }
        None::<Infallible>
    });
    // As browsers do: what is inside `<script>` or `<title>` is no HTML.
    emitter.naively_switch_states(true);
    let Ok(()) = Tokenizer::new_with_emitter(Source(body.as_bytes()), emitter).finish();
}

/// The body. The compiler copies the crate's own reader into each state of the tokenizer: 14 kB more of the upload.
pub struct Source<'a>(pub &'a [u8]);

impl Reader for Source<'_> {
    type Error = Infallible;

    #[inline(never)]
    fn read_byte(&mut self) -> Result<Option<u8>, Infallible> {
        let Some((first, rest)) = self.0.split_first() else {
            return Ok(None);
        };
        self.0 = rest;
        Ok(Some(*first))
    }

    #[inline(never)]
    fn try_read_string(&mut self, text: &[u8], is_case_kept: bool) -> Result<bool, Infallible> {
        let Some((start, rest)) = self.0.split_at_checked(text.len()) else {
            return Ok(false);
        };
        let is_it = if is_case_kept {
            start == text
        } else {
            start.eq_ignore_ascii_case(text)
        };
        if is_it {
            self.0 = rest;
        }
        Ok(is_it)
    }

    #[inline(never)]
    fn read_until<'b>(
        &'b mut self,
        needle: &[u8],
        _: &'b mut [u8; 4],
    ) -> Result<Option<&'b [u8]>, Infallible> {
        let length = match self.0.iter().position(|byte| needle.contains(byte)) {
            None => self.0.len(),
            Some(0) => 1,
            Some(length) => length,
        };
        let (read, rest) = self.0.split_at_checked(length).unwrap_or((self.0, &[]));
        self.0 = rest;
        Ok((!read.is_empty()).then_some(read))
    }
}
