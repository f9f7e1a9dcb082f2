//! What is the stand-in's own: its page of mails and its controls.

pub mod control;
pub mod inbox;
