//! The operator: who is one, the API and the page, alerts, what is checked on a schedule, a first look at templates.

pub mod alerts;
pub mod api;
pub mod auth;
pub mod checks;
pub mod first_look;
pub mod form;
pub mod page;
mod row;
pub mod settings;
mod summary;
