//! Brings telemetry to its receiver. What may help to do again is done again, a few times.

mod grpc;
mod http;

use std::time::Duration;

use wasiscope_model::code::{Code, Coded};

use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use rand::RngExt;

use super::otlp;
use super::receiver::{Protocol, Receiver};

/// How often a request is sent, at most.
const ATTEMPTS: u32 = 4;
/// How long to wait after the first attempt; twice as long after each further one.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest that a receiver can make us wait. Whoever asks for more is not there today.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The most of a receiver's words that is shown.
const WORDS_MAX: usize = 300;

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Values that were sent.
    pub points: usize,
    /// In how many requests.
    pub requests: usize,
    /// What the receiver had to say, although it took them or most of them.
    pub warnings: Vec<String>,
}

/// Why not everything arrived.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{url} did not take the metrics: {reason}{}", progress(*.sent, *.requests))]
pub struct SendError {
    /// The receiver.
    url: String,
    /// Its reason, or the system's.
    reason: String,
    /// Requests that it took before.
    sent: usize,
    /// All requests.
    requests: usize,
}

impl Coded for SendError {
    fn code(&self) -> Code {
        Code::MetricsNotSent
    }
}

fn progress(sent: usize, requests: usize) -> String {
    if requests > 1 { format!(" (it has taken {sent} of {requests} requests)") } else { String::new() }
}

/// One attempt that failed.
#[derive(Debug, PartialEq, Eq)]
struct Failure {
    reason: String,
    /// Whether it may help to do it again, and how long the receiver wants us to wait at least.
    again: Option<Duration>,
}

impl Failure {
    fn for_good(reason: impl Into<String>) -> Self {
        Self { reason: shown(&reason.into()), again: None }
    }

    fn for_now(reason: impl Into<String>, wait: Option<Duration>) -> Self {
        Self { reason: shown(&reason.into()), again: Some(wait.unwrap_or_default()) }
    }
}

/// A way to a receiver.
trait Wire {
    fn send(&mut self, request: &ExportMetricsServiceRequest) -> Result<ExportMetricsServiceResponse, Failure>;
}

/// Sends requests, one after the other. It is safe to send the same again: points have the times of their run, so they are the same
/// points.
///
/// # Errors
/// When the receiver does not take one of them, after `ATTEMPTS` where that may help, or `stop` says to give up.
pub fn send(
    receiver: &Receiver,
    requests: &[ExportMetricsServiceRequest],
    stop: &dyn Fn() -> bool,
) -> Result<Sent, SendError> {
    let failed = |sent: usize, reason: String| SendError {
        url: receiver.url.to_string(),
        reason,
        sent,
        requests: requests.len(),
    };
    let wire = match receiver.protocol {
        Protocol::Grpc => grpc::Client::new(receiver).map(|client| Box::new(client) as Box<dyn Wire>),
        Protocol::Http => http::Client::new(receiver).map(|client| Box::new(client) as Box<dyn Wire>),
    };
    let mut wire = wire.map_err(|failure| failed(0, failure.reason))?;
    let mut sent = Sent::default();
    for request in requests {
        let response = persistently(wire.as_mut(), request, stop, &mut std::thread::sleep);
        let response = response.map_err(|reason| failed(sent.requests, reason))?;
        sent.requests += 1;
        sent.points += otlp::points(request);
        sent.warnings.extend(warning(&response));
    }
    Ok(sent)
}

fn persistently(
    wire: &mut dyn Wire,
    request: &ExportMetricsServiceRequest,
    stop: &dyn Fn() -> bool,
    sleep: &mut dyn FnMut(Duration),
) -> Result<ExportMetricsServiceResponse, String> {
    let mut pause = PAUSE;
    for attempt in 1.. {
        let failure = match wire.send(request) {
            Ok(response) => return Ok(response),
            Err(failure) => failure,
        };
        let Some(wait) = failure.again else { return Err(failure.reason) };
        if wait > PAUSE_MAX {
            return Err(format!("{}; it wants us to come back in {} s", failure.reason, wait.as_secs()));
        }
        if attempt == ATTEMPTS {
            return Err(format!("{} ({ATTEMPTS} attempts)", failure.reason));
        }
        if stop() {
            return Err(format!("{} (interrupted)", failure.reason));
        }
        // Not all who were refused together come back together.
        sleep(wait.max(pause.mul_f64(rand::rng().random_range(0.5..1.0))));
        pause *= 2;
    }
    Err("no attempt was made".to_owned())
}

/// What is worth telling of an answer: values that were rejected, or advice.
fn warning(response: &ExportMetricsServiceResponse) -> Option<String> {
    let partial = response.partial_success.as_ref()?;
    let (rejected, message) = (partial.rejected_data_points, shown(&partial.error_message));
    match (rejected, message.as_str()) {
        (0, "") => None,
        (0, _) => Some(format!("the receiver says: {message}")),
        (_, "") => Some(format!("the receiver rejected {rejected} values and does not say why")),
        _ => Some(format!("the receiver rejected {rejected} values: {message}")),
    }
}

/// Words of a stranger, as they can be put on a terminal.
fn shown(text: &str) -> String {
    let words: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let words = words.trim();
    let mut shown: String = words.chars().take(WORDS_MAX).collect();
    if words.chars().count() > WORDS_MAX {
        shown.push('…');
    }
    shown
}

/// Every message in a chain of errors: what a client says by itself is often only that something went wrong.
fn chain(error: &dyn std::error::Error) -> String {
    let mut messages = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        let message = error.to_string();
        if messages.last().is_none_or(|last| !last.contains(&message)) {
            messages.push(message);
        }
        source = error.source();
    }
    messages.join(": ")
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsPartialSuccess;

    use super::*;

    /// Answers in turn.
    struct Script(Vec<Result<(), Failure>>);

    impl Wire for Script {
        fn send(&mut self, _: &ExportMetricsServiceRequest) -> Result<ExportMetricsServiceResponse, Failure> {
            self.0.remove(0).map(|()| ExportMetricsServiceResponse::default())
        }
    }

    fn run(answers: Vec<Result<(), Failure>>, stop: bool) -> (Result<(), String>, Vec<Duration>, usize) {
        let (mut script, mut pauses) = (Script(answers), Vec::new());
        let request = ExportMetricsServiceRequest::default();
        let result = persistently(&mut script, &request, &|| stop, &mut |pause| pauses.push(pause));
        (result.map(|_| ()), pauses, script.0.len())
    }

    fn busy() -> Result<(), Failure> {
        Err(Failure::for_now("busy", None))
    }

    #[test]
    fn what_may_help_is_done_again_with_longer_and_longer_pauses() {
        let (result, pauses, left) = run(vec![busy(), busy(), busy(), Ok(()), Ok(())], false);
        assert_eq!((result, left), (Ok(()), 1));
        for (pause, longest) in pauses.iter().zip([PAUSE, PAUSE * 2, PAUSE * 4]) {
            assert!(*pause >= longest / 2 && *pause < longest, "{pauses:?}");
        }
        assert_eq!(pauses.len(), 3);
    }

    #[test]
    fn it_is_given_up_when_it_has_failed_often_or_cannot_succeed_or_nobody_waits() {
        let (result, pauses, _) = run((0..5).map(|_| busy()).collect(), false);
        assert_eq!((result, pauses.len()), (Err("busy (4 attempts)".to_owned()), 3));
        let (result, pauses, _) = run(vec![Err(Failure::for_good("wrong")), Ok(())], false);
        assert_eq!((result, pauses.len()), (Err("wrong".to_owned()), 0));
        let (result, pauses, _) = run(vec![busy(), Ok(())], true);
        assert_eq!((result, pauses.len()), (Err("busy (interrupted)".to_owned()), 0));
    }

    #[test]
    fn a_receiver_may_say_when_but_not_tomorrow() {
        let later = |seconds: u64| Err(Failure::for_now("busy", Some(Duration::from_secs(seconds))));
        let (result, pauses, _) = run(vec![later(7), Ok(())], false);
        assert_eq!((result, pauses), (Ok(()), vec![Duration::from_secs(7)]));
        let (result, pauses, _) = run(vec![later(86_400), Ok(())], false);
        assert_eq!((result, pauses.len()), (Err("busy; it wants us to come back in 86400 s".to_owned()), 0));
    }

    #[test]
    fn partial_success_is_told_and_success_is_not() {
        let told = |rejected_data_points: i64, error_message: &str| {
            let error_message = error_message.to_owned();
            let partial = ExportMetricsPartialSuccess { rejected_data_points, error_message };
            warning(&ExportMetricsServiceResponse { partial_success: Some(partial) })
        };
        assert_eq!(warning(&ExportMetricsServiceResponse::default()), None);
        assert_eq!(told(0, ""), None);
        assert_eq!(told(0, "old").as_deref(), Some("the receiver says: old"));
        assert_eq!(told(3, "too\u{1b}[31m many\n").as_deref(), Some("the receiver rejected 3 values: too [31m many"));
        assert!(told(3, "").is_some_and(|told| told.contains('3')));
        assert!(told(1, &"x".repeat(10_000)).is_some_and(|told| told.chars().count() < 400));
    }
}
