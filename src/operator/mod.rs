//! The operator's side: who is authorized, the API and the page, alerts, scheduled checks, a first look at templates.

pub mod alerts;
pub mod api;
pub mod auth;
pub mod checks;
pub mod first_look;
pub mod form;
pub mod page;
pub mod probe;
mod row;
pub mod settings;
mod summary;
