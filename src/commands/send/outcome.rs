//! How a request ended, in words that are safe to show.

use super::advice;
use crate::commands::client::{Answer, Failure, alert_name};
use crate::sanitize::{MAX_TEXT, plain};
use http::StatusCode;
use rustls::AlertDescription;
use serde::Serialize;
use std::borrow::Cow;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Fate {
    /// It was answered as it should be.
    Accepted,
    /// It was answered otherwise, or refused in TLS.
    Refused,
    /// There was a connection, and no answer.
    Unanswered,
    /// There was no connection.
    Unreachable,
}

impl Fate {
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
pub(super) struct Reason {
    pub(super) fate: Fate,
    pub(super) status: Option<u16>,
    /// A word for it: that of the answer, or one of ours.
    pub(super) code: Option<String>,
    pub(super) text: String,
}

/// The end of a request.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    pub(super) reason: Reason,
    /// What was said about this very request.
    pub(super) detail: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) advice: Option<&'static str>,
}

impl Ending {
    /// A notification is accepted with any 2xx.
    pub(super) fn answered(answer: &Answer) -> Self {
        match answer.status {
            200..=299 => Self::accepted(answer),
            _ => Self::refused(answer),
        }
    }

    pub(super) fn accepted(answer: &Answer) -> Self {
        Self::of(
            Fate::Accepted,
            answer,
            None,
            named(answer.status),
            said(answer),
            None,
        )
    }

    pub(super) fn refused(answer: &Answer) -> Self {
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
        Self::of(Fate::Refused, answer, code, text, detail, advice)
    }

    /// A challenge that was answered wrongly.
    pub(super) fn wrong(answer: &Answer, text: &str, advice: &'static str) -> Self {
        Self::of(
            Fate::Refused,
            answer,
            Some("challenge_failed".into()),
            text.to_owned(),
            None,
            Some(advice),
        )
    }

    fn of(
        fate: Fate,
        answer: &Answer,
        code: Option<String>,
        text: String,
        detail: Option<String>,
        advice: Option<&'static str>,
    ) -> Self {
        let (code, text) = (
            code.map(|code| plain(&code, MAX_TEXT)),
            plain(&text, MAX_TEXT),
        );
        let reason = Reason {
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
    pub(super) fn failed(failure: &Failure, was_connected: bool, presented: bool) -> Self {
        let fate = match failure {
            Failure::Alert(alert) if is_about_the_client(*alert) => Fate::Refused,
            _ if was_connected => Fate::Unanswered,
            _ => Fate::Unreachable,
        };
        let code = match failure {
            Failure::Alert(alert) => format!("tls_{}", alert_name(*alert)),
            Failure::HungUp(_) => "connection_closed".into(),
            Failure::Silent => "timeout".into(),
            Failure::Untrusted(_) => "server_certificate".into(),
            Failure::Unresolved(_) => "unresolved".into(),
            Failure::NobodyListens => "connection_refused".into(),
            Failure::NotTls => "not_tls".into(),
            Failure::NotHttp(_) => "not_http".into(),
            Failure::NoFilesLeft => "too_many_open_files".into(),
            Failure::Other(_) => "failed".into(),
        };
        let advice = advice::of_failure(failure, was_connected, presented);
        Self::without_answer(fate, code, plain(&failure.to_string(), MAX_TEXT), advice)
    }

    /// Nobody waits for the answer any more.
    pub(super) fn interrupted() -> Self {
        let text = "it was interrupted before the answer came";
        Self::without_answer(Fate::Unanswered, "interrupted".into(), text.into(), None)
    }

    fn without_answer(
        fate: Fate,
        code: String,
        text: String,
        advice: Option<&'static str>,
    ) -> Self {
        let reason = Reason {
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
fn said(answer: &Answer) -> Option<String> {
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
