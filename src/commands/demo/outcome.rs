//! What a scene must lead to, what it led to, and how both are shown.

use super::application::{self, ReceivedRequest};
use super::client::{DemoRequest, SceneIdentity, SceneResult};
use super::table::Cell;
use crate::commands::client::alert_name;
use rustls::AlertDescription;
use serde_json::Value;

/// The verification of the client, in the header for the application.
pub(super) const VERIFIED: &str = "client-certificate, bearer";

/// Expected outcome of a scene.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ExpectedOutcome<'a> {
    /// The application receives the body byte for byte, and the client its response.
    Forwarded {
        /// Kind that the proxy adds.
        notification: &'static str,
        /// Severity that the proxy adds.
        severity: &'static str,
    },
    /// The proxy responds to the challenge; the application receives nothing.
    Proven {
        /// Response that is computed here, from the secret.
        response_token: String,
    },
    /// The proxy acknowledges the notification itself; the application receives nothing.
    Kept,
    /// The proxy stores the notification, while the application is stopped.
    Stored {
        /// Bodies that arrive once the application has started again, in their order; without any,
        /// it stays stopped.
        arriving: Vec<&'a str>,
    },
    /// The TLS handshake is refused; the application receives nothing.
    Alert(AlertDescription),
    /// The proxy refuses the request; the application receives nothing.
    Refused {
        /// Status of the response.
        status: u16,
        /// Code in the response.
        code: &'static str,
    },
}

/// One request and its expected outcome.
#[derive(Clone, Debug)]
pub(super) struct Scene<'a> {
    /// Name of the scene.
    pub(super) name: &'static str,
    /// Detail about the request.
    pub(super) detail: String,
    /// Certificate of the client.
    pub(super) identity: SceneIdentity,
    /// Request of the client.
    pub(super) message: DemoRequest<'a>,
    pub(super) outcome: ExpectedOutcome<'a>,
}

impl Scene<'_> {
    /// Returns `true` if the client and the application received what they must.
    pub(super) fn passed(&self, answer: &SceneResult, received: &[ReceivedRequest]) -> bool {
        self.has_right_response(answer) && self.has_right_requests(received)
    }

    fn has_right_requests(&self, received: &[ReceivedRequest]) -> bool {
        match (&self.outcome, received) {
            (
                ExpectedOutcome::Forwarded {
                    notification,
                    severity,
                },
                [one],
            ) => self.is_right_request(one, notification, severity),
            (ExpectedOutcome::Forwarded { .. }, _) => false,
            (ExpectedOutcome::Stored { arriving }, received) => has_arrived(received, arriving),
            (_, received) => received.is_empty(),
        }
    }

    fn has_right_response(&self, result: &SceneResult) -> bool {
        match &self.outcome {
            ExpectedOutcome::Forwarded { .. } => is_of_application(result),
            ExpectedOutcome::Proven { response_token } => {
                let token = response_token.as_str().into();
                has_member(result, 200, "response_token", token)
            }
            ExpectedOutcome::Kept => has_member(result, 200, "received", true.into()),
            ExpectedOutcome::Stored { .. } => has_member(result, 202, "queued", true.into()),
            ExpectedOutcome::Refused { status, code } => {
                has_member(result, *status, "code", (*code).into())
            }
            ExpectedOutcome::Alert(alert) => *result == SceneResult::Alert(*alert),
        }
    }

    fn is_right_request(
        &self,
        received: &ReceivedRequest,
        notification: &str,
        severity: &str,
    ) -> bool {
        received.body == self.message.body.as_bytes()
            && (received.notification(), received.severity()) == (notification, severity)
            && is_from_verified_client(received)
    }

    /// Returns the request, the result and what the application received, as cells.
    pub(super) fn cells(&self, answer: &SceneResult, received: &[ReceivedRequest]) -> [Cell; 3] {
        [
            Cell::new(self.name, self.detail.as_str()),
            self.response_cell(answer),
            self.application_cell(received),
        ]
    }

    fn response_cell(&self, result: &SceneResult) -> Cell {
        match result {
            SceneResult::Alert(alert) => {
                let headline = format!("TLS alert {}", alert_name(*alert));
                Cell::new(headline, "without a connection")
            }
            SceneResult::Failed(error) => Cell::new("no response", error.as_str()),
            SceneResult::Response { status, body } => {
                let is_right = self.has_right_response(result);
                refusal_cell(*status, body)
                    .or_else(|| proof_cell(*status, body, is_right))
                    .unwrap_or_else(|| acknowledgement_cell(*status, body))
            }
        }
    }

    fn application_cell(&self, received: &[ReceivedRequest]) -> Cell {
        match received {
            [] => Cell::new("nothing", ""),
            [one] => Cell::new(one.subject(), self.comparison(one)),
            [first, others @ ..] => {
                let others: Vec<_> = others.iter().map(ReceivedRequest::subject).collect();
                Cell::new(first.subject(), format!("then {}", others.join(", then ")))
            }
        }
    }

    fn comparison(&self, received: &ReceivedRequest) -> String {
        let identical = match received.body == self.message.body.as_bytes() {
            true => "identical",
            false => "CHANGED",
        };
        let leak = match received.header("Authorization") {
            Some(_) => "; WITH CREDENTIALS",
            None => "",
        };
        let proof = match received.verified() {
            VERIFIED => String::new(),
            other => format!("; verified by {other:?}"),
        };
        format!("{} bytes, {identical}{proof}{leak}", received.body.len())
    }
}

/// Returns the refusal in a response, if that is one.
fn refusal_cell(status: u16, body: &str) -> Option<Cell> {
    let Value::String(code) = field(body, "code") else {
        return None;
    };
    let detail = field(body, "detail");
    let detail = detail.as_str().unwrap_or_default();
    Some(Cell::new(format!("{status} {code}"), detail))
}

/// Returns the response to a challenge in a response, if that is one.
fn proof_cell(status: u16, body: &str, is_right: bool) -> Option<Cell> {
    let Value::String(token) = field(body, "response_token") else {
        return None;
    };
    let verdict = if is_right { "right" } else { "wrong" };
    let headline = format!("{status}, the HMAC is {verdict}");
    Some(Cell::new(headline, shortened(&token)))
}

fn acknowledgement_cell(status: u16, body: &str) -> Cell {
    if field(body, "queued") == true {
        return Cell::new(format!("{status} of the proxy"), "stored");
    }
    let origin = match status {
        application::STATUS => "application",
        _ => "proxy",
    };
    Cell::new(format!("{status} of the {origin}"), body)
}

impl std::fmt::Display for ExpectedOutcome<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Forwarded {
                notification,
                severity,
            } => write!(
                f,
                "{}; one {notification}, {severity}, identical, by {VERIFIED}, without credentials",
                application::STATUS
            ),
            Self::Proven { response_token } => write!(f, "200 with {response_token}; nothing"),
            Self::Kept => f.write_str("200 {\"received\":true}; nothing"),
            Self::Stored { arriving } => {
                write!(
                    f,
                    "202 {{\"queued\":true}}; {} in their order",
                    arriving.len()
                )
            }
            Self::Alert(alert) => write!(f, "TLS alert {}; nothing", alert_name(*alert)),
            Self::Refused { status, code } => write!(f, "{status} {code}; nothing"),
        }
    }
}

fn is_of_application(result: &SceneResult) -> bool {
    let own = SceneResult::Response {
        status: application::STATUS,
        body: application::BODY.into(),
    };
    *result == own
}

/// Returns `true` if these bodies were received, in this order, and nothing else.
fn has_arrived(received: &[ReceivedRequest], bodies: &[&str]) -> bool {
    let found = received.iter().map(|one| &*one.body);
    found.eq(bodies.iter().map(|body| body.as_bytes()))
        && received.iter().all(is_from_verified_client)
}

fn is_from_verified_client(received: &ReceivedRequest) -> bool {
    received.verified() == VERIFIED && received.header("Authorization").is_none()
}

fn has_member(result: &SceneResult, status: u16, key: &str, value: Value) -> bool {
    match result {
        SceneResult::Response {
            status: actual,
            body,
        } => *actual == status && field(body, key) == value,
        _ => false,
    }
}

/// Returns a member of a JSON object, or null.
fn field(body: &str, key: &str) -> Value {
    let mut json: Value = serde_json::from_str(body).unwrap_or_default();
    json.get_mut(key).map(Value::take).unwrap_or_default()
}

fn shortened(token: &str) -> String {
    token.chars().take(20).chain(['…']).collect()
}
