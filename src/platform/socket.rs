//! Connections to mail servers, by `cloudflare:sockets`
//! (<https://developers.cloudflare.com/workers/runtime-apis/tcp-sockets/>).
//!
//! The module is asked for with the first connection: without `SMTP_HOST` it is never loaded. Crate `worker` has a
//! `Socket` that unwraps inside. What is known of the runtime's own: `opened` resolves before the handshake is complete
//! (workerd#3949), and after STARTTLS `close()` may never resolve (workerd#2060). So neither is waited for.

use super::{
    bindings::{constant, field, object, settled},
    env::{Platform, message_of},
    promise::Awaited,
};
use crate::ports::{Encryption, Socket, SocketError, Sockets};
use worker::{
    js_sys::{Object, Promise, Uint8Array},
    wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen},
    web_sys::{ReadableStream, ReadableStreamDefaultReader},
};

#[wasm_bindgen(
    wasm_bindgen = worker::wasm_bindgen,
    js_sys = worker::js_sys,
    inline_js = "export const connect_to = (address, options) =>
        import('cloudflare:sockets').then(({ connect }) => ({ socket: connect(address, options) }));"
)]
extern "C" {
    /// Resolves to `{socket}`. Not to the socket itself: nothing here must depend on what a promise makes of it.
    fn connect_to(address: &Object, options: &Object) -> Promise;

    type TcpSocket;

    #[wasm_bindgen(method, getter)]
    fn readable(this: &TcpSocket) -> ReadableStream;

    #[wasm_bindgen(method, getter)]
    fn writable(this: &TcpSocket) -> WritableStream;

    /// A new socket in place of this one, whose streams must not be in use.
    #[wasm_bindgen(method, catch, js_name = startTls)]
    fn start_tls(this: &TcpSocket) -> Result<TcpSocket, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn close(this: &TcpSocket) -> Result<Promise, JsValue>;

    type WritableStream;

    #[wasm_bindgen(method, catch, js_name = getWriter)]
    fn get_writer(this: &WritableStream) -> Result<Writer, JsValue>;

    type Writer;

    #[wasm_bindgen(method, catch)]
    fn write(this: &Writer, bytes: &Uint8Array) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, js_name = releaseLock)]
    fn release_lock(this: &Writer);
}

/// A connection.
pub struct Connection {
    socket: TcpSocket,
    reader: ReadableStreamDefaultReader,
    writer: Writer,
    /// Whether another took its place, on the same wire.
    is_replaced: bool,
}

impl Sockets for Platform {
    type Socket = Connection;

    async fn connect(
        &self,
        host: &str,
        port: u16,
        encryption: Encryption,
    ) -> Result<Connection, SocketError> {
        let address = object([("hostname", host.into()), ("port", port.into())]);
        let secure = match encryption {
            Encryption::Implicit => constant("on"),
            Encryption::StartTls => constant("starttls"),
        };
        let options = object([("secureTransport", secure), ("allowHalfOpen", false.into())]);
        let connected = settled(Ok(connect_to(&address, &options))).await;
        let connected = connected.map_err(|error| cause(&error))?;
        Connection::of(field(&connected, "socket").unchecked_into())
    }
}

impl Connection {
    fn of(socket: TcpSocket) -> Result<Self, SocketError> {
        let reader = socket.readable().get_reader().unchecked_into();
        let writer = socket.writable().get_writer();
        // Why it fails is asked of the streams. Followed, so that its failing is nobody's surprise.
        for promise in ["opened", "closed"] {
            if let Ok(promise) = field(socket.as_ref(), promise).dyn_into::<Promise>() {
                drop(Awaited::promise(&promise));
            }
        }
        Ok(Self {
            reader,
            writer: writer.map_err(|error| cause(&error))?,
            socket,
            is_replaced: false,
        })
    }
}

impl Socket for Connection {
    async fn read(&mut self) -> Result<Vec<u8>, SocketError> {
        let read = settled(Ok(self.reader.read())).await;
        let read = read.map_err(|error| cause(&error))?;
        let chunk = field(&read, "value").dyn_into::<Uint8Array>();
        Ok(chunk.map(|chunk| chunk.to_vec()).unwrap_or_default())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), SocketError> {
        let written = settled(self.writer.write(&Uint8Array::from(bytes))).await;
        written.map(drop).map_err(|error| cause(&error))
    }

    async fn start_tls(&mut self) -> Result<(), SocketError> {
        self.reader.release_lock();
        self.writer.release_lock();
        let encrypted = self.socket.start_tls();
        let encrypted = encrypted.map_err(|_| SocketError::NotEncrypted)?;
        let connection = Self::of(encrypted)?;
        self.is_replaced = true;
        *self = connection;
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.is_replaced {
            return;
        }
        if let Ok(closing) = self.socket.close() {
            drop(Awaited::promise(&closing));
        }
    }
}

/// Why a connection failed, in the runtime's own words (`kj::TlsConnection`, workerd's `sockets.c++`).
fn cause(error: &JsValue) -> SocketError {
    let message = message_of(error);
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&["TLS", "tls", "SSL", "certificate"]) {
        SocketError::NotEncrypted
    } else if says(&["refused", "connect", "proxy request failed", "DNS"]) {
        SocketError::Unreachable
    } else {
        SocketError::Lost
    }
}
