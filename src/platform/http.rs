//! Requests out, and what a request in and its answer are made of.

use super::{
    bindings::{self, NewResponse, clear_timeout, object, set_timeout, settled},
    env::{Platform, message_of},
};
use crate::{
    model::time::millis,
    ports::{Http, HttpError, HttpMethod, HttpRequest, HttpResponse},
};
use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};
use worker::{
    js_sys::{Array, Function, Promise, futures::JsFuture},
    wasm_bindgen::{JsCast, JsValue},
    web_sys::{AbortController, AbortSignal, Request, Response},
};

impl Http for Platform {
    async fn fetch(
        &self,
        request: HttpRequest,
        timeout: Duration,
    ) -> Result<HttpResponse, HttpError> {
        let Ok(controller) = AbortController::new() else {
            return Err(HttpError::Unreachable);
        };
        let mut exchange = pin!(exchange(request, controller.signal()));
        // The timer also covers the reading of the body.
        let mut timer = Timer::start(timeout);
        poll_fn(|context| {
            if let Poll::Ready(response) = exchange.as_mut().poll(context) {
                return Poll::Ready(response.map_err(|error| cause(&error)));
            }
            if Pin::new(&mut timer.over).poll(context).is_ready() {
                controller.abort();
                return Poll::Ready(Err(HttpError::Timeout));
            }
            Poll::Pending
        })
        .await
    }
}

async fn exchange(request: HttpRequest, signal: AbortSignal) -> Result<HttpResponse, JsValue> {
    let headers = request.headers.iter();
    let headers = object(headers.map(|(name, value)| (*name, value.into())));
    let method = match request.method {
        HttpMethod::Get => "GET",
        HttpMethod::Post => "POST",
    };
    let init = object([
        ("method", method.into()),
        ("headers", headers.into()),
        (
            "body",
            request.body.map_or(JsValue::UNDEFINED, JsValue::from),
        ),
        ("redirect", "manual".into()),
        ("signal", signal.into()),
    ]);
    let response: Response = settled(bindings::fetch(&request.url, &init))
        .await?
        .unchecked_into();
    let headers = Array::from(&response.headers())
        .into_iter()
        .filter_map(|header| {
            let header: Array = header.unchecked_into();
            Some((header.get(0).as_string()?, header.get(1).as_string()?))
        });
    Ok(HttpResponse {
        status: response.status(),
        headers: headers.collect(),
        body: settled(response.text())
            .await?
            .as_string()
            .unwrap_or_default(),
    })
}

/// A time that will be over; stopped when dropped.
struct Timer {
    id: JsValue,
    over: JsFuture,
    end: Option<Function>,
}

impl Timer {
    fn start(time: Duration) -> Self {
        let mut id = JsValue::UNDEFINED;
        // Not `Function::default()`: it compiles source text, which Workers forbid.
        let mut end = None;
        let milliseconds = i32::try_from(millis(time)).unwrap_or(i32::MAX);
        let over = Promise::new(&mut |resolve, _| {
            id = set_timeout(&resolve, milliseconds);
            end = Some(resolve);
        });
        Self {
            id,
            over: over.into(),
            end,
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        clear_timeout(&self.id);
        // A promise that never ends keeps what waits for it in memory.
        if let Some(end) = &self.end {
            let _ = end.call0(&JsValue::UNDEFINED);
        }
    }
}

/// Why there is no answer (workerd's own words).
fn cause(error: &JsValue) -> HttpError {
    if message_of(error).contains("connection lost") {
        HttpError::ConnectionLost
    } else {
        HttpError::Unreachable
    }
}

/// A header of a request; `name` in lower case.
pub fn header(request: &Request, name: &str) -> Option<String> {
    request.headers().get(name).ok().flatten()
}

/// The answer to a request.
pub fn response(code: u16, body: &str, headers: &[(&str, &str)]) -> Response {
    let headers = headers.iter();
    let headers = object(headers.map(|(name, value)| (*name, JsValue::from_str(value))));
    let init = object([("status", code.into()), ("headers", headers.into())]);
    NewResponse::new(body, &init).unchecked_into()
}
