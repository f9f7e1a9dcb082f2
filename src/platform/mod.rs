//! The ports on Cloudflare Workers, and the requests and queue batches as they arrive there.

mod bindings;
mod body;
mod env;
mod http;
mod kv;
mod promise;
mod queue;
mod socket;
mod timer;

pub use bindings::header;
pub use body::read_body;
pub use env::{Platform, setting};
pub use http::{json_response, response};
pub use promise::promise;
pub use queue::QueueMessage;
