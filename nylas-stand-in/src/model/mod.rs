//! Plain data: mails, requests, answers, rules.

pub mod account;
pub mod answer;
pub mod call;
pub mod mail;
pub mod mailbox;
pub mod plan;
pub mod script;
pub mod unknowns;
pub mod webhook;
