//! A receiver for the route type `webhook`: checks the signature, sends everybody to the queue `support`, prints what
//! it got. Shows a tenant what such a server has to do; it lives on the sender's own signature code.
//!
//! ```text
//! cargo run --example webhook_receiver -- 127.0.0.1:9000 whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw
//! ```

#![expect(clippy::print_stdout, reason = "an example that prints what it got")]

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use hookswitch::webhooks::sign::{self, Secret};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(secret)) = (arguments.next(), arguments.next()) else {
        return Err("usage: webhook_receiver LISTEN_ADDRESS whsec_SECRET".into());
    };
    let secrets: Arc<[Secret]> = Arc::new([secret.parse()?]);
    // Any path, so that one receiver can stand for several routes.
    let app = Router::new().route("/{*path}", post(answer)).route("/", post(answer)).with_state(secrets);
    let listener = tokio::net::TcpListener::bind(&listen).await?;
    println!("listening on http://{}/", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

async fn answer(
    State(secrets): State<Arc<[Secret]>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, (StatusCode, String)> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let id = header(sign::HEADER_ID);
    let checked = sign::verify(
        &secrets,
        id,
        header(sign::HEADER_TIMESTAMP),
        header(sign::HEADER_SIGNATURE),
        &body,
        now(),
    );
    if let Err(error) = checked {
        println!("refused {id}: {error}");
        return Err((StatusCode::UNAUTHORIZED, error.to_string()));
    }
    let call: Value =
        serde_json::from_slice(&body).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    println!("{id} {call}");
    Ok(Json(json!({ "action": "queue", "target": "support" })))
}

#[expect(clippy::disallowed_methods, reason = "a program of its own, with no clock to pass in")]
fn now() -> DateTime<Utc> {
    Utc::now()
}
