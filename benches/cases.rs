//! The decisions that every request is subject to, each as something to be done again and again.

#[path = "side_by_side/alerts.rs"]
mod alerts;

use bytes::Bytes;
use http::Method;
use netdata_webhook_proxy::ClientIdentity;
use netdata_webhook_proxy::internals::Authorization;
use netdata_webhook_proxy::internals::WebhookRequest;
use netdata_webhook_proxy::internals::challenge;
use netdata_webhook_proxy::internals::framing;
use netdata_webhook_proxy::internals::path::{Guarded, PathPattern, Routes};
use netdata_webhook_proxy::internals::{Secret, SecretDigest};
use netdata_webhook_proxy::{Notification, SchemaPolicy};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use std::hint::black_box;

/// A decision, and what it is called.
pub(crate) struct Case {
    pub(crate) name: String,
    /// Panics if the decision is not the expected one.
    pub(crate) decide: Box<dyn Fn()>,
}

impl Case {
    fn new<T, E: std::fmt::Debug>(
        name: impl Into<String>,
        decide: impl Fn() -> Result<T, E> + 'static,
    ) -> Self {
        let decide = move || drop(black_box(decide().expect("every case is one that passes")));
        Self {
            name: name.into(),
            decide: Box::new(decide),
        }
    }
}

/// All of them, in the order in which a request meets them.
pub(crate) fn all() -> Vec<Case> {
    [
        framing(),
        routing(),
        subject(),
        authorization(),
        challenge(),
        body(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn framing() -> Vec<Case> {
    let head = Bytes::from_static(
        b"POST /webhooks/netdata HTTP/1.1\r\nHost: example.com\r\nUser-Agent: Go-http-client/1.1\r\n\
          Content-Length: 1024\r\nAuthorization: Bearer s3cret\r\nContent-Type: application/json\r\n\
          Accept-Encoding: gzip\r\n\r\n",
    );
    vec![Case::new("reading of a head", move || {
        framing::parse(black_box(head.clone()))
    })]
}

/// A route of which each demands more than the one before, so that none may be passed by.
struct Behind(PathPattern, usize);

impl Guarded for Behind {
    fn path(&self) -> &PathPattern {
        &self.0
    }

    fn demands_at_least(&self, other: &Self) -> bool {
        self.1 >= other.1
    }
}

fn routing() -> Vec<Case> {
    let case = |count: usize| {
        let pattern = |number| {
            PathPattern::parse(&format!("/webhooks/netdata/{number}")).expect("it is a plain path")
        };
        let routes = Routes::new(
            (0..count)
                .map(|number| Behind(pattern(number), number))
                .collect(),
        );
        let path = format!("/webhooks/netdata/{}", count - 1);
        Case::new(format!("routing, 1 of {count}"), move || {
            routes.find(black_box(&path)).map(|_| ())
        })
    };
    vec![case(1), case(100), case(10_000)]
}

fn subject() -> Vec<Case> {
    let certificate = certificate();
    let allowed = ["app.netdata.cloud".to_owned()];
    vec![Case::new("subject of an RSA-2048 certificate", move || {
        let identity =
            ClientIdentity::from_der(black_box(&certificate)).expect("it is a certificate");
        identity.check_common_name(&allowed).map(|()| identity)
    })]
}

fn certificate() -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for (kind, value) in [
        (DnType::CountryName, "US"),
        (DnType::StateOrProvinceName, "California"),
        (DnType::OrganizationName, "Netdata, Inc."),
        (DnType::CommonName, "app.netdata.cloud"),
    ] {
        params.distinguished_name.push(kind, value);
    }
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
        .expect("aws-lc-rs makes RSA keys");
    params
        .self_signed(&key)
        .expect("the parameters are complete")
        .der()
        .to_vec()
}

fn authorization() -> Vec<Case> {
    let digest = |secret: &str| SecretDigest::of(secret.as_bytes());
    let case = |name: &str, accepted: Authorization, header: &'static [u8]| {
        Case::new(name, move || {
            accepted.check([black_box(header)].into_iter())
        })
    };
    let tokens = |count: usize| {
        let tokens = (0..count).map(|number| digest(&format!("token-{number}")));
        tokens.fold(Authorization::default(), Authorization::with_bearer)
    };
    let basic = Authorization::default().with_basic("netdata", digest("s3cret"));
    vec![
        case("Authorization, Basic", basic, b"Basic bmV0ZGF0YTpzM2NyZXQ="),
        case(
            "Authorization, Bearer, 1 of 1",
            tokens(1),
            b"Bearer token-0",
        ),
        case(
            "Authorization, Bearer, 1 of 1,000",
            tokens(1000),
            b"Bearer token-500",
        ),
    ]
}

fn challenge() -> Vec<Case> {
    let secret = Secret::new(b"YOUR_CHALLENGE_SECRET".to_vec());
    vec![Case::new("challenge", move || {
        WebhookRequest::classify(&Method::GET, Some(black_box(b"crc_token=NDhlZjk0")), true).map(
            |ask| match ask {
                WebhookRequest::Challenge { crc_token } => challenge::answer(&secret, &crc_token),
                WebhookRequest::Notification => unreachable!("a GET is not a notification"),
            },
        )
    })]
}

fn body() -> Vec<Case> {
    let case = |name: &str, body: String| {
        Case::new(format!("body, {name}"), move || {
            Notification::verify(black_box(body.as_bytes()), SchemaPolicy::Enforce, &[])
        })
    };
    vec![
        case("flat", alerts::FLAT.to_owned()),
        case("nested, 2.5 KiB", alerts::alert(2560)),
        case("nested, 64 KiB", alerts::alert(64 * 1024)),
    ]
}
