//! Connections to mail servers, by `cloudflare:sockets`
//! (<https://developers.cloudflare.com/workers/runtime-apis/tcp-sockets/>).
//!
//! The module is asked for with the first connection: without `SMTP_HOST` it is never loaded. Crate `worker` has a
//! `Socket` that unwraps inside. What is known of the runtime's own: `opened` resolves before the handshake is complete
//! (workerd#3949), and after STARTTLS `close()` may never resolve (workerd#2060). So neither is waited for.

use super::{
    bindings::{constant, field, object, settled},
    env::Platform,
    promise::Awaited,
    timer::Sleep,
};
use crate::ports::{Encryption, Socket, SocketError, Sockets};
use futures_util::future::{Either, select};
use std::{pin::pin, time::Duration};
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
    /// Resolves once there is a connection, encrypted or not.
    opened: Awaited,
    /// Whether it will be encrypted, and nothing came yet that proves it.
    is_handshaking: bool,
    /// Whether something came before it was to be encrypted (STARTTLS).
    was_plain: bool,
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
        let connected = connected.map_err(|_| SocketError::Unreachable)?;
        let socket = field(&connected, "socket").unchecked_into();
        Connection::of(socket, encryption == Encryption::Implicit)
    }
}

impl Connection {
    fn of(socket: TcpSocket, is_handshaking: bool) -> Result<Self, SocketError> {
        let reader = socket.readable().get_reader().unchecked_into();
        let writer = socket.writable().get_writer();
        // Followed, so that its failing is nobody's surprise.
        drop(Awaited::promise(&promised(&socket, "closed")));
        Ok(Self {
            opened: Awaited::promise(&promised(&socket, "opened")),
            is_handshaking,
            was_plain: false,
            reader,
            writer: writer.map_err(|_| SocketError::Lost)?,
            socket,
            is_replaced: false,
        })
    }

    /// Why it failed. The runtime says of a handshake that failed no more than "internal error" or "Stream was
    /// cancelled", so what fails on an open connection before anything came is the handshake.
    async fn cause(&mut self) -> SocketError {
        if !self.is_handshaking {
            return SocketError::Lost;
        }
        if self.was_plain {
            return SocketError::NotEncrypted;
        }
        let mut patience = Sleep::start(Duration::from_secs(1));
        match select(&mut self.opened, pin!(patience.over())).await {
            Either::Left((Ok(_), _)) => SocketError::NotEncrypted,
            Either::Left((Err(_), _)) | Either::Right(_) => SocketError::Unreachable,
        }
    }
}

fn promised(socket: &TcpSocket, name: &str) -> Promise {
    let promise = field(socket.as_ref(), name).dyn_into::<Promise>();
    promise.unwrap_or_else(|_| Promise::resolve(&JsValue::UNDEFINED))
}

impl Socket for Connection {
    async fn read(&mut self) -> Result<Vec<u8>, SocketError> {
        let Ok(read) = settled(Ok(self.reader.read())).await else {
            return Err(self.cause().await);
        };
        let chunk = field(&read, "value").dyn_into::<Uint8Array>();
        let bytes = chunk.map(|chunk| chunk.to_vec()).unwrap_or_default();
        self.is_handshaking &= bytes.is_empty();
        Ok(bytes)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), SocketError> {
        match settled(self.writer.write(&Uint8Array::from(bytes))).await {
            Ok(_) => Ok(()),
            Err(_) => Err(self.cause().await),
        }
    }

    async fn start_tls(&mut self) -> Result<(), SocketError> {
        self.reader.release_lock();
        self.writer.release_lock();
        let encrypted = self.socket.start_tls();
        let encrypted = encrypted.map_err(|_| SocketError::NotEncrypted)?;
        let mut connection = Self::of(encrypted, true)?;
        connection.was_plain = true;
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
