//! Outcomes of requests, in text that is safe to show.

use super::advice;
use crate::commands::client::{ClientFailure, ClientResponse, alert_name};
use crate::sanitize::{MAX_TEXT, sanitize_to};
use http::StatusCode;
use rustls::AlertDescription;
use serde::Serialize;
use std::borrow::Cow;

/// Status of a request that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RequestStatus {
    /// The response is the expected one.
    Accepted,
    /// The response is another one, or the TLS handshake was refused.
    Refused,
    /// There was a connection, but no response.
    Unanswered,
    /// There was no connection.
    Unreachable,
}

impl RequestStatus {
    pub(super) const ALL: [Self; 4] = [
        Self::Accepted,
        Self::Refused,
        Self::Unanswered,
        Self::Unreachable,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Unanswered => "unanswered",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Reason of an outcome: equal for all requests that ended alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OutcomeReason {
    pub(super) status: RequestStatus,
    pub(super) http_status: Option<u16>,
    /// Code of the response, or of this program.
    pub(super) code: Option<String>,
    pub(super) text: String,
}

/// Outcome of a request.
#[derive(Clone, Debug)]
pub(super) struct RequestOutcome {
    pub(super) reason: OutcomeReason,
    /// Detail of this request.
    pub(super) detail: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) advice: Option<&'static str>,
}

impl RequestOutcome {
    /// Judges the response to a notification, for which any 2xx is a success.
    pub(super) fn answered(response: &ClientResponse) -> Self {
        match response.status {
            200..=299 => Self::accepted(response),
            _ => Self::refused(response),
        }
    }

    pub(super) fn accepted(response: &ClientResponse) -> Self {
        let text = status_text(response.status);
        Self {
            detail: body_text(response),
            ..Self::of(RequestStatus::Accepted, response, None, &text)
        }
    }

    pub(super) fn refused(response: &ClientResponse) -> Self {
        let code = response.code();
        let title = response.field("title");
        let text = title.unwrap_or_else(|| status_text(response.status));
        Self {
            detail: detail_of_refusal(response),
            advice: advice::of_refusal(response.status, code.as_deref()),
            ..Self::of(RequestStatus::Refused, response, code, &text)
        }
    }

    /// Creates the outcome of a challenge with a wrong response.
    pub(super) fn wrong(response: &ClientResponse, text: &str, advice: &'static str) -> Self {
        let code = Some("challenge_failed".into());
        Self {
            advice: Some(advice),
            ..Self::of(RequestStatus::Refused, response, code, text)
        }
    }

    fn of(
        status: RequestStatus,
        response: &ClientResponse,
        code: Option<String>,
        text: &str,
    ) -> Self {
        Self {
            reason: OutcomeReason {
                status,
                http_status: Some(response.status),
                code: code.map(|code| shown(&code)),
                text: shown(text),
            },
            detail: None,
            request_id: request_id(response),
            advice: None,
        }
    }

    /// Creates the outcome of a request without a response. `presented` is `true` if a client
    /// certificate was presented.
    pub(super) fn failed(failure: &ClientFailure, was_connected: bool, presented: bool) -> Self {
        let status = match failure {
            ClientFailure::Alert(alert) if is_about_the_client(*alert) => RequestStatus::Refused,
            _ if was_connected => RequestStatus::Unanswered,
            _ => RequestStatus::Unreachable,
        };
        let text = shown(&failure.to_string());
        Self {
            advice: advice::of_failure(failure, was_connected, presented),
            ..Self::without_response(status, code(failure), text)
        }
    }

    /// Creates the outcome of a request that was interrupted.
    pub(super) fn interrupted() -> Self {
        let text = "interrupted before the response".to_owned();
        Self::without_response(RequestStatus::Unanswered, "interrupted".into(), text)
    }

    /// Creates the outcome of a request that could not be read from its file.
    pub(super) fn unsent(error: &str) -> Self {
        Self::without_response(RequestStatus::Unanswered, "unreadable".into(), shown(error))
    }

    fn without_response(status: RequestStatus, code: String, text: String) -> Self {
        Self {
            reason: OutcomeReason {
                status,
                http_status: None,
                code: Some(code),
                text,
            },
            detail: None,
            request_id: None,
            advice: None,
        }
    }
}

/// Returns the code of a failure, for scripts.
fn code(failure: &ClientFailure) -> String {
    let code = match failure {
        ClientFailure::Alert(alert) => return format!("tls_{}", alert_name(*alert)),
        ClientFailure::HungUp(_) => "connection_closed",
        ClientFailure::Silent => "timeout",
        ClientFailure::Untrusted(_) => "server_certificate",
        ClientFailure::Unresolved(_) => "unresolved",
        ClientFailure::ConnectionRefused => "connection_refused",
        ClientFailure::NotTls => "not_tls",
        ClientFailure::NotHttp(_) => "not_http",
        ClientFailure::NoFilesLeft => "too_many_open_files",
        ClientFailure::Other(_) => "failed",
    };
    code.to_owned()
}

/// Returns text of the server in a form that is safe to show.
fn shown(text: &str) -> String {
    sanitize_to(text, MAX_TEXT)
}

/// Returns `true` for alerts that refuse the client's identity.
fn is_about_the_client(alert: AlertDescription) -> bool {
    use AlertDescription as A;

    matches!(
        alert,
        A::AccessDenied
            | A::BadCertificate
            | A::CertificateExpired
            | A::CertificateRequired
            | A::CertificateRevoked
            | A::CertificateUnknown
            | A::DecryptError
            | A::HandshakeFailure
            | A::NoCertificate
            | A::UnknownCA
            | A::UnsupportedCertificate
    )
}

fn detail_of_refusal(response: &ClientResponse) -> Option<String> {
    if let 300..=399 = response.status {
        let location = response.header("location")?;
        return Some(shown(&format!("The redirect leads to {location}.")));
    }
    let detail = response.field("detail").map(|detail| shown(&detail));
    detail.or_else(|| body_text(response))
}

/// Returns the id of a request, which this program puts into a header and into its refusals.
fn request_id(response: &ClientResponse) -> Option<String> {
    let header = response.header("x-request-id").map(Cow::into_owned);
    let id = header.or_else(|| response.field("request_id"));
    id.map(|id| shown(&id))
}

/// Returns the body as text that is safe to show, if there is one.
fn body_text(response: &ClientResponse) -> Option<String> {
    let text = String::from_utf8_lossy(&response.body);
    let text = text.trim();
    (!text.is_empty()).then(|| shown(text))
}

fn status_text(status: u16) -> String {
    StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("an unknown status")
        .into()
}
