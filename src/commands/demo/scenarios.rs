//! The scenes: requests of Netdata Cloud, and forged requests.

use super::bodies::{Bodies, NOT_JSON, SCHEMA_MISMATCH};
use super::client::{DemoRequest, SceneIdentity};
use super::outcome::{ExpectedOutcome, Scene};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Method;
use rustls::AlertDescription;
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

/// Returns requests as Netdata Cloud sends them.
pub(super) fn genuine<'a>(secret: &str, token: &'a str, bodies: &'a Bodies) -> Vec<Scene<'a>> {
    let mut scenes = vec![challenge(secret, token)];
    scenes.extend(alerts(token, bodies));
    scenes.extend(reachability(token, bodies));
    let test = notification("Test notification", token, &bodies.test, ", a token");
    scenes.push(test);
    scenes
}

fn alerts<'a>(token: &'a str, bodies: &'a Bodies) -> [Scene<'a>; 2] {
    [
        Scene {
            outcome: forwarded("alert", "critical"),
            ..notification("Alert, flat", token, &bodies.alert_flat, ", documented")
        },
        Scene {
            outcome: forwarded("alert", "warning"),
            ..notification("Alert, nested", token, &bodies.alert_nested, ", observed")
        },
    ]
}

fn reachability<'a>(token: &'a str, bodies: &'a Bodies) -> [Scene<'a>; 2] {
    let (flat, nested) = (&bodies.reachability_flat, &bodies.reachability_nested);
    [
        Scene {
            outcome: forwarded("reachability", "critical"),
            ..notification("Reachability, flat", token, flat, ", documented")
        },
        Scene {
            outcome: forwarded("reachability", "info"),
            ..notification("Reachability, nested", token, nested, ", observed")
        },
    ]
}

/// Returns requests that arrive while the application is stopped. After the last one, it starts
/// again, and receives all of them in their order.
pub(super) fn missed<'a>(token: &'a str, bodies: &'a Bodies) -> Vec<Scene<'a>> {
    let stored = |name, body, arriving| Scene {
        outcome: ExpectedOutcome::Stored { arriving },
        ..notification(name, token, body, ", documented")
    };
    let (alert, clear) = (&*bodies.missed_alert, &*bodies.missed_clear);
    vec![
        stored("Critical alert", alert, vec![]),
        Scene {
            detail: "then it starts again".into(),
            ..stored("Its end", clear, vec![alert, clear])
        },
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

fn forwarded(notification: &'static str, severity: &'static str) -> ExpectedOutcome<'static> {
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
    let stopped = |name, detail, identity, alert| {
        scene(name, detail, identity, ExpectedOutcome::Alert(alert))
    };
    let mismatch = |name, common_name| {
        let outcome = refused(403, "common_name_mismatch");
        scene(name, common_name, Named(common_name), outcome)
    };
    vec![
        stopped(
            "No certificate",
            "otherwise valid",
            NoCertificate,
            NO_CERTIFICATE,
        ),
        stopped("Foreign CA", "same names, other key", ForeignCa, FOREIGN_CA),
        mismatch("Wrong CN", OTHER_CLIENT),
        mismatch("CN as prefix", NETDATA_AS_PREFIX),
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

fn refused(status: u16, code: &'static str) -> ExpectedOutcome<'static> {
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
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes());
    let mut mac = mac.expect("HMAC takes a key of any length");
    mac.update(CRC_TOKEN.as_bytes());
    let hmac = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    format!("sha256={hmac}")
}

#[cfg(test)]
mod tests {
    use super::super::application::{self, ReceivedRequest};
    use super::super::client::SceneResult;
    use super::super::outcome::VERIFIED;
    use super::*;

    #[test]
    fn what_is_stored_must_arrive_in_its_order() {
        let bodies = Bodies::new();
        let scenes = missed("t", &bodies);
        let [alert, clear] = &scenes[..] else {
            panic!("{scenes:?}")
        };
        let queued = response(202, "{\"queued\":true}");
        let (first, second) = (forwarded(alert, ""), forwarded(clear, ""));
        assert!(alert.passed(&queued, &[]));
        assert!(!alert.passed(&queued, std::slice::from_ref(&first)));
        assert!(!alert.passed(&response(202, application::BODY), &[]));
        assert!(clear.passed(&queued, &[first.clone(), second.clone()]));
        assert!(!clear.passed(&queued, &[second.clone(), first.clone()]));
        assert!(!clear.passed(&queued, std::slice::from_ref(&first)));
        assert!(!clear.passed(&queued, &[first, second.clone(), second]));
    }

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
