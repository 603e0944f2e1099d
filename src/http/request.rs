//! Takes a request apart: where it came from, its id, its query and its body, each within its limit.

use std::net::{IpAddr, Ipv4Addr};

use axum::body::Body;
use axum::http::{HeaderMap, header, request::Parts};
use bytes::Bytes;
use ipnet::IpNet;
use serde_json::Value;

use crate::api::{Fault, Problem};
use crate::config::limits::api as limits;

/// The address a connection came from.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// Where a request came from: the connection's address, or what a trusted proxy says.
pub fn address(parts: &Parts, trusted: &[IpNet]) -> IpAddr {
    let peer = parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    if !is_trusted(&peer) {
        return peer;
    }
    // From the right: what the nearest proxy added is true, what stands left of an unknown one may be made up.
    let said = parts.headers.get_all("x-forwarded-for").iter().filter_map(|v| v.to_str().ok());
    let hops: Vec<&str> = said.flat_map(|line| line.split(',')).map(str::trim).collect();
    let mut nearest = peer;
    for hop in hops.iter().rev() {
        let Ok(address) = hop.parse() else { break };
        nearest = address;
        if !is_trusted(&address) {
            break;
        }
    }
    nearest
}

/// The client's id for the request when it is a plain one, else `made`.
pub fn request_id(headers: &HeaderMap, made: impl FnOnce() -> String) -> String {
    let given = headers.get("x-request-id").and_then(|v| v.to_str().ok());
    let plain = |id: &&str| {
        (1..=limits::REQUEST_ID_CHARACTERS).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
    };
    given.filter(plain).map_or_else(made, str::to_owned)
}

/// A header's text, cut to a number of characters.
pub fn text(headers: &HeaderMap, name: header::HeaderName, most: usize) -> String {
    let value =
        headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()).unwrap_or_default();
    value.chars().filter(|c| !c.is_control()).take(most).collect()
}

/// The query's parameters.
///
/// # Errors
/// 414 when it is too long, 400 when it is no UTF-8.
pub fn query(parts: &Parts) -> Result<Vec<(String, String)>, Problem> {
    let text = parts.uri.query().unwrap_or_default();
    if text.len() > limits::QUERY_BYTES {
        return Err(Problem::new(
            414,
            "query-too-long",
            format!("The query can have {} bytes.", limits::QUERY_BYTES),
        ));
    }
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
    match pairs.iter().find(|(name, value)| format!("{name}{value}").contains(['\u{fffd}', '\0'])) {
        Some((name, _)) => Err(Problem::bad_query(vec![Fault::parameter(name, "This is not UTF-8 text.")])),
        None => Ok(pairs),
    }
}

/// The body's media type in lower case, without parameters.
pub fn content_type(headers: &HeaderMap) -> String {
    let given = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Refuses a body of another type than `wanted`; `*` at the end of one stands for anything.
///
/// # Errors
/// 415 with what would be right.
pub fn expect_type(given: &str, wanted: &[&str]) -> Result<(), Problem> {
    let fits = |w: &str| w.strip_suffix('*').map_or(w == given, |start| given.starts_with(start));
    if wanted.iter().any(|w| fits(w)) {
        return Ok(());
    }
    Err(Problem::new(415, "wrong-content-type", format!("Send it as {}.", wanted.join(" or "))))
}

/// The whole body.
///
/// # Errors
/// 413 when it is too large, 400 when it ends early.
pub async fn body(headers: &HeaderMap, body: Body, most: usize) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(413, "too-large", format!("The body can have {most} bytes."));
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|n| n > most) {
        return Err(too_large());
    }
    axum::body::to_bytes(body, most).await.map_err(|error| {
        use std::error::Error;
        match error.source().is_some_and(|e| e.is::<http_body_util::LengthLimitError>()) {
            true => too_large(),
            false => Problem::new(400, "body-cut-off", "The body did not arrive whole."),
        }
    })
}

/// Reads a JSON body.
///
/// # Errors
/// 400 with the place where it stops being JSON.
pub fn json(bytes: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        Problem::new(
            400,
            "bad-json",
            format!("The body is not JSON: line {}, column {}.", error.line(), error.column()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn parts(peer: &str, forwarded: &[&str]) -> Parts {
        let mut request = Request::builder().uri("/x?a=1&b=%41");
        for line in forwarded {
            request = request.header("x-forwarded-for", *line);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        parts.extensions.insert(Peer(peer.parse().unwrap()));
        parts
    }

    #[test]
    fn only_a_trusted_proxy_names_the_client() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        for (peer, forwarded, expected) in [
            ("192.0.2.1", vec!["198.51.100.9"], "192.0.2.1"),
            ("10.0.0.1", vec!["198.51.100.9"], "198.51.100.9"),
            ("10.0.0.1", vec!["1.2.3.4, 198.51.100.9", "10.0.0.2"], "198.51.100.9"),
            ("10.0.0.1", vec!["nonsense"], "10.0.0.1"),
            ("10.0.0.1", vec![], "10.0.0.1"),
        ] {
            assert_eq!(
                address(&parts(peer, &forwarded), &trusted).to_string(),
                expected,
                "{peer} {forwarded:?}"
            );
        }
    }

    #[test]
    fn what_is_not_plain_is_refused_or_replaced() {
        let mut headers = HeaderMap::new();
        let made = || "made".to_owned();
        assert_eq!(request_id(&headers, made), "made");
        headers.insert("x-request-id", "abc-1".parse().unwrap());
        assert_eq!(request_id(&headers, made), "abc-1");
        headers.insert("x-request-id", "a b".parse().unwrap());
        assert_eq!(request_id(&headers, made), "made");
        assert_eq!(query(&parts("::1", &[])).unwrap(), [("a".into(), "1".into()), ("b".into(), "A".into())]);
        assert!(expect_type("text/csv", &["application/json"]).is_err());
        assert!(expect_type("audio/wav", &["audio/*"]).is_ok());
        assert_eq!(json(b"{\"a\":}").unwrap_err().code, "bad-json");
        assert!(json("[".repeat(100_000).as_bytes()).is_err());
    }
}
