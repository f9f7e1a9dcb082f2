//! What a reply says, without what could harm whoever reads it.
//!
//! [`text`] is the way in. A body goes through these modules in this order: `html` (what a reader sees), `history`
//! (new or quoted), `normal` (one spelling of each character), then `links`, `codes` and `digits`, which remove by
//! shape. `docs/replies.md` lists the shapes.

pub mod text;

mod codes;
mod digits;
mod history;
mod html;
mod links;
mod marks;
mod normal;
mod words;

const CODE_REMOVED: &str = "[code removed]";
const LINK_REMOVED: &str = "[link removed]";
