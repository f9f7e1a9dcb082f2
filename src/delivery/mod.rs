//! The heart: one mail, exactly once, whatever fails in between. `docs/delivery.md` has the argument.

pub mod attempt;
pub mod identity;
pub mod record;
