//! What Nylas does not have: the page of mails and the controls.

pub mod control;
pub mod inbox;
