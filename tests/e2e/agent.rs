//! An agent's endpoint: records the hand-offs, and answers as a test wants.

use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// A request, as it came.
#[derive(Clone, Debug)]
pub struct HandOff {
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// The status of the answer.
    pub status: u16,
}

impl HandOff {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    pub fn payload(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

#[derive(Default)]
struct State {
    taken: Vec<HandOff>,
    /// The next request whose body contains the text gets this status, once.
    refusals: Vec<(String, u16)>,
}

/// A running endpoint, until the process ends.
pub struct Agent {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl Agent {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/replies", listener.local_addr().unwrap());
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { url, state }
    }

    /// Refuses the next hand-off that contains `text` with this status.
    pub fn refuse_once(&self, text: &str, status: u16) {
        let mut state = self.state.lock().unwrap();
        state.refusals.push((text.to_owned(), status));
    }

    /// All accepted hand-offs that contain this text.
    pub fn handed(&self, text: &str) -> Vec<HandOff> {
        let state = self.state.lock().unwrap();
        let about = state.taken.iter().filter(|one| one.body.contains(text));
        about.cloned().collect()
    }

    /// Waits for the first accepted hand-off that contains this text.
    pub fn wait_for(&self, text: &str) -> HandOff {
        for _ in 0..600 {
            let taken = self.handed(text).into_iter().find(|one| one.status == 200);
            if let Some(taken) = taken {
                return taken;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("nothing with {text:?} was handed to the agent");
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).ok()?;
    let mut state = state.lock().unwrap();
    let refusal = state
        .refusals
        .iter()
        .position(|(text, _)| body.contains(text));
    let status = refusal.map_or(200, |at| state.refusals.remove(at).1);
    state.taken.push(HandOff {
        headers,
        body,
        status,
    });
    drop(state);
    let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    (&stream).write_all(answer.as_bytes()).ok()
}
