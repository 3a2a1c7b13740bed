//! OTLP over gRPC.

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use tokio::runtime::{Builder, Runtime};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

use super::{Failure, Wire, chain};
use crate::telemetry::receiver::Receiver;

pub(crate) struct Client<'a> {
    /// Drives the connection, and only while something is being sent.
    runtime: Runtime,
    client: MetricsServiceClient<Channel>,
    receiver: &'a Receiver,
}

impl<'a> Client<'a> {
    pub(crate) fn new(receiver: &'a Receiver) -> Result<Self, Failure> {
        let for_good = |error: tonic::transport::Error| Failure::for_good(chain(&error));
        let mut endpoint = Endpoint::from(receiver.url.clone())
            .user_agent(concat!("wasiscope/", env!("CARGO_PKG_VERSION")))
            .map_err(for_good)?
            .connect_timeout(receiver.timeout)
            .timeout(receiver.timeout);
        if receiver.url.scheme_str() == Some("https") {
            let tls = ClientTlsConfig::new().with_native_roots();
            endpoint = endpoint.tls_config(tls).map_err(for_good)?;
        }
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::for_good(error.to_string()))?;
        let channel = {
            let _inside = runtime.enter();
            endpoint.connect_lazy()
        };
        Ok(Self { client: MetricsServiceClient::new(channel), runtime, receiver })
    }
}

impl Wire for Client<'_> {
    fn send(&mut self, request: &ExportMetricsServiceRequest) -> Result<ExportMetricsServiceResponse, Failure> {
        let mut request = Request::new(request.clone());
        let headers = self.receiver.headers.iter().cloned().collect();
        *request.metadata_mut() = MetadataMap::from_headers(headers);
        match self.runtime.block_on(self.client.export(request)) {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => Err(failure(&status)),
        }
    }
}

/// By the table of the protocol's specification. (A receiver whose resources are exhausted may say when they will not be; it is not
/// asked whether it did, and taken at its word that it has none.)
fn failure(status: &Status) -> Failure {
    let cause = std::error::Error::source(status).map(|cause| format!(": {}", chain(cause)));
    let reason = format!("{}: {}{}", status.code(), status.message(), cause.unwrap_or_default());
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Failure::for_now(reason, None),
        _ => Failure::for_good(reason),
    }
}
