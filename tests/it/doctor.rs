//! `doctor` finds each mistake that is planted, says what to do about it, and is content with what is right.

use crate::support::{Careless, Leaf, Origin, Pki, Proxy, Seen, WEBHOOK};
use netdata_webhook_proxy::challenge::{crc_token, response_token};
use netdata_webhook_proxy::secret::Secret;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use time::OffsetDateTime;

const SECRET: &str = "YOUR_CHALLENGE_SECRET";

/// What was found.
#[derive(Debug)]
struct Diagnosis {
    code: i32,
    /// Level, text and remedy of each check.
    checks: BTreeMap<String, (String, String, String)>,
}

impl Diagnosis {
    #[track_caller]
    fn has(&self, check: &str, level: &str, text: &str) -> &Self {
        let found = self.checks.get(check).unwrap_or_else(|| panic!("no {check} in {self:#?}"));
        assert!(found.0 == level && found.1.contains(text), "{check}: {level} {text:?} in {self:#?}");
        assert_eq!(found.2.is_empty(), ["pass", "skip"].contains(&level), "a remedy: {found:?}");
        assert_eq!(self.code, i32::from(self.checks.values().any(|(level, ..)| level == "fail")), "{self:#?}");
        self
    }

    /// These and no others are not passed.
    #[track_caller]
    fn not_passed(&self, expected: &[&str]) {
        let not_passed: Vec<_> =
            self.checks.iter().filter(|(_, (level, ..))| level != "pass").map(|(check, _)| check).collect();
        assert_eq!(not_passed, expected, "{self:#?}");
    }
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
    command.env_remove("NETDATA_WEBHOOK_PROXY_CONFIG").arg("doctor").args(arguments).output().unwrap()
}

/// Of the only target, or of the last of several.
#[track_caller]
fn doctor(arguments: &[&str]) -> Diagnosis {
    let output = run(&[&["--json"], arguments].concat());
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}{stderr}"));
    assert_eq!(report["ok"], output.status.code() == Some(0));
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let checks = report["targets"].as_array().unwrap().last().unwrap()["checks"].as_array().unwrap();
    let checks =
        checks.iter().map(|it| (text(&it["check"]), (text(&it["level"]), text(&it["text"]), text(&it["remedy"]))));
    Diagnosis { code: output.status.code().unwrap(), checks: checks.collect() }
}

/// What an operator has at hand: authorities, a certificate that is trusted, the secret.
struct Kit {
    pki: Pki,
}

impl Kit {
    fn new() -> Self {
        let pki = Pki::new();
        pki.write_leaf("netdata", &pki.netdata());
        pki.write("challenge.secret", &format!("{SECRET}\n"));
        Self { pki }
    }

    fn file(&self, name: &str) -> String {
        self.pki.path().join(name).to_str().unwrap().to_owned()
    }

    /// What `doctor` says about `url`, without a client certificate.
    #[track_caller]
    fn examine(&self, url: &str, more: &[&str]) -> Diagnosis {
        let ca = self.file("ca.pem");
        doctor(&[&[url, "--server-ca", &ca, "--client-ca", &ca], more].concat())
    }

    /// With the certificate and the secret.
    #[track_caller]
    fn examine_whole(&self, url: &str, more: &[&str]) -> Diagnosis {
        let [certificate, key, secret] = ["netdata.pem", "netdata.key", "challenge.secret"].map(|name| self.file(name));
        let whole = ["--certificate", &certificate, "--key", &key, "--secret-file", &secret];
        self.examine(url, &[&whole[..], more].concat())
    }

    /// A server certificate for `localhost`, of which `change` changes something.
    fn server(&self, change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        self.pki.leaf(|params| {
            params.subject_alt_names = localhost();
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            change(params);
        })
    }
}

fn localhost() -> Vec<rcgen::SanType> {
    CertificateParams::new(["localhost".to_owned()]).unwrap().subject_alt_names
}

fn url(address: SocketAddr) -> String {
    format!("https://localhost:{}{WEBHOOK}", address.port())
}

/// An answer with a date.
fn answer(status: &str, headers: &str, body: &str) -> String {
    let date = httpdate::fmt_http_date(SystemTime::now());
    format!("HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

/// As an application does that answers challenges itself.
fn rightly(seen: &Seen) -> String {
    match seen.request.split_once('?') {
        Some((_, query)) if seen.has_certificate => {
            let token = crc_token(query.as_bytes()).unwrap();
            let token = response_token(&Secret::new(SECRET.into()), &token);
            answer("200 OK", "", &format!("{{\"response_token\":\"{token}\"}}"))
        }
        _ if seen.has_certificate => answer("400 Bad Request", "", "no notification"),
        _ => answer("403 Forbidden", "", "who are you?"),
    }
}

#[test]
fn nothing_is_wrong_with_the_program_itself() {
    let (kit, origin) = (Kit::new(), Origin::spawn());
    for verify in ["require", "request"] {
        let proxy = Proxy::in_front_of(&origin, &kit.pki, verify, "");
        let found = kit.examine_whole(&url(proxy.address(0)), &["--slow=1"]);
        found.not_passed(&["name"]);
        found.has("name", "warn", "127.0.0.1, which is not public");
        found.has("challenge", "pass", "right, after");
        for check in found.checks.keys() {
            assert!(include_str!("../../README.md").contains(&format!("`{check}`")), "{check} is not in the README");
        }
        found.has("resumption", "pass", "nobody gets a session");
        assert_eq!(found.code, 0);
        // Without what only Netdata Cloud has, as much as is possible.
        let found = kit.examine(&url(proxy.address(0)), &[]);
        found.has("no certificate", "pass", "refused").has("forged certificate", "pass", "refused");
        found.has("challenge", "skip", "needs a client certificate that the server trusts");
        found.has("idle timeout", "skip", "--slow");
    }
    origin.received_nothing();
}

#[test]
fn a_good_server_of_another_make_is_good() {
    let kit = Kit::new();
    let address = Careless::new(&kit.pki).answers(rightly).spawn();
    kit.examine_whole(&url(address), &["--slow=1"]).not_passed(&["name"]);
    let address = Careless::new(&kit.pki).asks_politely().answers(rightly).spawn();
    kit.examine_whole(&url(address), &["--slow=1"]).not_passed(&["name"]);
}

#[test]
fn a_name_without_an_ipv4_address_is_found() {
    let kit = Kit::new();
    kit.examine("https://[::1]:1/", &[]).has("name", "fail", "there is no IPv4 address");
    let found = kit.examine("https://nowhere.invalid/", &["--timeout", "2"]);
    found.has("name", "fail", "nowhere.invalid does not resolve").has("port", "skip", "no address");
    assert_eq!(found.checks.len(), 2);
}

#[test]
fn a_port_where_nobody_listens_is_found() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let found = Kit::new().examine(&url(address), &[]);
    found.has("port", "fail", "Connection refused");
    assert_eq!(found.checks.len(), 2, "nothing else can be found out: {found:#?}");
}

#[test]
fn wrong_server_certificates_are_found() {
    let kit = Kit::new();
    let now = OffsetDateTime::now_utc();
    let days = time::Duration::days;
    let examine = |leaf: &Leaf| {
        kit.examine_whole(&url(Careless::new(&kit.pki).shows(leaf).answers(rightly).spawn()), &["--slow=1"])
    };

    let expired = kit.server(|params| params.not_after = now - days(1));
    let found = examine(&expired);
    found.has("certificate validity", "fail", "has expired on").not_passed(&["certificate validity", "name"]);
    let early = kit.server(|params| params.not_before = now + days(1));
    examine(&early).has("certificate validity", "fail", "is not valid before");
    let soon = kit.server(|params| params.not_after = now + days(5));
    assert_eq!(examine(&soon).has("certificate validity", "warn", "expires in 4 days").code, 0);

    let other = kit.server(|params| {
        params.subject_alt_names = CertificateParams::new(["other.example".to_owned()]).unwrap().subject_alt_names;
    });
    let found = examine(&other);
    found.has("certificate name", "fail", "it is for other.example, not for localhost");
    found.not_passed(&["certificate name", "name"]);
    let nameless = kit.server(|params| params.subject_alt_names.clear());
    examine(&nameless).has("certificate name", "fail", "it is for no host");

    let client = kit.server(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    examine(&client).has("chain", "fail", "it is not for servers");
}

#[test]
fn a_chain_that_is_not_whole_is_found() {
    let kit = Kit::new();
    let whole = kit.pki.below_for(2, |params| {
        params.subject_alt_names = localhost();
        params.extended_key_usages.clear();
    });
    let examine = |leaf: &Leaf| kit.examine(&url(Careless::new(&kit.pki).shows(leaf).spawn()), &[]);
    examine(&whole).has("chain", "pass", "3 certificates sent");
    for length in [1, 2] {
        let mut cut = whole.clone();
        cut.chain.truncate(length);
        let missing = ["Intermediate 1", "Intermediate 0"][length - 1];
        let found = examine(&cut);
        found.has("chain", "fail", "is missing").has("chain", "fail", missing);
    }
    // An authority that only its owner knows, and one that nobody has.
    let address = Careless::new(&kit.pki).spawn();
    let ca = kit.file("ca.pem");
    doctor(&[&url(address), "--client-ca", &ca]).has("chain", "fail", "Test Root CA");
    let own = kit.pki.self_signed();
    examine(&own).has("chain", "fail", "signed itself");
    let impostor = Careless::new(&Pki::new()).spawn();
    kit.examine(&url(impostor), &[]).has("chain", "fail", "only has the name of one that is known");
}

#[test]
fn wrong_requests_for_a_certificate_are_found() {
    let kit = Kit::new();
    let other = Pki::of("Other CA");
    let (ours, theirs) = (kit.pki.authority().clone(), other.authority().clone());
    let good = || Careless::new(&kit.pki).answers(rightly);
    const CHECK: &str = "client certificate";

    let none = url(good().asks_for_none().spawn());
    kit.examine(&none, &[]).has(CHECK, "fail", "none is asked for").has("no certificate", "pass", "403");
    let found = kit.examine(&none, &["--no-client-certificate"]);
    found.has(CHECK, "pass", "as intended").has("no credentials", "pass", "403");
    let wrong = kit.examine(&url(good().names(std::slice::from_ref(&theirs)).spawn()), &[]);
    wrong.has(CHECK, "fail", "Other CA").has(CHECK, "fail", "Test Root CA");
    kit.examine(&url(good().names(&[theirs, ours]).spawn()), &[]).has(CHECK, "warn", "welcome, too");
    kit.examine(&url(good().names(&[]).spawn()), &[]).has(CHECK, "warn", "of any authority");
    let asks = kit.examine(&url(good().spawn()), &["--no-client-certificate"]);
    asks.has(CHECK, "warn", "not intended");
    // Unless told otherwise, it is Netdata's own that is to be asked for.
    let found = doctor(&[&url(good().spawn()), "--server-ca", &kit.file("ca.pem")]);
    found.has(CHECK, "fail", "Netdata").has("forged certificate", "pass", "TLS alert");
}

#[test]
fn wrong_versions_are_found() {
    let kit = Kit::new();
    let speaks = |versions: &[_]| kit.examine(&url(Careless::new(&kit.pki).speaks(versions).spawn()), &[]);
    speaks(&[&rustls::version::TLS13]).has("TLS versions", "pass", "1.3 alone");
    speaks(&[&rustls::version::TLS12]).has("TLS versions", "warn", "1.2 without 1.3");
    speaks(rustls::ALL_VERSIONS).has("TLS versions", "pass", "").has("old TLS versions", "pass", "neither");
}

/// Answers every ClientHello with these bytes, and closes.
fn scripted(answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let mut hello = [0; 8192];
            // Who only looks whether somebody listens says nothing.
            if let Ok(length @ 1..) = socket.read(&mut hello) {
                let _ = socket.write_all(&answer(&hello[..length]));
            }
        }
    });
    address
}

#[test]
fn a_server_of_the_old_days_is_found() {
    for (version, name) in [([3, 1], "TLS 1.0"), ([3, 2], "TLS 1.1")] {
        let address = scripted(move |hello| {
            // Record: type, version, length. Handshake: type, length, version, random, session, cipher suite, compression.
            assert_eq!((hello[0], hello[5]), (22, 1));
            let body = [&version[..], &[7; 32], &[0], &[0xc0, 0x14], &[0]].concat();
            let handshake = [&[2, 0, 0, u8::try_from(body.len()).unwrap()], &body[..]].concat();
            [&[22][..], &version, &[0, u8::try_from(handshake.len()).unwrap()], &handshake].concat()
        });
        let found = Kit::new().examine(&url(address), &[]);
        found.has("old TLS versions", "warn", name).has("TLS versions", "fail", "neither 1.2 nor 1.3");
        found.has("chain", "fail", "no TLS handshake").has("no certificate", "warn", "cannot be told");
    }
}

#[test]
fn who_lets_everybody_in_is_found() {
    let kit = Kit::new();
    // It asks, and does not look.
    let address = Careless::new(&kit.pki).asks_politely().spawn();
    let found = kit.examine(&url(address), &[]);
    found.has("no certificate", "fail", "got through, and was answered 200").has(
        "forged certificate",
        "pass",
        "TLS alert",
    );
    // It looks whether there is one, and not whose it is.
    let address = Careless::new(&kit.pki).believes_anybody().answers(rightly).spawn();
    let found = kit.examine(&url(address), &[]);
    found.has("no certificate", "pass", "TLS alert").has("forged certificate", "fail", "got through");
    // An answer of the application that only looks like a refusal.
    for status in ["404 Not Found", "405 Method Not Allowed", "400 Bad Request", "502 Bad Gateway"] {
        let address = Careless::new(&kit.pki).asks_politely().answers(move |_| answer(status, "", "")).spawn();
        kit.examine(&url(address), &[]).has("no certificate", "fail", &status[..3]);
    }
    // A proxy whose route is for everybody, on purpose; and one where credentials are all there is.
    let origin = Origin::spawn();
    let proxy = Proxy::in_front_of(&origin, &kit.pki, "off", "auth = \"none\"");
    kit.examine(&url(proxy.address(0)), &["--no-client-certificate"]).has("no credentials", "fail", "got through");
    let bearer = "[routes.auth]\nbearer = [{ token = { file = \"challenge.secret\" } }]";
    let proxy = Proxy::in_front_of(&origin, &kit.pki, "off", bearer);
    kit.examine(&url(proxy.address(0)), &["--no-client-certificate"]).has(
        "no credentials",
        "pass",
        "401 authorization_missing",
    );
    origin.received_nothing();
}

#[test]
fn a_session_that_gets_in_without_a_certificate_is_found() {
    let kit = Kit::new();
    let resumed = |seen: &Seen| if seen.is_resumed { answer("200 OK", "", "") } else { rightly(seen) };
    for version in rustls::ALL_VERSIONS {
        let address = Careless::new(&kit.pki).asks_politely().resumes().speaks(&[*version]).answers(resumed).spawn();
        let found = kit.examine(&url(address), &[]);
        found.has("no certificate", "pass", "403").has(
            "resumption",
            "fail",
            "of a client with no certificate, resumed, got through",
        );
        // The same, where sessions are looked at.
        let address = Careless::new(&kit.pki).asks_politely().resumes().speaks(&[*version]).answers(rightly).spawn();
        kit.examine(&url(address), &[]).has("resumption", "pass", "refused all the same");
        // Where only who is trusted gets a session, it outlives the trust.
        let address = Careless::new(&kit.pki).resumes().speaks(&[*version]).answers(rightly).spawn();
        kit.examine_whole(&url(address), &[]).has("resumption", "warn", "without its certificate");
    }
    let forged = |seen: &Seen| match (seen.is_resumed, seen.has_certificate) {
        (true, true) => answer("200 OK", "", ""),
        _ => answer("403 Forbidden", "", ""),
    };
    let address = Careless::new(&kit.pki).asks_politely().believes_anybody().resumes().answers(forged).spawn();
    let found = kit.examine(&url(address), &[]);
    found.has("forged certificate", "pass", "403").has("resumption", "fail", "of a client with a forged certificate");
}

#[test]
fn wrong_answers_to_the_challenge_are_found() {
    let kit = Kit::new();
    let examine =
        |answers: fn(&Seen) -> String| kit.examine_whole(&url(Careless::new(&kit.pki).answers(answers).spawn()), &[]);
    examine(|_| answer("200 OK", "", "{\"response_token\":\"sha256=AAAA\"}")).has(
        "challenge",
        "fail",
        "another secret",
    );
    examine(|_| answer("200 OK", "", "hello")).has("challenge", "fail", "the answer is not");
    examine(|_| answer("404 Not Found", "", "")).has("challenge", "fail", "404 instead of 200");
    examine(|seen| {
        thread::sleep(Duration::from_millis(if seen.request.starts_with("GET") { 1200 } else { 0 }));
        rightly(seen)
    })
    .has("challenge", "warn", "right, but after 1");

    let origin = Origin::spawn();
    let proxy = Proxy::spawn(&kit.pki, &Proxy::config(&origin, "require", "").replace("challenge_secret", "# "));
    kit.examine_whole(&url(proxy.address(0)), &[]).has("challenge", "fail", "404 challenge_disabled");
    let proxy = Proxy::in_front_of(&origin, &kit.pki, "require", "");
    let wrong = url(proxy.address(0)) + "/";
    kit.examine_whole(&wrong, &[]).has("challenge", "fail", "404 not_found");
    let secret = kit.pki.write("other.secret", "another secret than that\n");
    let found = kit.examine_whole(&url(proxy.address(0)), &[]);
    found.has("challenge", "pass", "right");
    let (certificate, key) = (kit.file("netdata.pem"), kit.file("netdata.key"));
    let arguments = ["--certificate", &certificate, "--key", &key, "--secret-file", secret.to_str().unwrap()];
    kit.examine(&url(proxy.address(0)), &arguments).has("challenge", "fail", "another secret");
}

#[test]
fn a_slow_challenge_is_found() {
    let kit = Kit::new();
    let address = Careless::new(&kit.pki).answers(|seen| {
        // What other checks ask is answered at once.
        let is_challenge = seen.request.starts_with("GET") && !seen.request.ends_with("=doctor");
        thread::sleep(Duration::from_millis(if is_challenge { 5100 } else { 0 }));
        rightly(seen)
    });
    let url = url(address.spawn());
    kit.examine_whole(&url, &["--timeout", "8"]).has("challenge", "fail", "right, but after 5");
    kit.examine_whole(&url, &["--timeout", "1"]).has("challenge", "fail", "no answer within 1 s");
}

#[test]
fn a_redirect_is_found() {
    let kit = Kit::new();
    let redirects = |_: &Seen| answer("301 Moved Permanently", "Location: https://www.example/\u{9b}2J\r\n", "");
    let strict = url(Careless::new(&kit.pki).answers(redirects).spawn());
    kit.examine_whole(&strict, &[]).has("redirect", "fail", "301 to https://www.example/").has(
        "challenge",
        "fail",
        "301",
    );
    kit.examine(&strict, &[]).has("redirect", "skip", "--certificate");
    let polite = url(Careless::new(&kit.pki).asks_politely().answers(redirects).spawn());
    kit.examine(&polite, &[]).has("redirect", "fail", "301").has("no certificate", "warn", "a redirect");
    assert!(!String::from_utf8_lossy(&run(&[&polite]).stdout).contains('\u{9b}'), "what a server says moves no cursor");
}

#[test]
fn a_connection_that_is_closed_early_is_found() {
    let kit = Kit::new();
    let server = || Careless::new(&kit.pki).answers(rightly);
    let early = url(server().waits(Duration::from_millis(500)).spawn());
    kit.examine_whole(&early, &["--slow"]).has("idle timeout", "fail", "closed after 0.");
    let late = url(server().spawn());
    kit.examine_whole(&late, &["--slow=1"]).has("idle timeout", "pass", "still open after 1 s");
    kit.examine_whole(&late, &[]).has("idle timeout", "skip", "--slow");
    kit.examine(&late, &["--slow=1"]).has("idle timeout", "skip", "no connection that could be idle");
}

#[test]
fn a_wrong_clock_is_found() {
    let kit = Kit::new();
    let dated = |offset: i64| {
        let server = Careless::new(&kit.pki).answers(move |seen| {
            let wrong = SystemTime::from(OffsetDateTime::now_utc() + time::Duration::seconds(offset));
            let (right, rest) = (answer("", "", ""), rightly(seen));
            let date = right.lines().nth(1).unwrap().to_owned();
            rest.replace(&date, &format!("Date: {}", httpdate::fmt_http_date(wrong)))
        });
        kit.examine_whole(&url(server.spawn()), &[])
    };
    dated(0).has("clock", "pass", "agree");
    dated(60).has("clock", "warn", "ahead of");
    dated(-60).has("clock", "warn", "behind");
    dated(3600).has("clock", "fail", "ahead of");
    dated(-3600).has("clock", "fail", "behind");
}

/// A configuration that a running proxy has, with the port that it got.
fn with_port(kit: &Kit, proxy: &Proxy, config: &str) -> String {
    let config = config.replace("127.0.0.1:0", &proxy.address(0).to_string());
    kit.pki.write("running.toml", &config).to_str().unwrap().to_owned()
}

#[test]
fn a_configuration_says_what_to_expect() {
    let (kit, origin) = (Kit::new(), Origin::spawn());
    let second = format!("[[routes]]\npath = \"/second/*\"\nupstream = \"{}\"\n", origin.url);
    let config = Proxy::config(&origin, "require", &second);
    let proxy = Proxy::spawn(&kit.pki, &config);
    let path = with_port(&kit, &proxy, &config);
    let ca = kit.file("ca.pem");
    let (certificate, key) = (kit.file("netdata.pem"), kit.file("netdata.key"));
    let whole = ["--config", &path, "--server-ca", &ca, "--certificate", &certificate, "--key", &key];
    let output = run(&whole);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for url in [url(proxy.address(0)), url(proxy.address(0)).replace(WEBHOOK, "/second/")] {
        assert!(text.lines().any(|line| line == url), "{url} in {text}");
    }
    assert_eq!(text.matches("pass  chain").count(), 1, "the listener is examined once: {text}");
    assert_eq!(text.matches("no certificate").count(), 2, "each path is: {text}");
    assert!(text.contains("300 s, by the configuration") && text.contains("right, after"), "{text}");
    assert!(text.contains("this route has no challenge_secret"), "{text}");
    // The system does not know the authority; a URL with a configuration is what is outside.
    let found = doctor(&["--config", &path]);
    assert_eq!(found.code, 1);
    let found = doctor(&[&[url(proxy.address(0)).as_str()][..], &whole].concat());
    found.has("challenge", "pass", "right").has("client certificate", "pass", "Test Root CA");
    let elsewhere = url(proxy.address(0)) + "/elsewhere";
    assert_eq!(run(&[&elsewhere, "--config", &path]).status.code(), Some(2));
    origin.received_nothing();
}

#[test]
fn a_configuration_that_differs_from_the_running_process_is_found() {
    let (kit, origin) = (Kit::new(), Origin::spawn());
    let config = Proxy::config(&origin, "request", "");
    let proxy = Proxy::spawn(&kit.pki, &config);
    let ca = kit.file("ca.pem");
    let [certificate, key] = ["netdata.pem", "netdata.key"].map(|name| kit.file(name));
    let examine = |config: &str| {
        let path = with_port(&kit, &proxy, config);
        doctor(&["--config", &path, "--server-ca", &ca, "--certificate", &certificate, "--key", &key])
    };
    examine(&config).not_passed(&["name"]);
    examine(&config.replace("\"ca.pem\"", "\"builtin:netdata\"")).has("client certificate", "fail", "Netdata");
    examine(&(config.clone() + "[limits]\nidle_timeout = \"60s\"\n")).has("idle timeout", "fail", "60 s");
    examine(&(config.clone() + "[limits]\nidle_timeout = \"90s\"\n")).has("idle timeout", "fail", "90 s");
    kit.pki.write("other.secret", "another secret than that\n");
    examine(&config.replace("challenge.secret", "other.secret")).has("challenge", "fail", "another secret");
    let off = config.replace("verify = \"request\"", "verify = \"off\"") + "auth = \"none\"\n";
    examine(&off).has("client certificate", "warn", "not intended").has("no credentials", "warn", "auth = \"none\"");
    drop(proxy);
    let path = kit.file("running.toml");
    doctor(&["--config", &path]).has("port", "fail", "Connection refused");
}

#[test]
fn a_listener_behind_a_balancer_is_examined_as_far_as_it_goes() {
    let (kit, origin) = (Kit::new(), Origin::spawn());
    let more = "[routes.auth]\nclient_certificate = false\nbearer = [{ token = { file = \"challenge.secret\" } }]\n";
    let plain = Proxy::config(&origin, "off", more).replace("https = ", "http = ");
    let proxy = Proxy::spawn(&kit.pki, &plain);
    let found = doctor(&["--config", &with_port(&kit, &proxy, &plain)]);
    found.has("certificate", "warn", "no TLS here").has("challenge", "pass", "right").has("clock", "pass", "");
    found.has("no credentials", "pass", "401");
    // A proxy that wants a PROXY protocol header gets one.
    let header = "https = \"127.0.0.1:0\"\nproxy_protocol = true\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let config = Proxy::config(&origin, "require", "").replace("https = \"127.0.0.1:0\"", header);
    let proxy = Proxy::spawn(&kit.pki, &config);
    let path = with_port(&kit, &proxy, &config);
    let found = doctor(&["--config", &path, "--server-ca", &kit.file("ca.pem")]);
    found.has("chain", "pass", "").has("no certificate", "pass", "TLS alert").has("old TLS versions", "pass", "");
}

#[test]
fn whoever_answers_nothing_or_never_stops_is_not_waited_for() {
    let kit = Kit::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let began = Instant::now();
    let found = kit.examine_whole(&url(address), &["--timeout", "1"]);
    found.has("chain", "fail", "nothing was answered in time");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());

    let garbage = scripted(|_| vec![b'x'; 1 << 20]);
    kit.examine_whole(&url(garbage), &["--timeout", "2"]).has("chain", "fail", "");
    let endless = Careless::new(&kit.pki)
        .answers(|_| format!("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n{}", "x".repeat(1 << 20)));
    let found = kit.examine_whole(&url(endless.spawn()), &["--timeout", "4"]);
    found.has("challenge", "fail", "the answer is not");
    let drip = scripted(|_| b"HTTP/1.1 100 Continue\r\n\r\n".repeat(10_000));
    let plain = format!("http://127.0.0.1:{}/", drip.port());
    kit.examine(&plain, &["--timeout", "1", "--no-client-certificate"]).has("no credentials", "pass", "");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let kit = Kit::new();
    let missing = kit.file("missing");
    let broken = kit.pki.write("broken.toml", "[listen]\nhttps = 1\n").to_str().unwrap().to_owned();
    let origin = Origin::spawn();
    let port0 = kit.pki.write("port0.toml", &Proxy::config(&origin, "require", "")).to_str().unwrap().to_owned();
    for (arguments, expected) in [
        (&["hooks.example"][..], "must begin with https://"),
        (&["ftp://hooks.example/"], "must begin with https://"),
        (&["https://a:b@hooks.example/"], "credentials"),
        (&["https://localhost:1/", "--secret-file", &missing], "cannot read"),
        (&["https://localhost:1/", "--server-ca", &missing], "missing"),
        (&["https://localhost:1/", "--server-ca", &kit.file("challenge.secret")], "no certificate"),
        (&["https://localhost:1/", "--certificate", &kit.file("netdata.pem")], "--key"),
        (
            &["https://localhost:1/", "--certificate", &kit.file("netdata.pem"), "--key", &kit.file("server.key")],
            "is not the key",
        ),
        (&["https://localhost:1/", "--timeout", "0"], "--timeout"),
        (&["--config", &missing], "cannot read the configuration"),
        (&["--config", &broken], "listen.https"),
        (&["--config", &port0], "nobody knows the port"),
    ] {
        let output = run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(expected), "{arguments:?}: {said}");
    }
    // As everywhere, the configuration may be named by the environment.
    let mut command = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
    let output = command.env("NETDATA_WEBHOOK_PROXY_CONFIG", Path::new(&port0)).arg("doctor").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("nobody knows the port"));
}
