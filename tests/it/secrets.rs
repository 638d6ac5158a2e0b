//! Secrets and keys are shown by nothing: no command, no log line, no error, whatever is wrong with
//! them.
//!
//! | fault | kind | held by |
//! |---|---|---|
//! | a PEM whose line ends are lost puts the whole private key, as decimal bytes, into the error of `check`, `run`, a reload, `send --key` and `doctor` | a library's error repeats what it read | [`a_key_that_is_damaged_is_shown_by_nothing`] |
//! | `challenge_secret = "…"`, `bearer = ["…"]`, `password = "…"` are repeated by `check` and in the log of a failed reload | a message repeats the value, the key or the name that it complains of | [`a_secret_in_the_wrong_place_is_shown_by_nothing`], [`whatever_the_secret_is_no_message_holds_it`] |
//! | a line of the file in a syntax error, and what a parser makes of the rest of that line | likewise | the same |
//! | a key pasted where its file's name belongs | the name of a file that is not there is repeated | the same, and [`what_is_pasted_for_a_file_is_not_repeated`] |
//! | `send --key "$(cat client.key)"` | the parser of the command line repeats an argument that it has no use for | [`what_is_pasted_for_a_file_is_not_repeated`], [`an_option_that_takes_no_secret_does_not_repeat_one`] |
//! | `{:?}` of a configuration | a derived `Debug` | [`a_configuration_that_is_printed_shows_no_secret`] |
//!
//! What the log shows at each level is in `logs`.

use crate::support::{Edit as _, Origin, Pki, Proxy};
use netdata_webhook_proxy::Config;
use proptest::prelude::{ProptestConfig, proptest};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

const SECRET: &str = "hunter2-Tr0ub4dor&3-correct-horse";

/// What a command says, on both streams, and its exit code.
fn said(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .args(arguments)
        .output()
        .unwrap();
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (output.status.code(), stdout + &stderr)
}

/// A part of `secret` that `text` shows: as it is, or as the numbers of its bytes.
fn revealed(text: &str, secret: &[u8]) -> Option<String> {
    let decimal = |part: &[u8]| {
        part.iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let hex = |part: &[u8]| {
        part.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    };
    secret.windows(12).find_map(|part| {
        let forms = [
            String::from_utf8_lossy(part).into_owned(),
            decimal(part),
            hex(part),
        ];
        forms.into_iter().find(|form| text.contains(form))
    })
}

/// Every way to write `secret`, a string of TOML in its quotes, where a configuration has to say
/// where one is kept. `is_syntax` is what is no TOML.
fn misplaced(quoted: &str, bare: &str) -> Vec<String> {
    let challenge = |value: &str| format!("challenge_secret = {value}\n");
    let auth = |line: &str| format!("[routes.auth]\n{line}\n");
    let basic = |value: &str| {
        auth(&format!(
            "basic = [{{ username = \"netdata\", password = {value} }}]"
        ))
    };
    let bearer = |value: &str| auth(&format!("bearer = [{{ token = {value} }}]"));
    let mut all = Vec::new();
    for value in [
        quoted.to_owned(),
        format!("[{quoted}]"),
        format!("[[{quoted}]]"),
        format!("{{ {quoted} = true }}"),
        format!("{{ {quoted} = {quoted} }}"),
        format!("{{ secret = {quoted} }}"),
        format!("{{ value = [{quoted}], file = [{quoted}] }}"),
        format!("{{ file = {quoted} }}"),
        format!("{{ file = {{ path = {quoted} }} }}"),
        format!("{{ env = {quoted} }}"),
        format!("{{ credential = {quoted} }}"),
        format!("{{ sha256 = {quoted} }}"),
        format!("{{ file = {quoted}, env = {quoted}, credential = {quoted} }}"),
        // No TOML.
        bare.to_owned(),
        format!("\"{bare}"),
        format!("\"\"\"{bare}\" {bare}"),
        format!("{{ file = {bare} }}"),
        format!("{{ {bare} }}"),
        format!("{{ file = {quoted} {bare} }}"),
        format!("[{quoted} {bare}]"),
        format!("{quoted}\nchallenge_secret = {quoted}"),
    ] {
        all.extend([challenge(&value), basic(&value), bearer(&value)]);
    }
    for line in [
        format!("bearer = [{quoted}]"),
        format!("bearer = {quoted}"),
        format!("bearer = {{ token = {quoted} }}"),
        format!("bearer = [{{ {quoted} = {quoted} }}]"),
        format!("bearer = [{{ secret = {quoted} }}]"),
        format!("basic = [{quoted}]"),
        format!("basic = {quoted}"),
        format!("basic = {{ netdata = {quoted} }}"),
        format!("basic = [{{ netdata = {quoted} }}]"),
        format!("basic = [{{ username = \"netdata\", {quoted} = 1 }}]"),
        format!("basic = [[\"netdata\", {quoted}]]"),
        format!("bearer = [{bare}]"),
        format!("basic = netdata:{bare}"),
    ] {
        all.push(auth(&line));
    }
    all.extend([
        format!("auth = {quoted}\n"),
        format!("auth = [{quoted}]\n"),
        format!("auth = {bare}\n"),
    ]);
    all.extend([
        format!("set_headers = {quoted}\n"),
        format!("set_headers = {{ \"X-Key\" = [{quoted}] }}\n"),
    ]);
    all.push("set_headers = { \"X-Key\" = ".to_owned() + &quoted.replacen('"', "\"$", 1) + " }\n");
    all
}

/// A configuration with its one upstream, and what follows in its one route.
fn config(upstream: &str, route: &str) -> String {
    Proxy::config_for(upstream, "request", "")
        .edit("challenge_secret = { file = \"challenge.secret\" }\n", "")
        + route
}

/// The upstreams with a secret in their address, and key files that are a secret.
fn elsewhere(secret: &str) -> Vec<String> {
    let mut all = Vec::new();
    for url in [
        "http://netdata:SECRET@127.0.0.1:1",
        "https://SECRET@127.0.0.1:1",
        "netdata:SECRET@host",
        "http://a:SECRET@",
    ] {
        let url = url.edit("SECRET", secret);
        all.push(config(&url, ""));
        all.push(config(
            "app",
            &format!("[upstreams.app]\nservers = [\"{url}\", 1]\n"),
        ));
    }
    let plain = config("http://127.0.0.1:1", "");
    all.push(plain.edit("server.key", secret));
    all.push(plain.edit("\"server.key\"", &format!("[\"{secret}\"]")));
    let identity =
        format!("client_certificate = \"server.pem\"\nclient_private_key = \"{secret}\"");
    all.push(config(
        "app",
        &format!("[upstreams.app]\nservers = \"https://127.0.0.1:1\"\n{identity}\n"),
    ));
    all
}

fn pki() -> Pki {
    let pki = Pki::new();
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    pki
}

#[test]
fn a_secret_in_the_wrong_place_is_shown_by_nothing() {
    let (pki, origin) = (pki(), Origin::spawn());
    let proxy = Proxy::spawn(&pki, &Proxy::config(&origin, "request", ""));
    let routes = misplaced(&format!("\"{SECRET}\""), SECRET);
    let configs = routes
        .iter()
        .map(|route| config(&origin.url, route))
        .chain(elsewhere(SECRET));
    for config in configs {
        let path = pki.write("config.toml", &config);
        for command in ["check", "run"] {
            let (code, said) = said(&[command, "--config", path.to_str().unwrap()]);
            assert_eq!(code, Some(2), "{config}\n{said}");
            assert_eq!(revealed(&said, SECRET.as_bytes()), None, "{config}\n{said}");
            assert!(said.contains("config.toml:"), "{config}\n{said}");
        }
        proxy.reload(&config);
    }
    let log = proxy.log().join("\n");
    assert!(!log.contains("configuration reloaded"), "{log}");
    assert_eq!(revealed(&log, SECRET.as_bytes()), None, "{log}");
}

#[test]
fn what_to_write_instead_is_said() {
    let pki = pki();
    for (route, expected) in [
        (
            "challenge_secret = \"SECRET\"",
            "must be a table that says where the secret is kept, { file = ",
        ),
        (
            "[routes.auth]\nbearer = [\"SECRET\"]",
            "bearer[0]: must be a table such as { token = { file = ",
        ),
        (
            "[routes.auth]\nbearer = [{ token = \"SECRET\" }]",
            "bearer[0].token: must be a table that says where",
        ),
        (
            "[routes.auth]\nbasic = \"SECRET\"",
            "basic: must be an array of tables such as { username = ",
        ),
        (
            "[routes.auth]\nbasic = [{ username = \"a\", password = \"SECRET\" }]",
            "or { sha256 = \"<hex>\" }, not a string",
        ),
        (
            "challenge_secret = { fil = \"SECRET\" }",
            "challenge_secret: unknown key; did you mean \"file\"?",
        ),
        (
            "auth = \"SECRET\"",
            "auth: must be a table, [routes.auth], or \"none\"",
        ),
        ("challenge_secret = SECRET", ":15: not TOML at column 20: "),
        (
            "max_body = 1\nmax_body = 2",
            ":16: not TOML at column 1: the key, or the table, is there already",
        ),
        (
            "challenge_secret = { file = \"SECRET\" }",
            "cannot read the file with the secret, by the name that is given: ",
        ),
    ] {
        let path = pki.write("config.toml", &config("http://127.0.0.1:1", route));
        let (_, said) = said(&["check", "--config", path.to_str().unwrap()]);
        assert!(said.contains(expected), "{expected:?} in {said}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_the_secret_is_no_message_holds_it(secret in "[a-z0-9]{4}[ -~]{8,40}") {
        let quoted = format!("{secret:?}").replace("\\'", "'");
        for config in misplaced(&quoted, &secret).iter().map(|route| config("http://127.0.0.1:1", route)) {
            let Err(error) = Config::from_toml(&config, Path::new("")) else { continue };
            let said = error.to_string();
            assert_eq!(revealed(&said, secret.as_bytes()), None, "{config}\n{said}");
        }
    }
}

/// Ways in which a key is damaged on its way: through a variable, an editor, a clipboard, a
/// template.
fn damaged(pem: &str) -> Vec<String> {
    let body = pem.lines().nth(1).unwrap();
    let marker = pem.lines().next().unwrap();
    vec![
        pem.replace('\n', ""),
        pem.replace('\n', " "),
        pem.replace('\n', "\\n"),
        pem.replacen('\n', "", 1),
        pem.replacen('\n', " ", 1),
        pem.edit("\n-----END", "-----END"),
        pem.edit("-----END", "-----EN"),
        pem[..pem.len() / 2].to_owned(),
        pem.edit_first(body, &format!("{}é{}", &body[..8], &body[9..])),
        pem.edit_first(body, &body[1..]),
        pem.edit_first(body, &format!("{body}=")),
        format!("{marker}{body}\n{pem}"),
        format!("{marker}\n{body}\n{pem}"),
        pem.edit("PRIVATE KEY", "PRIVAT KEY"),
        pem.edit("-----BEGIN", "----BEGIN"),
        pem.edit("-----BEGIN", "-----BEGIN BEGIN"),
        pem.edit("PRIVATE KEY", "RSA PRIVATE KEY"),
        pem.edit("PRIVATE KEY", "CERTIFICATE"),
        pem.edit("PRIVATE KEY", "X509 CRL"),
        pem.chars().flat_map(|c| [c, '\0']).collect(),
        body.to_owned(),
    ]
}

#[test]
fn a_key_that_is_damaged_is_shown_by_nothing() {
    let (pki, origin) = (pki(), Origin::spawn());
    let config = Proxy::config(&origin, "request", "");
    let key = std::fs::read_to_string(pki.path().join("server.key")).unwrap();
    let material: String = key
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let certificate = std::fs::read_to_string(pki.path().join("server.pem")).unwrap();
    pki.write_leaf("client", &pki.netdata());
    let path = |name: &str| pki.path().join(name).to_str().unwrap().to_owned();
    let bad = pki.write("bad.key", &key);
    let swapped = pki.write("swapped.toml", &config.edit("server.key", "bad.key"));
    let upstream = pki.write(
        "upstream.toml",
        &config.edit(&origin.url, "app").edit(
            "[server]",
            "[upstreams.app]\nservers = \"https://127.0.0.1:1\"\nclient_certificate = \"server.pem\"\n\
             client_private_key = \"bad.key\"\n[server]",
        ),
    );
    let mixed = pki.write("mixed.toml", &config.edit("server.pem", "mixed.pem"));
    let trusted = pki.write("trusted.toml", &config.edit("ca.pem", "mixed.pem"));
    let revoked = pki.write(
        "revoked.toml",
        &config.edit("[tls.client]", "[tls.client]\ncrl = \"mixed.pem\""),
    );
    let proxy = Proxy::spawn(&pki, &config);
    for (index, damaged) in damaged(&key).into_iter().enumerate() {
        std::fs::write(&bad, &damaged).unwrap();
        std::fs::write(
            pki.path().join("mixed.pem"),
            format!("{damaged}\n{certificate}"),
        )
        .unwrap();
        let bad = path("bad.key");
        for arguments in [
            &["check", "--config", swapped.to_str().unwrap()][..],
            &["run", "--config", swapped.to_str().unwrap()],
            &["check", "--config", upstream.to_str().unwrap()],
            &[
                "send",
                "alert",
                "https://127.0.0.1:1/",
                "--cert",
                &path("server.pem"),
                "--key",
                &bad,
            ],
            &[
                "doctor",
                "https://127.0.0.1:1/",
                "--certificate",
                &path("server.pem"),
                "--key",
                &bad,
            ],
        ] {
            let (code, said) = said(arguments);
            assert_eq!(code, Some(2), "{index} {arguments:?}: {said}");
            assert!(said.contains("bad.key"), "{index} {arguments:?}: {said}");
            assert_eq!(
                revealed(&said, material.as_bytes()),
                None,
                "{index} {arguments:?}: {said}"
            );
        }
        // A key that stands where certificates belong.
        for arguments in [
            &["check", "--config", mixed.to_str().unwrap()][..],
            &["check", "--config", trusted.to_str().unwrap()],
            &["check", "--config", revoked.to_str().unwrap()],
            &["send", "alert", "https://127.0.0.1:1/", "--ca", &bad],
            &[
                "send",
                "alert",
                "https://127.0.0.1:1/",
                "--cert",
                &bad,
                "--key",
                &bad,
            ],
            &["doctor", "https://127.0.0.1:1/", "--server-ca", &bad],
            &["doctor", "https://127.0.0.1:1/", "--client-ca", &bad],
        ] {
            let (_, said) = said(arguments);
            assert_eq!(
                revealed(&said, material.as_bytes()),
                None,
                "{index} {arguments:?}: {said}"
            );
        }
        proxy.reload(&config.edit("server.key", "bad.key"));
        proxy.reload(&config.edit("ca.pem", "mixed.pem"));
    }
    let log = proxy.log().join("\n");
    assert!(log.contains("bad.key"), "{log}");
    assert_eq!(revealed(&log, material.as_bytes()), None, "{log}");
}

#[test]
fn what_is_pasted_for_a_file_is_not_repeated() {
    let pki = pki();
    let key = std::fs::read_to_string(pki.path().join("server.key")).unwrap();
    let certificate = pki.path().join("server.pem").to_str().unwrap().to_owned();
    let both = key.clone() + &std::fs::read_to_string(&certificate).unwrap();
    let plain = config("http://127.0.0.1:1", "");
    for (name, pasted) in [
        ("server.key", &key),
        ("server.pem", &both),
        ("ca.pem", &both),
    ] {
        let config = plain.edit(&format!("\"{name}\""), &format!("\"\"\"\n{pasted}\"\"\""));
        let path = pki.write("config.toml", &config);
        let (code, said) = said(&["check", "--config", path.to_str().unwrap()]);
        assert_eq!(
            (code, revealed(&said, key.as_bytes())),
            (Some(2), None),
            "{said}"
        );
    }
    let url = "https://127.0.0.1:1/";
    for arguments in [
        &["send", "alert", url, "--cert", &certificate, "--key", &key][..],
        &["send", "alert", url, "--bearer-file", SECRET],
        &["send", "alert", url, "--bearer-env", SECRET],
        &[
            "send",
            "alert",
            url,
            "--basic",
            "netdata",
            "--password-file",
            SECRET,
        ],
        &[
            "send",
            "alert",
            url,
            "--basic",
            &format!("netdata:{SECRET}"),
        ],
        &[
            "send",
            "alert",
            url,
            "--header",
            &format!("Authorization: Bearer {SECRET}"),
        ],
        &["send", "challenge", url, "--secret-file", SECRET],
        &["doctor", url, "--secret-file", SECRET],
        &["doctor", url, "--certificate", &certificate, "--key", &key],
        &["challenge", "--secret-file", SECRET, "token"],
        &["send", "alert", url, "--basic", "netdata", SECRET],
        &[
            "send",
            "alert",
            url,
            "--bearer-file",
            "bearer.secret",
            SECRET,
        ],
        &["challenge", "token", SECRET],
    ] {
        let (code, said) = said(arguments);
        assert_eq!(code, Some(2), "{said}");
        assert_eq!(revealed(&said, SECRET.as_bytes()), None, "{said}");
        assert_eq!(revealed(&said, key.as_bytes()), None, "{said}");
    }
}

#[test]
fn an_option_that_takes_no_secret_does_not_repeat_one() {
    let url = "https://127.0.0.1:1/";
    for option in [
        "--bearer",
        "--password",
        "--token",
        "--secret",
        "--authorization",
        "-p",
        "--challenge-secret",
    ] {
        for command in [
            &["send", "alert", url][..],
            &["send", "challenge", url],
            &["doctor", url],
            &["run"],
            &["check"],
        ] {
            let (joined, separate) = (
                [format!("{option}={SECRET}")],
                [option.to_owned(), SECRET.to_owned()],
            );
            for option in [&joined[..], &separate] {
                let arguments: Vec<_> = command
                    .iter()
                    .copied()
                    .chain(option.iter().map(String::as_str))
                    .collect();
                let (code, said) = said(&arguments);
                assert_eq!(code, Some(2), "{said}");
                assert_eq!(
                    revealed(&said, SECRET.as_bytes()),
                    None,
                    "{arguments:?}: {said}"
                );
            }
        }
    }
}

#[test]
fn a_configuration_that_is_printed_shows_no_secret() {
    let pki = pki();
    let key = std::fs::read_to_string(pki.path().join("server.key")).unwrap();
    let material: String = key
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let der = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, &material).unwrap();
    for name in ["challenge.secret", "basic.secret", "bearer.secret"] {
        pki.write(name, SECRET);
    }
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let route = format!(
        "challenge_secret = {{ file = \"challenge.secret\" }}\nset_headers = {{ \"X-Key\" = \"{SECRET}\" }}\n\
         [routes.auth]\nbasic = [{{ username = \"netdata\", password = {{ file = \"basic.secret\" }} }}]\n\
         bearer = [{{ token = {{ file = \"bearer.secret\" }} }}, {{ token = {{ sha256 = \"{digest}\" }} }}]\n\
         [upstreams.app]\nservers = \"https://127.0.0.1:1\"\nca = \"ca.pem\"\n\
         client_certificate = \"server.pem\"\nclient_private_key = \"server.key\"\n"
    );
    let loaded = Config::from_toml(&config("app", &route), pki.path()).unwrap();
    // Behind the kind of the key, and before what is public in it.
    let scalar = &der[36..68];
    for printed in [format!("{loaded:?}"), format!("{loaded:#?}")] {
        for secret in [
            SECRET.as_bytes(),
            material.as_bytes(),
            scalar,
            digest.as_bytes(),
        ] {
            assert_eq!(revealed(&printed, secret), None, "{printed}");
        }
    }
}
