//! The scenes: requests of Netdata Cloud, forged requests, and their expected outcomes.

use super::application::{self, ReceivedRequest};
use super::bodies::{Bodies, NOT_JSON, SCHEMA_MISMATCH};
use super::client::{DemoRequest, SceneResult};
use super::table::Cell;
use crate::commands::client::alert_name;
use crate::commands::client::pki::NETDATA;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Method;
use rustls::AlertDescription;
use serde_json::Value;
use sha2::Sha256;

/// Path of the only route.
pub(super) const PATH: &str = "/webhooks/netdata";
/// A challenge whose token must be percent-decoded, with another parameter.
const CHALLENGE: &str = "/webhooks/netdata?nonce=1&crc_token=kR7%2BvQ+2x/A%3D";
/// Decoded token of the challenge.
const CRC_TOKEN: &str = "kR7+vQ 2x/A=";
/// A common name that begins with that of Netdata Cloud.
const NETDATA_AS_PREFIX: &str = "app.netdata.cloud.test";
/// Common name of another client of the same authority.
const OTHER_CLIENT: &str = "registry.netdata.cloud";
/// The verification of the client, in the header for the application.
const VERIFIED: &str = "client-certificate, bearer";

/// Certificate of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SceneIdentity {
    /// A certificate like that of Netdata Cloud.
    Netdata,
    NoCertificate,
    /// The right names, but issued by another authority of the same name.
    ForeignCa,
    /// Another common name, issued by the right authority.
    Named(&'static str),
}

/// Expected outcome of a scene.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ExpectedOutcome {
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
    pub(super) outcome: ExpectedOutcome,
}

/// Returns requests as Netdata Cloud sends them.
pub(super) fn genuine<'a>(secret: &str, token: &'a str, bodies: &'a Bodies) -> Vec<Scene<'a>> {
    vec![
        challenge(secret, token),
        Scene {
            outcome: forwarded("alert", "critical"),
            ..notification("Alert, flat", token, &bodies.alert_flat, ", documented")
        },
        Scene {
            outcome: forwarded("alert", "warning"),
            ..notification("Alert, nested", token, &bodies.alert_nested, ", observed")
        },
        Scene {
            outcome: forwarded("reachability", "critical"),
            ..notification(
                "Reachability, flat",
                token,
                &bodies.reachability_flat,
                ", documented",
            )
        },
        Scene {
            outcome: forwarded("reachability", "info"),
            ..notification(
                "Reachability, nested",
                token,
                &bodies.reachability_nested,
                ", observed",
            )
        },
        notification("Test notification", token, &bodies.test, ", a token"),
    ]
}

fn challenge<'a>(secret: &str, token: &'a str) -> Scene<'a> {
    Scene {
        name: "Challenge",
        detail: "GET ?crc_token=…".into(),
        identity: SceneIdentity::Netdata,
        message: DemoRequest {
            method: Method::GET,
            target: CHALLENGE,
            token,
            body: "",
        },
        outcome: ExpectedOutcome::Proven {
            response_token: response_token(secret),
        },
    }
}

/// Returns a scene with a notification that the proxy acknowledges.
fn notification<'a>(name: &'static str, token: &'a str, body: &'a str, note: &str) -> Scene<'a> {
    Scene {
        name,
        detail: format!("{} bytes{note}", body.len()),
        identity: SceneIdentity::Netdata,
        message: post(token, body),
        outcome: ExpectedOutcome::Kept,
    }
}

fn forwarded(notification: &'static str, severity: &'static str) -> ExpectedOutcome {
    ExpectedOutcome::Forwarded {
        notification,
        severity,
    }
}

/// Returns forged requests, each with one mistake.
pub(super) fn forged<'a>(token: &'a str, bodies: &'a Bodies) -> Vec<Scene<'a>> {
    let alert = || post(token, &bodies.alert_flat);
    let mut scenes = forged_certificates(&alert);
    scenes.extend(forged_requests(token, alert()));
    scenes
}

fn forged_certificates<'a>(alert: &dyn Fn() -> DemoRequest<'a>) -> Vec<Scene<'a>> {
    use SceneIdentity::{ForeignCa, Named, NoCertificate};

    let scene = |name, detail: &str, identity, outcome| Scene {
        name,
        detail: detail.into(),
        identity,
        message: alert(),
        outcome,
    };
    let no_certificate = ExpectedOutcome::Alert(NO_CERTIFICATE);
    let foreign_ca = ExpectedOutcome::Alert(FOREIGN_CA);
    let mismatch = || refused(403, "common_name_mismatch");
    vec![
        scene(
            "No certificate",
            "otherwise valid",
            NoCertificate,
            no_certificate,
        ),
        scene("Foreign CA", "same names, other key", ForeignCa, foreign_ca),
        scene("Wrong CN", OTHER_CLIENT, Named(OTHER_CLIENT), mismatch()),
        scene(
            "CN as prefix",
            NETDATA_AS_PREFIX,
            Named(NETDATA_AS_PREFIX),
            mismatch(),
        ),
    ]
}

fn forged_requests<'a>(token: &'a str, alert: DemoRequest<'a>) -> Vec<Scene<'a>> {
    let scene = |name, detail: &str, message, outcome| Scene {
        name,
        detail: detail.into(),
        identity: SceneIdentity::Netdata,
        message,
        outcome,
    };
    let guessed = DemoRequest {
        token: "guessed",
        ..alert
    };
    vec![
        scene(
            "Wrong token",
            "Bearer guessed",
            guessed,
            refused(401, "authorization_invalid"),
        ),
        scene(
            "Body that is not JSON",
            "a word without quotes",
            post(token, NOT_JSON),
            refused(400, "invalid_json"),
        ),
        scene(
            "Schema mismatch",
            "a string as the state",
            post(token, SCHEMA_MISMATCH),
            refused(422, "schema_mismatch"),
        ),
    ]
}

fn refused(status: u16, code: &'static str) -> ExpectedOutcome {
    ExpectedOutcome::Refused { status, code }
}

/// Alert for a client without a certificate.
const NO_CERTIFICATE: AlertDescription = AlertDescription::CertificateRequired;
/// Alert for a certificate with the name of a known issuer, and the signature of another.
const FOREIGN_CA: AlertDescription = AlertDescription::DecryptError;

fn post<'a>(token: &'a str, body: &'a str) -> DemoRequest<'a> {
    DemoRequest {
        method: Method::POST,
        target: PATH,
        token,
        body,
    }
}

/// Computes the response as Netdata Cloud does. It does not use the function of the proxy, which is
/// what the demo tests.
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
    /// Returns the common name in the certificate.
    pub(super) fn common_name(self) -> &'static str {
        match self {
            Self::Named(name) => name,
            _ => NETDATA,
        }
    }
}

impl Scene<'_> {
    /// Returns `true` if the client and the application received what they must.
    pub(super) fn passed(&self, answer: &SceneResult, received: &[ReceivedRequest]) -> bool {
        self.has_right_response(answer)
            && match &self.outcome {
                ExpectedOutcome::Forwarded {
                    notification,
                    severity,
                } => {
                    matches!(received, [one] if self.is_right_request(one, notification, severity))
                }
                _ => received.is_empty(),
            }
    }

    fn has_right_response(&self, result: &SceneResult) -> bool {
        match &self.outcome {
            ExpectedOutcome::Forwarded { .. } => {
                let own = SceneResult::Response {
                    status: application::STATUS,
                    body: application::BODY.into(),
                };
                *result == own
            }
            ExpectedOutcome::Proven { response_token } => has_member(
                result,
                200,
                "response_token",
                response_token.as_str().into(),
            ),
            ExpectedOutcome::Kept => has_member(result, 200, "received", true.into()),
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
            && received.verified() == VERIFIED
            && received.header("Authorization").is_none()
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
        let (status, body) = match result {
            SceneResult::Alert(alert) => {
                let headline = format!("TLS alert {}", alert_name(*alert));
                return Cell::new(headline, "without a connection");
            }
            SceneResult::Failed(error) => return Cell::new("no response", error.as_str()),
            SceneResult::Response { status, body } => (*status, body.as_str()),
        };
        if let Value::String(code) = field(body, "code") {
            let detail = field(body, "detail");
            let detail = detail.as_str().unwrap_or_default();
            return Cell::new(format!("{status} {code}"), detail);
        }
        if let Value::String(token) = field(body, "response_token") {
            let verdict = if self.has_right_response(result) {
                "right"
            } else {
                "wrong"
            };
            let headline = format!("{status}, the HMAC is {verdict}");
            return Cell::new(headline, shortened(&token));
        }
        let origin = if status == application::STATUS {
            "application"
        } else {
            "proxy"
        };
        Cell::new(format!("{status} of the {origin}"), body)
    }

    fn application_cell(&self, received: &[ReceivedRequest]) -> Cell {
        match received {
            [] => Cell::new("nothing", ""),
            [one] => Cell::new(one.subject(), self.comparison(one)),
            several => Cell::new(format!("{} requests", several.len()), ""),
        }
    }

    fn comparison(&self, received: &ReceivedRequest) -> String {
        let identical = if received.body == self.message.body.as_bytes() {
            "identical"
        } else {
            "CHANGED"
        };
        let leak = if received.header("Authorization").is_some() {
            "; WITH CREDENTIALS"
        } else {
            ""
        };
        let proof = match received.verified() {
            VERIFIED => String::new(),
            other => format!("; verified by {other:?}"),
        };
        format!("{} bytes, {identical}{proof}{leak}", received.body.len())
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
        let answer = response(application::STATUS, application::BODY);
        assert!(scene.passed(&answer, std::slice::from_ref(&good)));
        assert!(!scene.passed(
            &response(200, application::BODY),
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
    fn a_forgery_must_be_refused_for_its_reason() {
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
        assert!(!scene.passed(&SceneResult::Failed("connection reset".into()), &[]));
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
