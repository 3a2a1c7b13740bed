//! OTLP in protobuf over HTTP.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use prost::Message;
use ureq::http::Response;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::{Failure, Wire, chain};
use crate::telemetry::receiver::Receiver;

/// The most of an answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

pub(crate) struct Client<'a> {
    agent: Agent,
    receiver: &'a Receiver,
}

impl<'a> Client<'a> {
    pub(crate) fn new(receiver: &'a Receiver) -> Result<Self, Failure> {
        let mut config = Agent::config_builder()
            .timeout_global(Some(receiver.timeout))
            .http_status_as_error(false)
            // What is sent, and with it perhaps a password, goes to whom it was meant for, and nowhere else.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("wasiscope/", env!("CARGO_PKG_VERSION")));
        if receiver.url.scheme_str() == Some("https") {
            config = config.tls_config(TlsConfig::builder().root_certs(roots()?).build());
        }
        Ok(Self { agent: config.build().into(), receiver })
    }
}

/// Those that this machine trusts, like every other program on it; `SSL_CERT_FILE` names others.
fn roots() -> Result<RootCerts, Failure> {
    let found = rustls_native_certs::load_native_certs();
    let roots: Vec<Certificate<'static>> =
        found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    match found.errors.first() {
        Some(error) if roots.is_empty() => {
            Err(Failure::for_good(format!("this machine trusts nobody: {}", chain(error))))
        }
        _ if roots.is_empty() => Err(Failure::for_good(
            "this machine trusts nobody: install ca-certificates, or name a file of certificates in SSL_CERT_FILE",
        )),
        _ => Ok(RootCerts::new_with_certs(&roots)),
    }
}

impl Wire for Client<'_> {
    fn send(&mut self, request: &ExportMetricsServiceRequest) -> Result<ExportMetricsServiceResponse, Failure> {
        let mut post = self.agent.post(&self.receiver.url).content_type("application/x-protobuf");
        for (name, value) in &self.receiver.headers {
            post = post.header(name, value);
        }
        let mut answer = post.send(request.encode_to_vec()).map_err(|error| {
            let is_passing = matches!(
                error,
                ureq::Error::Io(_)
                    | ureq::Error::Timeout(_)
                    | ureq::Error::ConnectionFailed
                    | ureq::Error::HostNotFound
            );
            let reason = chain(&error);
            if is_passing { Failure::for_now(reason, None) } else { Failure::for_good(reason) }
        })?;
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let status = answer.status();
        if status.is_success() {
            let body = body.map_err(|error| Failure::for_good(format!("its answer cannot be read: {error}")))?;
            return ExportMetricsServiceResponse::decode(&*body)
                .map_err(|error| Failure::for_good(format!("its answer is not of this protocol: {error}")));
        }
        let reason = format!("{status}{}", words(&answer, &body.unwrap_or_default()));
        match status.as_u16() {
            429 | 502..=504 => Err(Failure::for_now(reason, retry_after(&answer))),
            _ => Err(Failure::for_good(reason)),
        }
    }
}

/// What the body of a refusal says, if it is text. (By the protocol it is a `google.rpc.Status` in protobuf, of which the message is
/// text, so most of its letters are, too.)
fn words(answer: &Response<Body>, body: &[u8]) -> String {
    if let Some(place) = answer.headers().get("location") {
        return format!(": it is at {}, which was not followed", String::from_utf8_lossy(place.as_bytes()));
    }
    let text = String::from_utf8_lossy(body);
    let words: String = text.chars().filter(|letter| !letter.is_control() || letter.is_whitespace()).collect();
    if words.trim().is_empty() { String::new() } else { format!(": {}", words.trim()) }
}

/// The seconds that a receiver asks for. It may name a date, too; then it is our own pauses.
fn retry_after(answer: &Response<Body>) -> Option<Duration> {
    let seconds = answer.headers().get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
