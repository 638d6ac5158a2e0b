//! How a request ended, in words that are safe to show.

use super::advice;
use crate::commands::client::{ClientFailure, ClientResponse, alert_name};
use crate::sanitize::{MAX_TEXT, plain};
use http::StatusCode;
use rustls::AlertDescription;
use serde::Serialize;
use std::borrow::Cow;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RequestStatus {
    /// It was answered as it should be.
    Accepted,
    /// It was answered otherwise, or refused in TLS.
    Refused,
    /// There was a connection, and no answer.
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

/// Why: the same for all requests that ended alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OutcomeReason {
    pub(super) fate: RequestStatus,
    pub(super) status: Option<u16>,
    /// A word for it: that of the answer, or one of ours.
    pub(super) code: Option<String>,
    pub(super) text: String,
}

/// The end of a request.
#[derive(Clone, Debug)]
pub(super) struct RequestOutcome {
    pub(super) reason: OutcomeReason,
    /// What was said about this very request.
    pub(super) detail: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) advice: Option<&'static str>,
}

impl RequestOutcome {
    /// A notification is accepted with any 2xx.
    pub(super) fn answered(answer: &ClientResponse) -> Self {
        match answer.status {
            200..=299 => Self::accepted(answer),
            _ => Self::refused(answer),
        }
    }

    pub(super) fn accepted(answer: &ClientResponse) -> Self {
        Self::of(
            RequestStatus::Accepted,
            answer,
            None,
            named(answer.status),
            said(answer),
            None,
        )
    }

    pub(super) fn refused(answer: &ClientResponse) -> Self {
        let code = answer.code();
        let text = answer
            .field("title")
            .unwrap_or_else(|| named(answer.status));
        let detail = match answer.status {
            300..=399 => answer
                .header("location")
                .map(|location| format!("It leads to {location}.")),
            _ => answer.field("detail").or_else(|| said(answer)),
        };
        let advice = advice::of_refusal(answer.status, code.as_deref());
        Self::of(RequestStatus::Refused, answer, code, text, detail, advice)
    }

    /// A challenge that was answered wrongly.
    pub(super) fn wrong(answer: &ClientResponse, text: &str, advice: &'static str) -> Self {
        Self::of(
            RequestStatus::Refused,
            answer,
            Some("challenge_failed".into()),
            text.to_owned(),
            None,
            Some(advice),
        )
    }

    fn of(
        fate: RequestStatus,
        answer: &ClientResponse,
        code: Option<String>,
        text: String,
        detail: Option<String>,
        advice: Option<&'static str>,
    ) -> Self {
        let (code, text) = (
            code.map(|code| plain(&code, MAX_TEXT)),
            plain(&text, MAX_TEXT),
        );
        let reason = OutcomeReason {
            fate,
            status: Some(answer.status),
            code,
            text,
        };
        let request_id = answer
            .header("x-request-id")
            .map(Cow::into_owned)
            .or_else(|| answer.field("request_id"));
        Self {
            reason,
            detail: detail.map(|detail| plain(&detail, MAX_TEXT)),
            request_id: request_id.map(|id| plain(&id, MAX_TEXT)),
            advice,
        }
    }

    /// There was no answer. `presented` says whether a client certificate was.
    pub(super) fn failed(failure: &ClientFailure, was_connected: bool, presented: bool) -> Self {
        let fate = match failure {
            ClientFailure::Alert(alert) if is_about_the_client(*alert) => RequestStatus::Refused,
            _ if was_connected => RequestStatus::Unanswered,
            _ => RequestStatus::Unreachable,
        };
        let code = match failure {
            ClientFailure::Alert(alert) => format!("tls_{}", alert_name(*alert)),
            ClientFailure::HungUp(_) => "connection_closed".into(),
            ClientFailure::Silent => "timeout".into(),
            ClientFailure::Untrusted(_) => "server_certificate".into(),
            ClientFailure::Unresolved(_) => "unresolved".into(),
            ClientFailure::NobodyListens => "connection_refused".into(),
            ClientFailure::NotTls => "not_tls".into(),
            ClientFailure::NotHttp(_) => "not_http".into(),
            ClientFailure::NoFilesLeft => "too_many_open_files".into(),
            ClientFailure::Other(_) => "failed".into(),
        };
        let advice = advice::of_failure(failure, was_connected, presented);
        Self::without_answer(fate, code, plain(&failure.to_string(), MAX_TEXT), advice)
    }

    /// Nobody waits for the answer any more.
    pub(super) fn interrupted() -> Self {
        let text = "it was interrupted before the answer came";
        Self::without_answer(
            RequestStatus::Unanswered,
            "interrupted".into(),
            text.into(),
            None,
        )
    }

    fn without_answer(
        fate: RequestStatus,
        code: String,
        text: String,
        advice: Option<&'static str>,
    ) -> Self {
        let reason = OutcomeReason {
            fate,
            status: None,
            code: Some(code),
            text,
        };
        Self {
            reason,
            detail: None,
            request_id: None,
            advice,
        }
    }
}

/// Whether a server that says this has heard who the client is.
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

/// The body, if there is one.
fn said(answer: &ClientResponse) -> Option<String> {
    let text = String::from_utf8_lossy(&answer.body);
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}

fn named(status: u16) -> String {
    StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("an unknown status")
        .into()
}
