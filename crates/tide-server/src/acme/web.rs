//! The HTTPS client with which the authority is spoken to.

use std::pin::Pin;
use std::time::Duration;

use anyhow::Context;
use axum::body::to_bytes;
use axum::http::{Request, Response};
use bytes::Bytes;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use reqwest::{Body, Certificate, Client};

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(60);

struct Web(Client);

/// A client that trusts these roots (PEM) alone, or those of the system.
pub(super) fn client(roots_pem: Option<&str>) -> anyhow::Result<Box<dyn HttpClient>> {
    // The first to ask decides; reqwest brings no cryptography of its own.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut builder = Client::builder().https_only(true).timeout(REQUEST);
    if let Some(pem) = roots_pem {
        let roots = Certificate::from_pem_bundle(pem.as_bytes()).unwrap_or_default();
        anyhow::ensure!(!roots.is_empty(), "TIDE_ACME_ROOT holds no certificate in PEM form");
        builder = builder.tls_certs_only(roots);
    }
    Ok(Box::new(Web(builder.build().context("failed to prepare the connection to the ACME authority")?)))
}

impl HttpClient for Web {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body =
                to_bytes(axum::body::Body::new(body), usize::MAX).await.map_err(|error| Error::Other(error.into()))?;
            let request = reqwest::Request::try_from(Request::from_parts(parts, body)).map_err(failed)?;
            let response: Response<Body> = client.execute(request).await.map_err(failed)?.into();
            Ok(BytesResponse::from(response))
        })
    }
}

/// With its causes, which reqwest keeps apart.
fn failed(error: reqwest::Error) -> Error {
    Error::Other(format!("{:#}", anyhow::Error::from(error)).into())
}
