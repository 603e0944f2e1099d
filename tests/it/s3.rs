//! The store on an S3-compatible service: a stand-in that speaks as much of S3 as the store uses, keeps what it gets in
//! memory, and takes requests only when they are signed with its key.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use hookswitch::base::hex::hex;
use hookswitch::base::secret::Secret;
use hookswitch::base::shutdown::Stopper;
use hookswitch::storage::{Storage, StorageError, StorageSettings};
use sha2::{Digest, Sha256};

#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, Bytes>,
    parts: BTreeMap<(String, u32), Bytes>,
    /// Requests that are refused from now on.
    is_broken: bool,
}

type Shared = Arc<Mutex<Bucket>>;

fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|pair| match pair.split_once('=') {
        Some((key, value)) => (key == name).then_some(value),
        None => (pair == name).then_some(""),
    })
}

fn xml(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/xml")], text).into_response()
}

async fn object(
    State(bucket): State<Shared>,
    method: Method,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query = query.unwrap_or_default();
    let signed = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !signed.starts_with("AWS4-HMAC-SHA256 Credential=the-key/") || !signed.contains("Signature=") {
        return StatusCode::FORBIDDEN.into_response();
    }
    let mut bucket = bucket.lock().unwrap();
    if bucket.is_broken {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let tag = [(header::ETAG, "\"tag\"")];
    match method.as_str() {
        "POST" if parameter(&query, "uploads").is_some() => xml(format!(
            "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>{key}</Key><UploadId>u-{key}</UploadId></InitiateMultipartUploadResult>"
        )),
        "POST" => {
            let whole: Vec<u8> = bucket
                .parts
                .iter()
                .filter(|((of, _), _)| *of == key)
                .flat_map(|(_, part)| part.to_vec())
                .collect();
            bucket.parts.retain(|(of, _), _| *of != key);
            bucket.objects.insert(key.clone(), whole.into());
            xml(format!(
                "<CompleteMultipartUploadResult><Bucket>b</Bucket><Key>{key}</Key><ETag>\"tag\"</ETag></CompleteMultipartUploadResult>"
            ))
        }
        "PUT" => {
            match parameter(&query, "partNumber") {
                Some(number) => bucket.parts.insert((key, number.parse().unwrap()), body),
                None => bucket.objects.insert(key, body),
            };
            tag.into_response()
        }
        "DELETE" => {
            bucket.parts.retain(|(of, _), _| *of != key);
            if parameter(&query, "uploadId").is_none() {
                bucket.objects.remove(&key);
            }
            StatusCode::NO_CONTENT.into_response()
        }
        _ => {
            let Some(found) = bucket.objects.get(&key).cloned() else {
                return StatusCode::NOT_FOUND.into_response();
            };
            let modified = (header::LAST_MODIFIED, "Mon, 23 Nov 2026 10:00:00 GMT");
            let range = headers
                .get(header::RANGE)
                .and_then(|v| v.to_str().ok()?.strip_prefix("bytes=")?.split_once('-'));
            let Some((from, to)) = range else { return (tag, [modified], found).into_response() };
            let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
            let told = format!("bytes {from}-{to}/{}", found.len());
            (
                StatusCode::PARTIAL_CONTENT,
                tag,
                [modified],
                [(header::CONTENT_RANGE, told)],
                found.slice(from..=to),
            )
                .into_response()
        }
    }
}

async fn started() -> (Shared, Storage, std::net::SocketAddr, Stopper) {
    let bucket = Shared::default();
    let routes =
        Router::new().route("/b/{*key}", any(object)).layer(axum::extract::DefaultBodyLimit::disable());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stopper, stopping) = hookswitch::base::shutdown::channel();
    tokio::spawn(hookswitch::http::serve::serve(listener, routes.with_state(Arc::clone(&bucket)), stopping));
    (bucket, Storage::open(&settings(address, "the-key")).unwrap(), address, stopper)
}

fn settings(address: std::net::SocketAddr, key: &str) -> StorageSettings {
    StorageSettings {
        url: "s3://b/some/prefix".into(),
        endpoint: format!("http://{address}"),
        region: "us-east-1".into(),
        access_key: key.into(),
        secret_key: Secret::new("secret"),
        ..StorageSettings::default()
    }
}

#[tokio::test]
async fn sounds_go_to_a_bucket_and_back() {
    let (bucket, storage, address, _serving) = started().await;
    let folder = tempfile::tempdir().unwrap();
    // The second is larger than a part.
    for (name, length) in [("small.wav", 20_000_usize), ("large.wav", 20_000_000)] {
        let file = folder.path().join(name);
        let bytes: Vec<u8> = (0..length).map(|n| (n / 7) as u8).collect();
        std::fs::write(&file, &bytes).unwrap();
        let key = format!("acme/recordings/{name}");
        let kept = storage.keep(&key, &file, u64::MAX).await.unwrap();
        assert_eq!((kept.bytes, kept.sha256), (length as u64, hex(&Sha256::digest(&bytes))));
        assert!(bucket.lock().unwrap().objects.contains_key(&format!("some/prefix/{key}")));
        assert_eq!(storage.size(&key).await.unwrap(), length as u64);
        assert_eq!(storage.bytes(&key, u64::MAX).await.unwrap(), bytes);
        let mut part = storage.read(&key, Some((10, 20))).await.unwrap();
        let piece = futures_util::StreamExt::next(&mut part.stream).await.unwrap().unwrap();
        assert_eq!((part.range, &piece[..]), (10..20, &bytes[10..20]));
        // Too large for its limit: nothing stays of it.
        let other = format!("{key}.too-large");
        assert!(matches!(storage.keep(&other, &file, 10_000).await, Err(StorageError::TooLarge)));
        assert!(matches!(storage.size(&other).await, Err(StorageError::Missing)));
        storage.remove(&key).await.unwrap();
        assert!(matches!(storage.read(&key, None).await, Err(StorageError::Missing)));
    }
    {
        let left = bucket.lock().unwrap();
        assert!(left.objects.is_empty() && left.parts.is_empty());
    }

    let file = folder.path().join("small.wav");
    let stranger = Storage::open(&settings(address, "another")).unwrap();
    assert!(matches!(stranger.keep("acme/x", &file, u64::MAX).await, Err(StorageError::Away(_))));
    bucket.lock().unwrap().is_broken = true;
    assert!(matches!(storage.keep("acme/x", &file, u64::MAX).await, Err(StorageError::Away(_))));
    bucket.lock().unwrap().is_broken = false;
    storage.keep("acme/x", &file, u64::MAX).await.unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = Storage::open(&settings(nobody, "the-key")).unwrap();
    assert!(matches!(away.keep("acme/x", &file, u64::MAX).await, Err(StorageError::Away(_))));
}
