//! Bodies, read up to a limit.

use super::{
    bindings::{
        DecompressionStream, HeaderList, NewResponse, Stream, constant, field, header, settled,
    },
    env::Platform,
    promise::Awaited,
};
use crate::ports::Gunzip;
use worker::{
    js_sys::Uint8Array,
    wasm_bindgen::{JsCast, JsValue},
    web_sys::{ReadableStream, ReadableStreamDefaultReader, Request, Response},
};

impl Gunzip for Platform {
    async fn gunzip(&self, packed: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
        let packed: Response = NewResponse::of_bytes(packed).unchecked_into();
        let stream = packed.body()?;
        let unpacked = stream
            .unchecked_ref::<Stream>()
            .pipe_through(&DecompressionStream::new("gzip"))
            .ok()?;
        // What is cut off or no gzip ends in an error.
        match read(&unpacked, bytes_max).await {
            Read::Whole(unpacked) => Some(unpacked),
            Read::CutOff(..) | Read::TooMuch => None,
        }
    }
}

/// Reads a request's body, up to `bytes_max` real bytes. `None`: there are more.
pub async fn read_body(request: &Request, bytes_max: usize) -> Option<Vec<u8>> {
    let announced =
        header(request, "content-length").and_then(|length| length.parse::<usize>().ok());
    if let Some(length) = announced {
        if length > bytes_max {
            return None;
        }
        // The runtime holds the sender to the length, so all of it can be read in one go. One that is cut off fails the
        // signature.
        let buffer = settled(request.array_buffer()).await.unwrap_or_default();
        return Some(Uint8Array::new(&buffer).to_vec());
    }
    let Some(stream) = request.body() else {
        return Some(Vec::new());
    };
    match read(&stream, bytes_max).await {
        // Cut off: what came fails the signature.
        Read::Whole(body) | Read::CutOff(body, _) => Some(body),
        Read::TooMuch => None,
    }
}

/// Reads an answer's body, up to `bytes_max` real bytes. `None`: there are more.
///
/// # Errors
/// It is cut off.
pub async fn read_answer(
    response: &Response,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, JsValue> {
    let headers: HeaderList = response.headers().unchecked_into();
    // What is announced of a compressed body is its compressed length.
    let is_plain = headers.get(&constant("content-encoding")).is_null();
    let announced = headers.get(&constant("content-length")).as_string();
    let announced = announced.and_then(|length| length.parse::<usize>().ok());
    let mut bytes_max = bytes_max;
    match announced.filter(|_| is_plain) {
        Some(length) if length <= bytes_max => {
            let buffer = settled(response.array_buffer()).await?;
            return Ok(Some(Uint8Array::new(&buffer).to_vec()));
        }
        // Its first bytes are one too many.
        Some(_) => bytes_max = 0,
        None => {}
    }
    let Some(stream) = response.body() else {
        return Ok(Some(Vec::new()));
    };
    match read(&stream, bytes_max).await {
        Read::Whole(body) => Ok(Some(body)),
        Read::CutOff(_, error) => Err(error),
        Read::TooMuch => Ok(None),
    }
}

/// What came out of a stream.
enum Read {
    Whole(Vec<u8>),
    /// It ended in the error after this.
    CutOff(Vec<u8>, JsValue),
    TooMuch,
}

async fn read(stream: &ReadableStream, bytes_max: usize) -> Read {
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let mut bytes = Vec::new();
    loop {
        let read = match settled(Ok(reader.read())).await {
            Ok(read) => read,
            Err(error) => return Read::CutOff(bytes, error),
        };
        let Ok(chunk) = field(&read, "value").dyn_into::<Uint8Array>() else {
            return Read::Whole(bytes);
        };
        let chunk = chunk.to_vec();
        if bytes.len().saturating_add(chunk.len()) > bytes_max {
            // Not waited for; followed, so that its failing is nobody's surprise.
            drop(Awaited::promise(&reader.cancel()));
            return Read::TooMuch;
        }
        bytes.extend_from_slice(&chunk);
    }
}
