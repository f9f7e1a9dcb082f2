//! Outgoing HTTP requests: challenges and notifications.

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Bytes};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use std::time::Duration;

/// How long Nylas waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST_ANSWER: usize = 1024 * 1024;

pub struct Reply {
    pub status: u16,
    /// Whether it has a `Content-Length`, which Nylas wants of the answer to a challenge.
    pub sized: bool,
    pub body: Bytes,
}

type Problem = Box<dyn std::error::Error + Send + Sync>;

/// Sends a request. The error says why there was no answer.
pub async fn call(
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Reply, String> {
    match tokio::time::timeout(PATIENCE, exchange(method, url, headers, body)).await {
        Ok(done) => done.map_err(|problem| problem.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

async fn exchange(
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Reply, Problem> {
    let url: Uri = url.parse()?;
    if url.scheme_str() != Some("http") {
        return Err("the stand-in calls http:// only".into());
    }
    let authority = url.authority().ok_or("no host")?;
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    let stream = tokio::net::TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", authority.as_str());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body)))?;
    let talk = async {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let sized = response.body().size_hint().exact().is_some();
        let body = Limited::new(response.into_body(), LONGEST_ANSWER)
            .collect()
            .await?
            .to_bytes();
        Ok(Reply {
            status,
            sized,
            body,
        })
    };
    // The connection must be polled along with the exchange. It may end first, after the last bytes have come.
    tokio::pin!(talk);
    tokio::select! {
        reply = &mut talk => reply,
        _ = connection => talk.await,
    }
}
