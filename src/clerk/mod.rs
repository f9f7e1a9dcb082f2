//! Clerk: what its webhook asks for, and its Backend API.

pub mod api;
pub mod event;
