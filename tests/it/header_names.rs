//! What becomes of header fields by their names: each name of each list alone, in every spelling
//! that some application takes for it, and never named in `Connection`, which would drop it anyway.
//!
//! | fault | kind | test |
//! |---|---|---|
//! | with `client-cert-chain` or `idempotency-key` deleted from the list, all tests passed | a protection that is tested together with its double | `what_is_not_the_senders_to_say_is_dropped`, which deleting any entry fails |
//! | `X.Netdata.Client.CN` is `HTTP_X_NETDATA_CLIENT_CN` to PHP | names that are equal to the application alone | the same, and `check_refuses_to_set_what_is_reserved` |
//! | `Forwarded`, `X-Forwarded-Port`, `X-Original-URL`, `Proxy` and others passed from strangers | what only a proxy says | the same, and `a_trusted_proxy_is_believed_in_its_own_spelling` |
//! | `X-SSL-Client-Verify: SUCCESS`, `X-Remote-User` and others passed as sent, to applications that believe them | what only the proxy in front may assert | the same, `what_asserts_an_identity_is_counted`, and `what_is_named_is_let_pass` |
//! | `Connection` with 14,000 names was compared with each field | work that grows with the square of a head | `connection_names_as_many_fields_as_a_head_may_have` |
//! | `check` accepted `set_headers` of `Client-Cert-Chain`, `Expect`, `HTTP2-Settings` | lists that drift apart | `check_refuses_to_set_what_is_reserved`, `the_lists_are_whole` |

use crate::support::{Http2, Operator, Origin, Pki, Proxy, Sender, WEBHOOK, is_documented};
use netdata_webhook_proxy::internals::header_class::{self, Class};
use std::process::Command;

const ALERT: &str = r#"{"alert":{"transition_id":"t-1","state":{"status":"Critical"}}}"#;

const HOP_BY_HOP: [&str; 10] = [
    "Connection",
    "Expect",
    "HTTP2-Settings",
    "Keep-Alive",
    "Proxy-Authorization",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
];

const FRAMING: [&str; 1] = ["Content-Length"];

/// And one that begins like ours.
const OURS: [&str; 7] = [
    "Client-Cert",
    "Client-Cert-Chain",
    "Idempotency-Key",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
    "X-Netdata-Anything",
];

const PRESET: [&str; 6] = [
    "Forwarded",
    "Host",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Request-Id",
];

/// And one that begins like others.
const FORWARDING: [&str; 36] = [
    "CF-Connecting-IP",
    "CF-Connecting-IPv6",
    "CF-Pseudo-IPv4",
    "CF-Visitor",
    "Client-IP",
    "Fastly-Client-IP",
    "Fly-Client-IP",
    "Forwarded-For",
    "Front-End-Https",
    "Proxy",
    "True-Client-IP",
    "X-Appengine-User-IP",
    "X-Azure-ClientIP",
    "X-Azure-SocketIP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Envoy-External-Address",
    "X-Envoy-Original-Path",
    "X-Forwarded",
    "X-Host",
    "X-HTTP-Host-Override",
    "X-Original-Forwarded-For",
    "X-Original-Host",
    "X-Original-URI",
    "X-Original-URL",
    "X-Originating-IP",
    "X-ProxyUser-IP",
    "X-Real-IP",
    "X-Remote-Addr",
    "X-Remote-IP",
    "X-Replaced-Path",
    "X-Rewrite-URL",
    "X-Scheme",
    "X-Script-Name",
    "X-URL-Scheme",
    "X-Forwarded-Anything",
];

/// And those that begin like others.
const IDENTITY: [&str; 90] = [
    "Auth-Type",
    "Auth-User",
    "Cert-Cookie",
    "Cert-Flags",
    "Cert-Issuer",
    "Cert-Serialnumber",
    "Cert-Subject",
    "CF-Access-Authenticated-User-Email",
    "CF-Access-JWT-Assertion",
    "Client-Certificate",
    "Client-DN",
    "Client-Verify",
    "IV-Creds",
    "IV-Groups",
    "IV-User",
    "Logon-User",
    "Remote-Email",
    "Remote-Groups",
    "Remote-Ident",
    "Remote-Name",
    "Remote-User",
    "SM-User",
    "Smuser",
    "Teleport-JWT-Assertion",
    "X-Anonymous-Consumer",
    "X-Apigateway-API-Userinfo",
    "X-ARR-Clientcert",
    "X-Auth-Email",
    "X-Auth-Groups",
    "X-Auth-User",
    "X-Auth-Username",
    "X-Authenticated-Groups",
    "X-Authenticated-Scope",
    "X-Authenticated-User",
    "X-Authenticated-Userid",
    "X-Client-Cert",
    "X-Client-Certificate",
    "X-Client-CN",
    "X-Client-DN",
    "X-Client-Fingerprint",
    "X-Client-I-DN",
    "X-Client-Issuer",
    "X-Client-S-DN",
    "X-Client-Serial",
    "X-Client-Subject",
    "X-Client-Verify",
    "X-Consumer-Custom-ID",
    "X-Consumer-ID",
    "X-Consumer-Username",
    "X-Credential-Identifier",
    "X-Credential-Username",
    "X-Endpoint-API-Userinfo",
    "X-Forwarded-Access-Token",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-TLS-Client-Cert",
    "X-Forwarded-TLS-Client-Cert-Info",
    "X-Forwarded-User",
    "X-Goog-IAP-JWT-Assertion",
    "X-JWT-Assertion",
    "X-MS-Client-Principal",
    "X-Remote-Group",
    "X-Remote-Groups",
    "X-Remote-User",
    "X-SPIFFE-ID",
    "X-SSL",
    "X-SSO-User",
    "X-Userinfo",
    "CF-Client-Cert-Anything",
    "OIDC-Anything",
    "Shib-Anything",
    "SSL-Client-Anything",
    "Tailscale-User-Anything",
    "X-Amzn-MTLS-Anything",
    "X-Amzn-OIDC-Anything",
    "X-Auth-Request-Anything",
    "X-Authentik-Anything",
    "X-Client-Cert-Anything",
    "X-Goog-Authenticated-User-Anything",
    "X-MS-Client-Principal-Anything",
    "X-MS-Token-Anything",
    "X-MTLS-Anything",
    "X-Pomerium-Anything",
    "X-Remote-Extra-Anything",
    "X-SSL-Anything",
    "X-TLS-Client-Anything",
    "X-Vouch-Anything",
    "X-Webauth-Anything",
];

/// Of those that begin like others, what is known.
const BEGUN: [&str; 11] = [
    "X-Netdata-Verified",
    "X-Netdata-Client-CN",
    "X-Netdata-Notification",
    "X-Netdata-Severity",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-Scheme",
    "X-Forwarded-Path",
    "X-Forwarded-By",
];

/// What a value looks like that a sender made up; no request id does.
const FORGED: &str = "forged, of course";

/// The name as others may spell it, and still mean the same.
fn spellings(name: &str) -> Vec<String> {
    let signs = ["-", "_", ".", "~", "!"].map(|sign| name.replace('-', sign));
    let mut spellings = signs.to_vec();
    spellings.extend([
        name.to_lowercase(),
        name.to_uppercase(),
        name.replacen('-', "_", 1).to_lowercase(),
    ]);
    spellings.sort();
    spellings.dedup();
    spellings
}

/// Fields that make another request of it, or none, as they are spelt in HTTP.
fn is_obeyed(name: &str, is_http2: bool) -> bool {
    let anywhere = ["host", "content-length", "transfer-encoding"];
    let over_http2 = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "upgrade",
    ];
    anywhere.contains(&&*name.to_lowercase())
        || (is_http2 && over_http2.contains(&&*name.to_lowercase()))
}

fn scene(listen: &str) -> (Origin, Proxy, Sender) {
    scene_with(listen, "")
}

fn scene_with(listen: &str, more: &str) -> (Origin, Proxy, Sender) {
    let origin = Origin::spawn();
    let app = format!(
        "[[routes]]\npath = \"/app/*\"\nkind = \"proxy\"\nupstream = \"{}\"\n",
        origin.url
    );
    let config = Proxy::config(&origin, "require", "") + &app + more;
    let proxy = Proxy::spawn(
        Pki::shared(),
        &config.replacen("[listen]\n", &format!("[listen]\n{listen}\n"), 1),
    );
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    (origin, proxy, sender)
}

#[test]
fn the_lists_are_whole() {
    for (class, names) in [
        (Class::HopByHop, &HOP_BY_HOP[..]),
        (Class::Framing, &FRAMING),
        (Class::Ours, &OURS),
        (Class::Preset, &PRESET),
        (Class::Forwarding, &FORWARDING),
        (Class::Identity, &IDENTITY),
    ] {
        let mut here: Vec<_> = names
            .iter()
            .map(|name| name.to_lowercase().replace("anything", "*"))
            .collect();
        let mut there = header_class::names(class);
        here.sort();
        there.sort();
        assert_eq!(here, there, "{class:?}");
    }
    for name in FORWARDING
        .iter()
        .chain(&OURS)
        .chain(&PRESET)
        .chain(&IDENTITY)
    {
        let name = name.replace("Anything", "*");
        assert!(
            is_documented(&format!("`{name}`")),
            "the manual does not name {name}"
        );
    }
}

#[test]
fn what_is_not_the_senders_to_say_is_dropped() {
    let (origin, _proxy, sender) = scene("");
    let mut connection = sender.connect().unwrap();
    let mut http2 = Http2::connect(&sender).unwrap();
    let names = HOP_BY_HOP
        .iter()
        .chain(&FRAMING)
        .chain(&OURS)
        .chain(&PRESET)
        .chain(&FORWARDING)
        .chain(&IDENTITY)
        .chain(&BEGUN);
    for spelling in names.flat_map(|name| spellings(name)) {
        for target in [WEBHOOK, "/app/x"] {
            if !is_obeyed(&spelling, false) {
                let answer = connection
                    .send("POST", target, &format!("{spelling}: {FORGED}\r\n"), ALERT)
                    .unwrap();
                assert_eq!(answer.status, 200, "{spelling}: {answer:?}");
                let received = origin.received().pop().unwrap();
                assert!(!format!("{received:?}").contains(FORGED), "{received:?}");
            }
            let spelling = spelling.to_lowercase();
            if !is_obeyed(&spelling, true) {
                let answer = http2
                    .send("POST", target, &[&format!("{spelling}: {FORGED}")], ALERT)
                    .unwrap();
                assert_eq!(answer.status, 200, "{spelling}: {answer:?}");
                let received = origin.received().pop().unwrap();
                assert!(!format!("{received:?}").contains(FORGED), "{received:?}");
            }
        }
    }
}

#[test]
fn what_is_the_senders_to_say_passes_as_it_came() {
    let (origin, _proxy, sender) = scene("");
    let mut connection = sender.connect().unwrap();
    for name in [
        "X-Forwarding",
        "X-Netdata",
        "XNetdata-Verified",
        "Proxy-Status",
        "Via",
        "X_Extra.1~",
        "Client-Certs",
    ] {
        connection
            .send("POST", WEBHOOK, &format!("{name}: a\r\n"), ALERT)
            .unwrap();
        assert_eq!(origin.received().pop().unwrap().header(name), "a");
    }
}

#[test]
fn what_we_say_is_said_once() {
    let (origin, _proxy, sender) = scene("");
    for (name, is_there) in PRESET.iter().chain(&OURS).chain(&BEGUN[..4]).map(|name| {
        (
            *name,
            !(["Forwarded", "Client-Cert-Chain", "X-Netdata-Anything"].contains(name)
                || name.starts_with("webhook-")),
        )
    }) {
        let forged: String = spellings(name)
            .iter()
            .filter(|name| !is_obeyed(name, false))
            .map(|name| format!("{name}: {FORGED}\r\n"))
            .collect();
        assert_eq!(
            sender.send("POST", WEBHOOK, &forged, ALERT).unwrap().status,
            200,
            "{name}"
        );
        let received = origin.received().pop().unwrap();
        assert_eq!(
            received.all(name).len(),
            usize::from(is_there),
            "{name}: {received:?}"
        );
        assert!(!format!("{received:?}").contains(FORGED), "{received:?}");
    }
}

#[test]
fn a_trusted_proxy_is_believed_in_its_own_spelling() {
    let (origin, _proxy, sender) = scene("trusted_proxies = [\"127.0.0.0/8\"]");
    let mut connection = sender.connect().unwrap();
    for name in FORWARDING.iter().chain(&BEGUN[4..]) {
        for spelling in spellings(name) {
            connection
                .send("POST", WEBHOOK, &format!("{spelling}: {FORGED}\r\n"), ALERT)
                .unwrap();
            let received = origin.received().pop().unwrap();
            match spelling.eq_ignore_ascii_case(name) {
                true => assert_eq!(received.all(name), [FORGED], "{spelling}"),
                false => assert!(!format!("{received:?}").contains(FORGED), "{received:?}"),
            }
        }
    }
    // What it does not say is not the sender's to say either.
    for name in OURS.iter().chain(&IDENTITY).chain(&BEGUN[..4]).chain(&[
        "X_Forwarded_For",
        "X.Forwarded.Proto",
        "Keep-Alive",
    ]) {
        connection
            .send("POST", WEBHOOK, &format!("{name}: {FORGED}\r\n"), ALERT)
            .unwrap();
        let received = origin.received().pop().unwrap();
        assert!(!format!("{received:?}").contains(FORGED), "{received:?}");
    }
}

#[test]
fn check_refuses_to_set_what_is_reserved() {
    let origin = Origin::spawn();
    let pki = Pki::new();
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    let check = |name: &str| {
        let config = Proxy::config(
            &origin,
            "require",
            &format!("set_headers = {{ \"{name}\" = \"x\" }}"),
        );
        let path = pki.write("config.toml", &config);
        let mut command = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
        let output = command
            .args(["check", "--config"])
            .arg(path)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    for name in HOP_BY_HOP
        .iter()
        .chain(&FRAMING)
        .chain(&OURS)
        .chain(&BEGUN[..4])
    {
        for spelling in [
            name.to_string(),
            name.replace('-', "_"),
            name.replace('-', ".").to_lowercase(),
        ] {
            let (code, said) = check(&spelling);
            assert_eq!(code, Some(2), "{spelling}");
            assert!(
                said.contains("is set by this program and cannot be changed"),
                "{spelling}: {said}"
            );
        }
    }
    for name in PRESET.iter().chain(&[
        "X-Real-IP",
        "Proxy",
        "X-Forwarded-Port",
        "Authorization",
        "X-Mine",
    ]) {
        assert_eq!(check(name), (Some(0), String::new()), "{name}");
    }
}

#[test]
fn what_the_configuration_sets_is_set_once_however_it_is_spelt() {
    let origin = Origin::spawn();
    let route = "set_headers = { \"X_Forwarded_For\" = \"set\", \"X.Mine\" = \"set\", \"X-Real-IP\" = \"set\" }";
    let proxy = Proxy::spawn(Pki::shared(), &Proxy::config(&origin, "require", route));
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    for name in ["X-Forwarded-For", "X-Mine", "X-Real-IP"] {
        let forged: String = spellings(name)
            .iter()
            .map(|name| format!("{name}: {FORGED}\r\n"))
            .collect();
        assert_eq!(
            sender.send("POST", WEBHOOK, &forged, ALERT).unwrap().status,
            200
        );
        let received = origin.received().pop().unwrap();
        let same = |other: &str| other.replace(['_', '.'], "-").eq_ignore_ascii_case(name);
        let values: Vec<_> = received
            .headers
            .iter()
            .filter(|(other, _)| same(other))
            .map(|(_, value)| value.as_str())
            .collect();
        assert_eq!(values, ["set"], "{name}: {received:?}");
    }
}

#[test]
fn what_asserts_an_identity_is_counted() {
    let (origin, proxy, sender) = scene_with("", "[admin]\nlisten = \"127.0.0.1:0\"\n");
    let operator = Operator::of(&proxy);
    let series = |route: &str| format!("dropped_identity_headers_total{{route=\"{route}\"}}");
    let forged = "X-SSL-Client-Verify: SUCCESS\r\nX_SSL_Client_CN: app.netdata.cloud\r\nx.remote.user: admin\r\nX-Real-IP: ::1\r\n";
    for (target, route) in [(WEBHOOK, WEBHOOK), ("/app/x", "/app/*")] {
        sender.send("POST", target, "X-Mine: 1\r\n", ALERT).unwrap();
        assert_eq!(operator.metrics()[&series(route)], 0.0);
        sender.send("POST", target, forged, ALERT).unwrap();
        operator.wait_for(&series(route), 3.0);
    }
    assert_eq!(origin.received().len(), 4);
    let lines = (1..=4).map(|number| proxy.wait_for_events("request", number));
    let lines: Vec<_> = lines.filter(|it| it.contains("dropped_headers")).collect();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    for line in lines {
        assert!(
            line.contains("dropped_headers=\"x-ssl- x-remote-user\""),
            "{line}"
        );
    }
}

#[test]
fn what_is_named_is_let_pass() {
    let origin = Origin::spawn();
    let route = "pass_headers = [\"X-Remote-User\", \"X-Forwarded-Port\", \"ssl_client_cert\"]\n\
                 set_headers = { \"X-SSL-Client-CN\" = \"set\" }";
    let proxy = Proxy::spawn(Pki::shared(), &Proxy::config(&origin, "require", route));
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    let said = "X-Remote-User: a\r\nX-Forwarded-Port: b\r\nSSL_CLIENT_CERT: c\r\nX_Remote_User: forged\r\n\
                X.Forwarded.Port: forged\r\nSSL-Client-Cert: forged\r\nX-SSL-Client-CN: forged\r\nX-Remote-Group: forged\r\n";
    assert_eq!(
        sender.send("POST", WEBHOOK, said, ALERT).unwrap().status,
        200
    );
    let received = origin.received_one();
    for (name, value) in [
        ("X-Remote-User", "a"),
        ("X-Forwarded-Port", "b"),
        ("SSL_CLIENT_CERT", "c"),
        ("X-SSL-Client-CN", "set"),
    ] {
        assert_eq!(received.header(name), value, "{name}");
    }
    assert!(!format!("{received:?}").contains("forged"), "{received:?}");
}

#[test]
fn check_refuses_to_let_pass_what_cannot_be() {
    let origin = Origin::spawn();
    let pki = Pki::new();
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    for (name, said) in [
        ("X-Netdata-Verified", "is set by this program"),
        ("client_cert", "is set by this program"),
        ("X-Request-Id", "is set by this program"),
        ("Connection", "ends here"),
        ("X-Mine", "is passed on anyway"),
        ("X Mine", "is not the name of a header"),
    ] {
        let config = Proxy::config(&origin, "require", &format!("pass_headers = [\"{name}\"]"));
        let path = pki.write("config.toml", &config);
        let mut command = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
        let output = command
            .args(["check", "--config"])
            .arg(path)
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(2) && stderr.contains(said),
            "{name}: {stderr}"
        );
    }
}

#[test]
fn connection_names_as_many_fields_as_a_head_may_have() {
    let (origin, _proxy, sender) = scene("");
    let names = |count: usize| {
        (0..count)
            .map(|number| format!("x{number}"))
            .collect::<Vec<_>>()
            .join(",")
    };
    let sent = |headers: &str| {
        sender
            .send(
                "POST",
                WEBHOOK,
                &format!("{headers}\r\nX255: a\r\nX256: b\r\n"),
                ALERT,
            )
            .unwrap()
    };
    assert_eq!(sent(&format!("Connection: {}", names(256))).status, 200);
    let received = origin.received_one();
    assert!(
        received.all("x255").is_empty() && received.header("x256") == "b",
        "{received:?}"
    );
    assert_eq!(
        sent(&format!("Connection: {}\r\nConnection: x,x255", names(254))).status,
        200
    );
    sent(&format!("Connection: {}", names(257))).refuses(400, "malformed_request");
    sent(&format!("Connection: {}\r\nconnection: x,y,z", names(254)))
        .refuses(400, "malformed_request");
    sent(&format!("Connection: {}", ",".repeat(14_000))).refuses(400, "malformed_request");
    assert_eq!(origin.received().len(), 2);
}
