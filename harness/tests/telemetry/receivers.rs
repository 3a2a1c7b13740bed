//! Receivers made from the protocol's official definitions. They keep what they get.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use prost::Message;
use rcgen::{CertifiedKey, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, ServerTlsConfig};
use tonic::{Code, Request, Response, Status};

/// What a receiver has got: the request, and what came with it, as `name: value`.
pub type Got = Arc<Mutex<Vec<(ExportMetricsServiceRequest, Vec<String>)>>>;

/// How a receiver of HTTP answers: status line, further headers, body.
pub type Answer = (&'static str, &'static str, Vec<u8>);

/// An answer by which everything, or all but some, is taken.
pub fn taken(rejected_data_points: i64, message: &str) -> ExportMetricsServiceResponse {
    let error_message = message.to_owned();
    let partial = ExportMetricsPartialSuccess { rejected_data_points, error_message };
    let partial_success = (rejected_data_points != 0 || !message.is_empty()).then_some(partial);
    ExportMetricsServiceResponse { partial_success }
}

pub fn ok() -> Answer {
    ("200 OK", "", taken(0, "").encode_to_vec())
}

/// Who a receiver is: known to nobody but those who are given the file.
pub fn identity(certificate: &Path) -> CertifiedKey<KeyPair> {
    let identity = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(certificate, identity.cert.pem()).unwrap();
    identity
}

/// A receiver of HTTP, which gives these answers in turn, and the last of them from then on.
pub fn http(answers: Vec<Answer>) -> (SocketAddr, Got) {
    serve(answers, |stream| stream)
}

/// A receiver of HTTP, encrypted.
pub fn https(answers: Vec<Answer>, identity: &CertifiedKey<KeyPair>) -> (SocketAddr, Got) {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(vec![identity.cert.der().clone()], key).unwrap());
    serve(answers, move |stream| StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream))
}

fn serve<S: Read + Write>(answers: Vec<Answer>, wrap: impl Fn(TcpStream) -> S + Send + 'static) -> (SocketAddr, Got) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, got) = (listener.local_addr().unwrap(), Got::default());
    let kept = Arc::clone(&got);
    let mut answers = answers.into_iter().peekable();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(wrap(stream.unwrap()));
            // One connection may bring many requests.
            while let Some((request, headers)) = read(&mut stream) {
                kept.lock().unwrap().push((request, headers));
                let answer = answers.next().unwrap();
                if answers.peek().is_none() {
                    answers = vec![answer.clone()].into_iter().peekable();
                }
                let (status, more, body) = answer;
                let head = format!("HTTP/1.1 {status}\r\n{more}content-length: {}\r\n\r\n", body.len());
                stream.get_mut().write_all(&[head.as_bytes(), &body].concat()).unwrap();
                stream.get_mut().flush().unwrap();
            }
        }
    });
    (address, got)
}

fn read(stream: &mut BufReader<impl Read>) -> Option<(ExportMetricsServiceRequest, Vec<String>)> {
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => headers.push(line.to_owned()),
        }
    }
    let length = headers.iter().find_map(|header| {
        let (name, value) = header.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().unwrap())
    });
    let mut body = vec![0; length.expect("the length is said before")];
    stream.read_exact(&mut body).unwrap();
    Some((ExportMetricsServiceRequest::decode(&*body).expect("the protocol's own"), headers))
}

struct Recorder {
    got: Got,
    answers: Mutex<Vec<Result<ExportMetricsServiceResponse, Code>>>,
}

#[tonic::async_trait]
impl MetricsService for Recorder {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        let headers = headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        self.got.lock().unwrap().push((request.into_inner(), headers));
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        answer.map(Response::new).map_err(|code| Status::new(code, "says the receiver"))
    }
}

/// A receiver of gRPC, which gives these answers in turn, and the last of them from then on.
pub fn grpc(answers: Vec<Result<ExportMetricsServiceResponse, Code>>) -> (SocketAddr, Got) {
    serve_grpc(answers, None)
}

/// A receiver of gRPC, encrypted, which takes everything.
pub fn grpcs(identity: &CertifiedKey<KeyPair>) -> (SocketAddr, Got) {
    let identity = Identity::from_pem(identity.cert.pem(), identity.signing_key.serialize_pem());
    serve_grpc(vec![Ok(taken(0, ""))], Some(ServerTlsConfig::new().identity(identity)))
}

fn serve_grpc(
    answers: Vec<Result<ExportMetricsServiceResponse, Code>>,
    tls: Option<ServerTlsConfig>,
) -> (SocketAddr, Got) {
    let got = Got::default();
    let recorder = Recorder { got: Arc::clone(&got), answers: Mutex::new(answers) };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener).unwrap());
            let mut server = tonic::transport::Server::builder();
            if let Some(tls) = tls {
                server = server.tls_config(tls).unwrap();
            }
            server.serve_with_incoming(MetricsServiceServer::new(recorder), incoming).await.unwrap();
        });
    });
    (address, got)
}
