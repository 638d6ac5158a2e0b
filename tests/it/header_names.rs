//! What becomes of header fields by their names: each name of each list alone, in every spelling that some application
//! takes for it, and never named in `Connection`, which would drop it anyway.
//!
//! | fault | kind | test |
//! |---|---|---|
//! | with `client-cert-chain` or `idempotency-key` deleted from the list, all tests passed | a protection that is tested together with its double | `what_is_not_the_senders_to_say_is_dropped`, which deleting any entry fails |
//! | `X.Netdata.Client.CN` is `HTTP_X_NETDATA_CLIENT_CN` to PHP | names that are equal to the application alone | the same, and `check_refuses_to_set_what_is_reserved` |
//! | `Forwarded`, `X-Forwarded-Port`, `X-Original-URL`, `Proxy` and others passed from strangers | what only a proxy says | the same, and `a_trusted_proxy_is_believed_in_its_own_spelling` |
//! | `check` accepted `set_headers` of `Client-Cert-Chain`, `Expect`, `HTTP2-Settings` | lists that drift apart | `check_refuses_to_set_what_is_reserved`, `the_lists_are_whole` |

use crate::support::{Http2, Origin, Pki, Proxy, README, Sender, WEBHOOK};
use netdata_webhook_proxy::header_class::{self, Class};
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
const OURS: [&str; 4] = ["Client-Cert", "Client-Cert-Chain", "Idempotency-Key", "X-Netdata-Anything"];

const PRESET: [&str; 6] =
    ["Forwarded", "Host", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Request-Id"];

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
    spellings.extend([name.to_lowercase(), name.to_uppercase(), name.replacen('-', "_", 1).to_lowercase()]);
    spellings.sort();
    spellings.dedup();
    spellings
}

/// Fields that make another request of it, or none, as they are spelt in HTTP.
fn is_obeyed(name: &str, is_http2: bool) -> bool {
    let anywhere = ["host", "content-length", "transfer-encoding"];
    let over_http2 = ["connection", "keep-alive", "proxy-connection", "te", "upgrade"];
    anywhere.contains(&&*name.to_lowercase()) || (is_http2 && over_http2.contains(&&*name.to_lowercase()))
}

fn scene(listen: &str) -> (Origin, Proxy, Sender) {
    let origin = Origin::spawn();
    let app = format!("[[routes]]\npath = \"/app/*\"\nkind = \"proxy\"\nupstream = \"{}\"\n", origin.url);
    let config = Proxy::config(&origin, "require", "") + &app;
    let proxy = Proxy::spawn(Pki::shared(), &config.replacen("[listen]\n", &format!("[listen]\n{listen}\n"), 1));
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
    ] {
        let mut here: Vec<_> = names.iter().map(|name| name.to_lowercase().replace("anything", "*")).collect();
        let mut there = header_class::names(class);
        here.sort();
        there.sort();
        assert_eq!(here, there, "{class:?}");
    }
    for name in FORWARDING.iter().chain(&OURS).chain(&PRESET) {
        let name = name.replace("Anything", "*");
        assert!(README.contains(&format!("`{name}`")), "the manual does not name {name}");
    }
}

#[test]
fn what_is_not_the_senders_to_say_is_dropped() {
    let (origin, _proxy, sender) = scene("");
    let mut connection = sender.connect().unwrap();
    let mut http2 = Http2::connect(&sender).unwrap();
    let names = HOP_BY_HOP.iter().chain(&FRAMING).chain(&OURS).chain(&PRESET).chain(&FORWARDING).chain(&BEGUN);
    for spelling in names.flat_map(|name| spellings(name)) {
        for target in [WEBHOOK, "/app/x"] {
            if !is_obeyed(&spelling, false) {
                let answer = connection.send("POST", target, &format!("{spelling}: {FORGED}\r\n"), ALERT).unwrap();
                assert_eq!(answer.status, 200, "{spelling}: {answer:?}");
                let received = origin.received().pop().unwrap();
                assert!(!format!("{received:?}").contains(FORGED), "{received:?}");
            }
            let spelling = spelling.to_lowercase();
            if !is_obeyed(&spelling, true) {
                let answer = http2.send("POST", target, &[&format!("{spelling}: {FORGED}")], ALERT).unwrap();
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
    for name in ["X-Forwarding", "X-Netdata", "XNetdata-Verified", "Proxy-Status", "Via", "X_Extra.1~", "Client-Certs"]
    {
        connection.send("POST", WEBHOOK, &format!("{name}: a\r\n"), ALERT).unwrap();
        assert_eq!(origin.received().pop().unwrap().header(name), "a");
    }
}

#[test]
fn what_we_say_is_said_once() {
    let (origin, _proxy, sender) = scene("");
    for (name, is_there) in PRESET
        .iter()
        .chain(&OURS)
        .chain(&BEGUN[..4])
        .map(|name| (*name, !["Forwarded", "Client-Cert-Chain", "X-Netdata-Anything"].contains(name)))
    {
        let forged: String = spellings(name)
            .iter()
            .filter(|name| !is_obeyed(name, false))
            .map(|name| format!("{name}: {FORGED}\r\n"))
            .collect();
        assert_eq!(sender.send("POST", WEBHOOK, &forged, ALERT).unwrap().status, 200, "{name}");
        let received = origin.received().pop().unwrap();
        assert_eq!(received.all(name).len(), usize::from(is_there), "{name}: {received:?}");
        assert!(!format!("{received:?}").contains(FORGED), "{received:?}");
    }
}

#[test]
fn a_trusted_proxy_is_believed_in_its_own_spelling() {
    let (origin, _proxy, sender) = scene("trusted_proxies = [\"127.0.0.0/8\"]");
    let mut connection = sender.connect().unwrap();
    for name in FORWARDING.iter().chain(&BEGUN[4..]) {
        for spelling in spellings(name) {
            connection.send("POST", WEBHOOK, &format!("{spelling}: {FORGED}\r\n"), ALERT).unwrap();
            let received = origin.received().pop().unwrap();
            match spelling.eq_ignore_ascii_case(name) {
                true => assert_eq!(received.all(name), [FORGED], "{spelling}"),
                false => assert!(!format!("{received:?}").contains(FORGED), "{received:?}"),
            }
        }
    }
    // What it does not say is not the sender's to say either.
    for name in OURS.iter().chain(&BEGUN[..4]).chain(&["X_Forwarded_For", "X.Forwarded.Proto", "Keep-Alive"]) {
        connection.send("POST", WEBHOOK, &format!("{name}: {FORGED}\r\n"), ALERT).unwrap();
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
        let config = Proxy::config(&origin, "require", &format!("set_headers = {{ \"{name}\" = \"x\" }}"));
        let path = pki.write("config.toml", &config);
        let mut command = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
        let output = command.args(["check", "--config"]).arg(path).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for name in HOP_BY_HOP.iter().chain(&FRAMING).chain(&OURS).chain(&BEGUN[..4]) {
        for spelling in [name.to_string(), name.replace('-', "_"), name.replace('-', ".").to_lowercase()] {
            let (code, said) = check(&spelling);
            assert_eq!(code, Some(2), "{spelling}");
            assert!(said.contains("is set by this program and cannot be changed"), "{spelling}: {said}");
        }
    }
    for name in PRESET.iter().chain(&["X-Real-IP", "Proxy", "X-Forwarded-Port", "Authorization", "X-Mine"]) {
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
        let forged: String = spellings(name).iter().map(|name| format!("{name}: {FORGED}\r\n")).collect();
        assert_eq!(sender.send("POST", WEBHOOK, &forged, ALERT).unwrap().status, 200);
        let received = origin.received().pop().unwrap();
        let same = |other: &str| other.replace(['_', '.'], "-").eq_ignore_ascii_case(name);
        let values: Vec<_> =
            received.headers.iter().filter(|(other, _)| same(other)).map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["set"], "{name}: {received:?}");
    }
}
