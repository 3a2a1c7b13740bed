//! Where telemetry goes: a URL, and the standard variables of OTLP exporters.

use std::time::Duration;

use wasiscope_model::code::{Code, Coded};

use percent_encoding::percent_decode_str;
use tonic::codegen::http::uri::{PathAndQuery, Scheme};
use tonic::codegen::http::{HeaderName, HeaderValue, Uri};

/// The port at which receivers of gRPC listen.
const GRPC_PORT: u16 = 4317;
/// Where receivers of HTTP expect metrics, unless the URL says otherwise.
const METRICS_PATH: &str = "/v1/metrics";
/// How long one request may take, unless `OTEL_EXPORTER_OTLP_TIMEOUT` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A receiver, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Its URL, complete, with the scheme `http` or `https`.
    pub url: Uri,
    /// What it speaks.
    pub protocol: Protocol,
    /// What every request carries besides. Often a secret: never shown.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long one request may take.
    pub timeout: Duration,
}

/// What a receiver speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP in protobuf over HTTP.
    Http,
}

/// Why nothing could be sent there.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReceiverError {
    /// The URL is none.
    #[error(
        "--otlp {url}: {reason}; write http://HOST:4318 (HTTP) or grpc://HOST:4317 (gRPC); https and grpcs are encrypted"
    )]
    Url {
        /// What was given, without what might be a password.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A variable says something else than it may.
    #[error("{variable}: {reason}")]
    Variable {
        /// Its name.
        variable: String,
        /// What is wrong; without its value, which may be a secret.
        reason: String,
    },
}

impl Coded for ReceiverError {
    fn code(&self) -> Code {
        Code::InvalidReceiver
    }
}

impl Receiver {
    /// The receiver of a URL, with what the variables of the environment say of headers, time and protocol.
    ///
    /// # Errors
    /// When the URL or a variable is not of the kind it must be.
    pub fn new(url: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, ReceiverError> {
        // That for metrics goes before that for everything; an empty one is none.
        let read = |name: &str| {
            let names = [format!("OTEL_EXPORTER_OTLP_METRICS_{name}"), format!("OTEL_EXPORTER_OTLP_{name}")];
            names.into_iter().find_map(|name| Some((variable(&name).filter(|value| !value.trim().is_empty())?, name)))
        };
        let asked_for = match read("PROTOCOL") {
            None => None,
            Some((value, variable)) => Some(match value.trim() {
                "grpc" => Protocol::Grpc,
                "http/protobuf" => Protocol::Http,
                other => {
                    let reason = format!("{other:?} is not spoken here: grpc and http/protobuf are");
                    return Err(ReceiverError::Variable { variable, reason });
                }
            }),
        };
        let (url, protocol) = resolve(url, asked_for)?;
        let headers = read("HEADERS").map_or(Ok(Vec::new()), |(value, variable)| headers(&value, variable))?;
        let timeout = read("TIMEOUT").map_or(Ok(TIMEOUT), |(value, variable)| timeout(&value, variable))?;
        Ok(Self { url, protocol, headers, timeout })
    }
}

/// The URL in full, and what is spoken there. What the scheme says holds; with `http` and `https` it is what the variable says, else
/// gRPC at the port that is registered for it.
fn resolve(text: &str, asked_for: Option<Protocol>) -> Result<(Uri, Protocol), ReceiverError> {
    let wrong = |reason: &str| ReceiverError::Url { url: without_password(text), reason: reason.to_owned() };
    let Some((scheme, rest)) = text.split_once("://") else { return Err(wrong("there is no scheme")) };
    let (scheme, only) = match scheme.to_ascii_lowercase().as_str() {
        "http" => (Scheme::HTTP, None),
        "https" => (Scheme::HTTPS, None),
        "grpc" => (Scheme::HTTP, Some(Protocol::Grpc)),
        "grpcs" => (Scheme::HTTPS, Some(Protocol::Grpc)),
        other => return Err(wrong(&format!("{other} is no scheme of a receiver"))),
    };
    if rest.contains('#') {
        return Err(wrong("a receiver has no fragment"));
    }
    let parsed: Uri = format!("{scheme}://{rest}").parse().map_err(|_| wrong("that is no URL"))?;
    let authority = parsed.authority().filter(|authority| !authority.host().is_empty());
    let authority = authority.ok_or_else(|| wrong("there is no host"))?;
    if authority.as_str().contains('@') {
        return Err(wrong("a password belongs into OTEL_EXPORTER_OTLP_HEADERS, where it is not shown"));
    }
    // What is behind the host and its brackets must be a number, or be empty.
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    if !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
        return Err(wrong(&format!("{port} is no port")));
    }
    let by_port = if authority.port_u16() == Some(GRPC_PORT) { Protocol::Grpc } else { Protocol::Http };
    let protocol = only.or(asked_for).unwrap_or(by_port);
    let has_path = !["", "/"].contains(&parsed.path()) || parsed.query().is_some();
    let mut parts = parsed.clone().into_parts();
    match protocol {
        Protocol::Grpc if has_path => return Err(wrong("gRPC knows no path")),
        Protocol::Http if !has_path => parts.path_and_query = Some(PathAndQuery::from_static(METRICS_PATH)),
        // A scheme of our own has its port; of the others it is what it always is.
        Protocol::Grpc if only.is_some() && authority.port_u16().is_none() => {
            let host = authority.host();
            parts.authority = Some(format!("{host}:{GRPC_PORT}").parse().map_err(|_| wrong("that is no host"))?);
        }
        Protocol::Grpc | Protocol::Http => {}
    }
    let url = Uri::from_parts(parts).map_err(|_| wrong("that is no URL"))?;
    Ok((url, protocol))
}

/// What was written, without what stands before an `@`.
fn without_password(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, behind))) => format!("{scheme}://…@{behind}"),
        (None, Some((_, behind))) => format!("…@{behind}"),
        (_, None) => text.to_owned(),
    }
}

/// `name=value,name=value`, values with percent signs for what must not stand there, as in the W3C's baggage.
fn headers(text: &str, variable: String) -> Result<Vec<(HeaderName, HeaderValue)>, ReceiverError> {
    let header = |entry: &str| {
        let (name, value) = entry.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let mut value = HeaderValue::from_str(&value).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::from_bytes(name.trim().as_bytes()).ok()?, value))
    };
    let entries = text.split(',').filter(|entry| !entry.trim().is_empty());
    entries.map(header).collect::<Option<_>>().ok_or_else(|| ReceiverError::Variable {
        variable,
        reason: "write name=value,name=value, with %2C for a comma in a value".to_owned(),
    })
}

fn timeout(text: &str, variable: String) -> Result<Duration, ReceiverError> {
    match text.trim().parse() {
        Ok(milliseconds) if milliseconds > 0 => Ok(Duration::from_millis(milliseconds)),
        _ => Err(ReceiverError::Variable { variable, reason: "write a number of milliseconds".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver(url: &str, variables: &[(&str, &str)]) -> Result<Receiver, String> {
        let variable = |wanted: &str| {
            let found = variables.iter().find(|(name, _)| format!("OTEL_EXPORTER_OTLP_{name}") == wanted);
            found.map(|(_, value)| (*value).to_owned())
        };
        Receiver::new(url, variable).map_err(|error| error.to_string())
    }

    #[test]
    fn the_scheme_decides_then_the_variable_then_the_port() {
        let (grpc, http) = ("grpc", "http/protobuf");
        for (url, protocol, expected, is_grpc) in [
            ("http://localhost:4318", "", "http://localhost:4318/v1/metrics", false),
            ("http://localhost:4318/", "", "http://localhost:4318/v1/metrics", false),
            ("http://localhost", "", "http://localhost/v1/metrics", false),
            ("HTTPS://Collector.example/in/v1/metrics", "", "https://collector.example/in/v1/metrics", false),
            ("http://h:1/api?tenant=a", "", "http://h:1/api?tenant=a", false),
            ("http://localhost:4317", "", "http://localhost:4317/", true),
            ("http://localhost:4317", http, "http://localhost:4317/v1/metrics", false),
            ("https://localhost:443", grpc, "https://localhost:443/", true),
            ("grpc://localhost:4318", http, "http://localhost:4318/", true),
            ("grpc://localhost", "", "http://localhost:4317/", true),
            ("grpcs://[::1]", "", "https://[::1]:4317/", true),
            ("http://[::1]:4318", "", "http://[::1]:4318/v1/metrics", false),
        ] {
            let receiver = receiver(url, &[("PROTOCOL", protocol)]).unwrap();
            assert_eq!(receiver.url.to_string().to_lowercase(), expected);
            assert_eq!(receiver.protocol == Protocol::Grpc, is_grpc, "{url}");
        }
    }

    #[test]
    fn other_urls_are_errors_that_hide_passwords() {
        for url in [
            "localhost:4318",
            "",
            "ftp://localhost",
            "http://",
            "http://:4318",
            "http://local host:4318",
            "http://localhost:70000",
            "http://localhost:0",
            "grpc://localhost/v1/metrics",
            "http://localhost/#here",
        ] {
            let refused = Receiver::new(url, |_| None);
            assert!(matches!(&refused, Err(ReceiverError::Url { url: shown, .. }) if shown == url), "{refused:?}");
        }
        let error = receiver("http://me:secret@localhost:4318", &[]).unwrap_err();
        assert!(error.contains("OTEL_EXPORTER_OTLP_HEADERS") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn the_variables_are_those_of_every_exporter() {
        let url = "http://localhost:4318";
        let plain = receiver(url, &[("HEADERS", " "), ("TIMEOUT", "")]).unwrap();
        assert_eq!((plain.headers.len(), plain.timeout), (0, TIMEOUT));
        let variables =
            [("HEADERS", "a=1"), ("METRICS_HEADERS", "Authorization=Bearer%20x%2Cy, tenant = t"), ("TIMEOUT", "250")];
        let receiver_of = receiver(url, &variables).unwrap();
        assert_eq!(receiver_of.timeout, Duration::from_millis(250));
        let shown: Vec<(&str, &str)> =
            receiver_of.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(shown, [("authorization", "Bearer x,y"), ("tenant", "t")]);
        assert!(!format!("{receiver_of:?}").contains("Bearer"), "a secret is not shown");
    }

    #[test]
    fn variables_that_say_nothing_of_use_are_named() {
        let url = "http://localhost:4318";
        for (name, value) in [
            ("PROTOCOL", "http/json"),
            ("TIMEOUT", "10s"),
            ("METRICS_TIMEOUT", "0"),
            ("HEADERS", "no-value"),
            ("HEADERS", "a b=1"),
            ("METRICS_HEADERS", "a=%0d%0ab: 1"),
        ] {
            let error = receiver(url, &[(name, value)]).unwrap_err();
            assert!(error.starts_with(&format!("OTEL_EXPORTER_OTLP_{name}: ")), "{error}");
        }
    }
}
