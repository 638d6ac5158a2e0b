//! A secret that stands where it should not in a configuration.

use super::{SECRET, config, elsewhere, misplaced, pki, revealed, said};
use crate::support::{Origin, Proxy};
use netdata_webhook_proxy::Config;
use proptest::prelude::{ProptestConfig, proptest};
use std::path::Path;

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
        proxy.refuses_to_reload(&config);
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
        ("challenge_secret = SECRET", ":15:20: not TOML: "),
        (
            "max_body = 1\nmax_body = 2",
            ":16:1: not TOML: the key, or the table, is there already",
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

#[test]
fn a_configuration_that_is_printed_shows_no_secret() {
    let pki = pki();
    let key = std::fs::read_to_string(pki.path().join("server.key")).unwrap();
    let material: String = key
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let der = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, &material).unwrap();
    for name in [
        "challenge.secret",
        "basic.secret",
        "bearer.secret",
        "signing.secret",
    ] {
        pki.write(name, SECRET);
    }
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let route = format!(
        "challenge_secret = {{ file = \"challenge.secret\" }}\nsign = {{ secret = {{ file = \"signing.secret\" }} }}\nset_headers = {{ \"X-Key\" = \"{SECRET}\" }}\n\
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
