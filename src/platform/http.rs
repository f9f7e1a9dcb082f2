//! Requests out, and what a request in and its answer are made of.

use super::{
    bindings::{self, HeaderList, NewHeaders, NewResponse, constant, object, settled},
    body::read_answer,
    env::{Platform, message_of},
    timer::Sleep,
};
use crate::ports::{
    ANSWER_BYTES_MAX, Http, HttpError, HttpMethod, HttpRequest, HttpResponse, WhenLate,
};
use futures_util::future::{Either, select};
use std::{cell::RefCell, pin::pin, time::Duration};
use worker::{
    js_sys::Object,
    wasm_bindgen::{JsCast, JsValue},
    web_sys::{AbortController, Response},
};

/// The headers of an answer that somebody asks for.
const HEADERS: [&str; 3] = ["idempotent-response", "retry-after", "x-request-id"];

impl Http for Platform {
    async fn fetch(
        &self,
        request: HttpRequest,
        timeout: Option<Duration>,
    ) -> Result<HttpResponse, HttpError> {
        let controller = match request.when_late {
            WhenLate::Abort => AbortController::new().ok(),
            WhenLate::LetGo => None,
        };
        let exchange = pin!(exchange(request, controller.as_ref()));
        let Some(timeout) = timeout else {
            return exchange.await.map_err(|error| cause(&error));
        };
        // The timer also covers the reading of the body.
        let mut timer = Sleep::start(timeout);
        match select(exchange, pin!(timer.over())).await {
            Either::Left((response, _)) => response.map_err(|error| cause(&error)),
            Either::Right(_) => {
                if let Some(controller) = &controller {
                    controller.abort();
                }
                Err(HttpError::Timeout)
            }
        }
    }
}

async fn exchange(
    request: HttpRequest,
    controller: Option<&AbortController>,
) -> Result<HttpResponse, JsValue> {
    let headers = request.headers.iter();
    let headers = object(headers.map(|(name, value)| (*name, value.into())));
    let method = match request.method {
        HttpMethod::Get => constant("GET"),
        HttpMethod::Post => constant("POST"),
    };
    let body = request.body.map(|body| ("body", JsValue::from(body)));
    let signal = controller.map(|controller| ("signal", controller.signal().into()));
    let fixed = [
        ("method", method),
        ("headers", headers.into()),
        ("redirect", constant("manual")),
    ];
    let init = object(fixed.into_iter().chain(body).chain(signal));
    let response: Response = settled(bindings::fetch(&request.url, &init))
        .await?
        .unchecked_into();
    let answered: HeaderList = response.headers().unchecked_into();
    let headers = HEADERS.iter().filter_map(|name| {
        let value = answered.get(&constant(name)).as_string()?;
        Some(((*name).to_owned(), value))
    });
    let headers = headers.collect();
    // As bytes: a text would be turned into JavaScript's and back.
    let bytes = read_answer(&response, ANSWER_BYTES_MAX).await?;
    let is_truncated = bytes.is_none();
    let body = String::from_utf8(bytes.unwrap_or_default())
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    Ok(HttpResponse {
        status: response.status(),
        headers,
        body,
        is_truncated,
    })
}

/// Why there is no answer (workerd's own words).
fn cause(error: &JsValue) -> HttpError {
    if message_of(error).contains("connection lost") {
        HttpError::ConnectionLost
    } else {
        HttpError::Unreachable
    }
}

/// The answer to a request.
pub fn response(code: u16, body: &str, headers: &[(&'static str, &str)]) -> Response {
    let headers = headers.iter();
    let headers = object(headers.map(|(name, value)| (*name, JsValue::from_str(value))));
    let init = object([("status", code.into()), ("headers", headers.into())]);
    NewResponse::new(body, &init).unchecked_into()
}

/// The answer to a webhook: JSON that nobody may keep. What is the same for all of a status code is made once.
pub fn json_response(code: u16, body: &str) -> Response {
    thread_local! {
        static KNOWN: RefCell<Vec<(u16, Object)>> = RefCell::default();
    }
    let init = KNOWN.with_borrow_mut(|known| {
        if let Some((_, init)) = known.iter().find(|(status, _)| *status == code) {
            return init.clone();
        }
        let headers = object([
            ("content-type", constant("application/json")),
            ("cache-control", constant("no-store")),
        ]);
        let headers = NewHeaders::new(&headers);
        let init = object([("status", code.into()), ("headers", headers.into())]);
        known.push((code, init.clone()));
        init
    });
    NewResponse::new(body, &init).unchecked_into()
}
