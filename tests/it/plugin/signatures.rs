//! The gate signs each attempt, as the program does.

use super::{BODIES, SECRET, Scene, builder};
use crate::support::{Http2, WEBHOOK};
use http::HeaderMap;
use netdata_webhook_proxy::{Gate, WebhookRoute};
use standardwebhooks::Webhook;

const FIRST: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SECOND: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn route(secrets: &[&str]) -> WebhookRoute {
    secrets
        .iter()
        .fold(WebhookRoute::new(), |route, secret| route.sign(*secret))
}

/// Whether the latest request is signed with each of both secrets.
fn signed(scene: &Scene) -> [bool; 2] {
    let received = scene.origin.received().pop().unwrap();
    let fields = received.headers.iter();
    let fields = fields.filter(|(name, _)| name.starts_with("webhook-"));
    let fields = fields.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    let headers: HeaderMap = fields.collect();
    if !headers.is_empty() {
        assert_eq!(headers.len(), 3, "{received:?}");
        assert_eq!(headers["webhook-id"], received.header("Idempotency-Key"));
    }
    let is_by = |secret| {
        let key = Webhook::new(secret).unwrap();
        key.verify(&received.body, &headers).is_ok()
    };
    [FIRST, SECOND].map(is_by)
}

#[test]
fn each_secret_of_a_route_signs() {
    let scene = Scene::with(
        |builder| {
            builder
                .route("/one", route(&[FIRST]))
                .route("/both", route(&[FIRST, SECOND]))
        },
        None,
    );
    let client = scene.netdata();
    let mut http2 = Http2::connect(&client).unwrap();
    let forged = "webhook-id: forged\r\nWebhook_Signature: forged\r\n";
    for (target, expected) in [
        (WEBHOOK, [false, false]),
        ("/one", [true, false]),
        ("/both", [true, true]),
    ] {
        for body in BODIES {
            let answer = client.send("POST", target, forged, body).unwrap();
            assert_eq!((answer.status, signed(&scene)), (200, expected), "{target}");
            let forged = ["webhook-signature: forged"];
            let answer = http2.send("POST", target, &forged, body).unwrap();
            assert_eq!((answer.status, signed(&scene)), (200, expected), "{target}");
        }
    }
}

#[test]
fn a_policy_that_replaces_another_brings_its_secrets() {
    let scene = Scene::with(|builder| builder.route("/one", route(&[FIRST])), None);
    let mut connection = scene.netdata().connect().unwrap();
    let mut send = || {
        connection
            .send("POST", "/one", "", BODIES[0])
            .unwrap()
            .status
    };
    assert_eq!((send(), signed(&scene)), (200, [true, false]));
    let next = builder(&scene.pki, &["app.netdata.cloud"]).route("/one", route(&[SECOND]));
    scene.gate.replace(next.build_policy().unwrap());
    assert_eq!((send(), signed(&scene)), (200, [false, true]));
}

#[test]
fn a_secret_that_is_no_key_is_an_error_without_the_secret() {
    for (secret, said) in [
        (SECRET, "is a key of 21 bytes"),
        ("whsec_YOUR_CHALLENGE_SECRET", "but base64 does not follow"),
        ("", "is a key of 0 bytes"),
    ] {
        let built = Gate::builder()
            .route("/one", route(&[FIRST, secret]))
            .build();
        let error = built.unwrap_err().to_string();
        assert!(error.contains("/one") && error.contains(said), "{error}");
        assert!(!error.contains(SECRET), "{error}");
    }
}
