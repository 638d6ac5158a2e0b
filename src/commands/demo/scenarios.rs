//! The scenes: what Netdata Cloud sends, what a forger sends, and how each must end.

use super::application::{self, ReceivedRequest};
use super::bodies::{Bodies, NOT_JSON, SCHEMA_MISMATCH};
use super::client::{DemoRequest, SceneResult};
use super::table::Cell;
use crate::commands::client::alert_name;
use crate::commands::client::pki::NETDATA;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rustls::AlertDescription;
use serde_json::Value;
use sha2::Sha256;

/// The path of the only route.
pub(super) const PATH: &str = "/webhooks/netdata";
/// A challenge whose token says something else once it is decoded, and one parameter more.
const CHALLENGE: &str = "/webhooks/netdata?nonce=1&crc_token=kR7%2BvQ+2x/A%3D";
/// The token in it.
const CRC_TOKEN: &str = "kR7+vQ 2x/A=";
/// The subject that Netdata Cloud has, to those who compare by prefix.
const NETDATA_AS_PREFIX: &str = "app.netdata.cloud.evil.example";
/// Another customer of the same authority.
const SOMEBODY_ELSE: &str = "registry.netdata.cloud";
/// What the application is told of who the sender is.
const VERIFIED: &str = "client-certificate, bearer";

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SceneIdentity {
    /// Presents what Netdata Cloud presents.
    Netdata,
    /// Presents no certificate.
    Nobody,
    /// Presents the right names, from an authority of its own of the same name.
    ForeignCa,
    /// Presents this common name, from the right authority.
    Named(&'static str),
}

/// How a scene must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ExpectedOutcome {
    /// The application gets the body byte for byte, and its answer comes back.
    Forwarded {
        /// What the proxy says that it is about.
        notification: &'static str,
        /// How bad the proxy says that it is.
        severity: &'static str,
    },
    /// The proxy answers the challenge; the application gets nothing.
    Proven {
        /// Computed here, from the secret.
        response_token: String,
    },
    /// The proxy answers by itself that it has it; the application gets nothing.
    Kept,
    /// There is no connection; the application gets nothing.
    Alert(AlertDescription),
    /// The proxy refuses; the application gets nothing.
    Refused {
        /// Of the answer.
        status: u16,
        /// Of the problem document.
        code: &'static str,
    },
}

/// One request, and what is to come of it.
#[derive(Clone, Debug)]
pub(super) struct Scene<'a> {
    /// What the sender plays.
    pub(super) name: &'static str,
    /// What is to be known about it.
    pub(super) detail: String,
    /// Who sends.
    pub(super) identity: SceneIdentity,
    /// What is sent.
    pub(super) message: DemoRequest<'a>,
    /// How it must end.
    pub(super) ending: ExpectedOutcome,
}

/// What Netdata Cloud sends.
pub(super) fn genuine<'a>(secret: &str, token: &'a str, bodies: &'a Bodies) -> Vec<Scene<'a>> {
    let get = DemoRequest {
        method: "GET",
        target: CHALLENGE,
        token,
        body: "",
    };
    let challenge = Scene {
        name: "Challenge",
        detail: "GET ?crc_token=…".into(),
        identity: SceneIdentity::Netdata,
        message: get,
        ending: ExpectedOutcome::Proven {
            response_token: response_token(secret),
        },
    };
    let notification = |name, body: &'a str, how, ending| Scene {
        name,
        detail: format!("POST {} bytes{how}", body.len()),
        identity: SceneIdentity::Netdata,
        message: post(token, body),
        ending,
    };
    let forwarded = |notification, severity| ExpectedOutcome::Forwarded {
        notification,
        severity,
    };
    let (flat, nested) = (", as documented", ", as observed");
    vec![
        challenge,
        notification(
            "Alert, flat",
            &bodies.alert_flat,
            flat,
            forwarded("alert", "critical"),
        ),
        notification(
            "Alert, nested",
            &bodies.alert_nested,
            nested,
            forwarded("alert", "warning"),
        ),
        notification(
            "Reachability, flat",
            &bodies.reachability_flat,
            flat,
            forwarded("reachability", "critical"),
        ),
        notification(
            "Reachability, nested",
            &bodies.reachability_nested,
            nested,
            forwarded("reachability", "info"),
        ),
        notification(
            "Test notification",
            &bodies.test,
            ", with a token",
            ExpectedOutcome::Kept,
        ),
    ]
}

/// What a forger sends, with one thing wrong each time.
pub(super) fn forged<'a>(token: &'a str, bodies: &'a Bodies) -> Vec<Scene<'a>> {
    let alert = post(token, &bodies.alert_flat);
    let scene = |name, detail: &str, identity, message, ending| Scene {
        name,
        detail: detail.into(),
        identity,
        message,
        ending,
    };
    let refused = |status, code| ExpectedOutcome::Refused { status, code };
    let named = SceneIdentity::Named;
    let other_token = DemoRequest {
        token: "guessed",
        ..alert
    };
    vec![
        scene(
            "No certificate",
            "all else is right",
            SceneIdentity::Nobody,
            alert,
            ExpectedOutcome::Alert(NO_CERTIFICATE),
        ),
        scene(
            "Foreign CA",
            "the same names, another key",
            SceneIdentity::ForeignCa,
            alert,
            ExpectedOutcome::Alert(FOREIGN_CA),
        ),
        scene(
            "Wrong CN",
            SOMEBODY_ELSE,
            named(SOMEBODY_ELSE),
            alert,
            refused(403, "common_name_mismatch"),
        ),
        scene(
            "CN as prefix",
            NETDATA_AS_PREFIX,
            named(NETDATA_AS_PREFIX),
            alert,
            refused(403, "common_name_mismatch"),
        ),
        scene(
            "Wrong token",
            "Bearer guessed",
            SceneIdentity::Netdata,
            other_token,
            refused(401, "authorization_invalid"),
        ),
        scene(
            "Body that is not JSON",
            "a word without quotes in it",
            SceneIdentity::Netdata,
            post(token, NOT_JSON),
            refused(400, "invalid_json"),
        ),
        scene(
            "Schema mismatch",
            "a string instead of an object",
            SceneIdentity::Netdata,
            post(token, SCHEMA_MISMATCH),
            refused(422, "schema_mismatch"),
        ),
    ]
}

const NO_CERTIFICATE: AlertDescription = AlertDescription::CertificateRequired;
/// The issuer's name is known, and the signature is not its own.
const FOREIGN_CA: AlertDescription = AlertDescription::DecryptError;

fn post<'a>(token: &'a str, body: &'a str) -> DemoRequest<'a> {
    DemoRequest {
        method: "POST",
        target: PATH,
        token,
        body,
    }
}

/// What Netdata Cloud computes to compare the answer with. Not by the proxy's own function, which
/// is what is shown.
fn response_token(secret: &str) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(CRC_TOKEN.as_bytes());
    format!(
        "sha256={}",
        BASE64_STANDARD.encode(mac.finalize().into_bytes())
    )
}

impl SceneIdentity {
    /// The common name in the certificate.
    pub(super) fn common_name(self) -> &'static str {
        match self {
            Self::Named(name) => name,
            _ => NETDATA,
        }
    }
}

impl Scene<'_> {
    /// Whether it ended as it must: on both sides.
    pub(super) fn passed(&self, answer: &SceneResult, received: &[ReceivedRequest]) -> bool {
        self.is_answered_well(answer)
            && match &self.ending {
                ExpectedOutcome::Forwarded {
                    notification,
                    severity,
                } => {
                    matches!(received, [one] if self.is_forwarded_well(one, notification, severity))
                }
                _ => received.is_empty(),
            }
    }

    fn is_answered_well(&self, answer: &SceneResult) -> bool {
        let is = |wanted: u16, key: &str, value: &Value| matches!(answer, SceneResult::Response { status, body } if *status == wanted && field(body, key) == *value);
        match &self.ending {
            ExpectedOutcome::Forwarded { .. } => {
                let own = SceneResult::Response {
                    status: application::STATUS,
                    body: application::ANSWER.into(),
                };
                *answer == own
            }
            ExpectedOutcome::Proven { response_token } => {
                is(200, "response_token", &response_token.as_str().into())
            }
            ExpectedOutcome::Kept => is(200, "received", &true.into()),
            ExpectedOutcome::Refused { status, code } => is(*status, "code", &(*code).into()),
            ExpectedOutcome::Alert(alert) => *answer == SceneResult::Alert(*alert),
        }
    }

    fn is_forwarded_well(
        &self,
        received: &ReceivedRequest,
        notification: &str,
        severity: &str,
    ) -> bool {
        received.body == self.message.body.as_bytes()
            && (received.notification(), received.severity()) == (notification, severity)
            && received.verified() == VERIFIED
            && received.header("Authorization").is_none()
    }

    /// What was sent, what came back, and what the application received.
    pub(super) fn cells(&self, answer: &SceneResult, received: &[ReceivedRequest]) -> [Cell; 3] {
        [
            Cell::new(self.name, self.detail.as_str()),
            self.answer_cell(answer),
            self.application_cell(received),
        ]
    }

    fn answer_cell(&self, answer: &SceneResult) -> Cell {
        match answer {
            SceneResult::Alert(alert) => Cell::new(
                format!("TLS alert {}", alert_name(*alert)),
                "and no connection",
            ),
            SceneResult::ClientFailure(error) => Cell::new("no answer", error.as_str()),
            SceneResult::Response { status, body } => {
                match (field(body, "code"), field(body, "response_token")) {
                    (Value::String(code), _) => Cell::new(
                        format!("{status} {code}"),
                        field(body, "detail").as_str().unwrap_or_default(),
                    ),
                    (_, Value::String(token)) => {
                        let verdict = if self.is_answered_well(answer) {
                            "right"
                        } else {
                            "wrong"
                        };
                        Cell::new(
                            format!("{status}, the HMAC is {verdict}"),
                            shortened(&token),
                        )
                    }
                    _ if *status == application::STATUS => {
                        Cell::new(format!("{status} of the application"), body.as_str())
                    }
                    _ => Cell::new(format!("{status} of the proxy"), body.as_str()),
                }
            }
        }
    }

    fn application_cell(&self, received: &[ReceivedRequest]) -> Cell {
        match received {
            [] => Cell::new("nothing", ""),
            [one] => {
                let identical = if one.body == self.message.body.as_bytes() {
                    "identical"
                } else {
                    "CHANGED"
                };
                let leak = if one.header("Authorization").is_some() {
                    "; WITH CREDENTIALS"
                } else {
                    ""
                };
                let detail = format!(
                    "{} bytes, {identical}; by {}{leak}",
                    one.body.len(),
                    one.verified()
                );
                Cell::new(one.subject(), detail)
            }
            several => Cell::new(format!("{} requests", several.len()), ""),
        }
    }
}

impl std::fmt::Display for ExpectedOutcome {
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
            Self::Alert(alert) => write!(f, "TLS alert {}; nothing", alert_name(*alert)),
            Self::Refused { status, code } => write!(f, "{status} {code}; nothing"),
        }
    }
}

/// A member of a JSON object, or null.
fn field(body: &str, key: &str) -> Value {
    serde_json::from_str::<Value>(body)
        .ok()
        .and_then(|mut json| json.get_mut(key).map(Value::take))
        .unwrap_or_default()
}

fn shortened(token: &str) -> String {
    token.chars().take(20).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, body: &str) -> SceneResult {
        SceneResult::Response {
            status,
            body: body.into(),
        }
    }

    fn forwarded(scene: &Scene<'_>, extra: &str) -> ReceivedRequest {
        let head = format!(
            "POST / HTTP/1.1\r\nX-Netdata-Verified: {VERIFIED}\r\nX-Netdata-Notification: alert\r\n\
             X-Netdata-Severity: critical\r\n{extra}\r\n"
        );
        ReceivedRequest {
            head,
            body: scene.message.body.into(),
        }
    }

    #[test]
    fn an_alert_must_arrive_once_and_unchanged() {
        let bodies = Bodies::new();
        let scenes = genuine("YOUR_CHALLENGE_SECRET", "t", &bodies);
        let scene = &scenes[1];
        let good = forwarded(scene, "");
        let changed = ReceivedRequest {
            body: b"{}".to_vec(),
            ..good.clone()
        };
        let leaking = forwarded(scene, "authorization: Bearer t\r\n");
        let answer = response(application::STATUS, application::ANSWER);
        assert!(scene.passed(&answer, std::slice::from_ref(&good)));
        assert!(!scene.passed(
            &response(200, application::ANSWER),
            std::slice::from_ref(&good)
        ));
        for received in [
            vec![],
            vec![changed],
            vec![leaking],
            vec![good.clone(), good],
        ] {
            assert!(!scene.passed(&answer, &received), "{received:?}");
        }
    }

    #[test]
    fn a_forgery_must_be_refused_for_its_reason_and_reach_nobody() {
        let bodies = Bodies::new();
        let scenes = forged("t", &bodies);
        let scene = scenes
            .iter()
            .find(|scene| scene.name == "Wrong CN")
            .unwrap();
        let refusal = response(403, "{\"code\":\"common_name_mismatch\"}");
        assert!(scene.passed(&refusal, &[]));
        assert!(!scene.passed(&refusal, &[ReceivedRequest::default()]));
        assert!(!scene.passed(&response(403, "{\"code\":\"space_not_allowed\"}"), &[]));
        assert!(!scene.passed(&response(200, ""), &[]));
        assert!(!scene.passed(&SceneResult::ClientFailure("connection reset".into()), &[]));
    }

    #[test]
    fn the_challenge_is_proven_by_the_secret_alone() {
        let bodies = Bodies::new();
        let scenes = genuine("YOUR_CHALLENGE_SECRET", "t", &bodies);
        let right = format!(
            "{{\"response_token\":\"{}\"}}",
            response_token("YOUR_CHALLENGE_SECRET")
        );
        let wrong = format!("{{\"response_token\":\"{}\"}}", response_token("another"));
        assert!(scenes[0].passed(&response(200, &right), &[]));
        assert!(!scenes[0].passed(&response(200, &wrong), &[]));
    }
}
