//! One mail, exactly once, whatever fails in between. `docs/delivery.md` has the rule and why it holds.

pub mod attempt;
pub mod folders;
pub mod identity;
pub mod record;
pub mod smtp;
