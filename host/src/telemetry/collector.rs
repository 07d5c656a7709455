//! The collector: OpenTelemetry's exporter, over a client that adds the headers that the config names and remembers what
//! the exporter does not tell.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::trace::SpanExporter as _;

use super::otel;
use crate::config;
use crate::spans::Span;

/// How long one batch may take, other tries included: meanwhile the queue fills.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where spans are sent.
#[derive(Debug)]
pub(super) struct Collector {
    exporter: SpanExporter,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Collector {
    /// # Errors
    ///
    /// When the settings are not what they were checked to be, or the machine has no certificates to trust.
    pub(super) fn new(settings: &config::Telemetry) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let mut value = HeaderValue::from_str(value)
                .with_context(|| format!("the header `{name}` has a value that cannot be sent"))?;
            value.set_sensitive(true);
            headers.insert(name.parse::<HeaderName>().context("a header's name cannot be sent")?, value);
        }
        let trouble = Arc::default();
        let client = Client { inner: client(&settings.url)?, headers, trouble: Arc::clone(&trouble) };
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&settings.url)
            .with_timeout(TIMEOUT)
            .build()
            .with_context(|| format!("failed to set up the export of spans to `{}`", settings.url))?;
        exporter.set_resource(&otel::resource(&settings.service));
        Ok(Self { exporter, trouble })
    }

    /// Sends spans. What the collector cannot take now is tried a few times.
    ///
    /// # Errors
    ///
    /// Why it did not take them, in words.
    pub(super) async fn take(&self, spans: &[Span]) -> Result<(), String> {
        let sent = self.exporter.export(spans.iter().map(otel::span).collect()).await;
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
        sent.map_err(|error| trouble.unwrap_or_else(|| error.to_string()))
    }
}

/// A client for this URL.
fn client(url: &str) -> anyhow::Result<Arc<dyn HttpClient>> {
    if url.starts_with("http://") {
        return Ok(Arc::new(HyperClient::with_default_connector(TIMEOUT, None)));
    }
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
        .context(
            "failed to read the certificates that this machine trusts, without which `otlp` cannot be https",
        )?
        .https_only()
        .enable_http1()
        .build();
    Ok(Arc::new(HyperClient::new(connector, TIMEOUT, None)))
}

/// A client that adds headers, and remembers why a request failed.
#[derive(Debug)]
struct Client {
    inner: Arc<dyn HttpClient>,
    headers: HeaderMap,
    // Held to put in or take out a string.
    trouble: Arc<Mutex<Option<String>>>,
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // Last, so that what the config says holds whatever the environment says to OpenTelemetry's libraries.
        request.headers_mut().extend(self.headers.clone());
        let answer = self.inner.send_bytes(request).await;
        let trouble = match &answer {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("it answered {}", response.status())),
            Err(error) => Some(in_words(error.as_ref())),
        };
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        answer
    }
}

/// An error and what caused it.
fn in_words(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
