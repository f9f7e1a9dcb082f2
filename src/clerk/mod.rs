//! Clerk: what its webhook asks for.

pub mod event;
