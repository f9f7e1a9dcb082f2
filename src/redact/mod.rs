//! What a reply says, without what could harm whoever reads it.

pub mod text;

mod codes;
mod history;
mod html;
mod scan;
