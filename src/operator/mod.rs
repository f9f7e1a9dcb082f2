//! The operator's side: who is authorized, the API and the page, alerts, scheduled checks, a first look at templates.

pub mod about;
mod accounts;
pub mod alerts;
pub mod api;
mod attention;
pub mod auth;
pub mod checks;
pub mod first_look;
pub mod form;
mod mails;
pub mod page;
pub mod probe;
mod row;
pub mod settings;
pub mod standing;
mod summary;
mod words;
