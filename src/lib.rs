//! clerk-nylas-relay: a Cloudflare Worker that sends Clerk's e-mails through Nylas.

use worker::{Context, Env, MessageBatch, Request, Response, Result, event};

#[event(fetch)]
async fn fetch(_request: Request, _env: Env, _context: Context) -> Result<Response> {
    Response::ok("skeleton")
}

#[event(queue)]
async fn queue(_batch: MessageBatch<String>, _env: Env, _context: Context) -> Result<()> {
    Ok(())
}
