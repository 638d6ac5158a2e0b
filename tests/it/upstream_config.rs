//! What `[upstreams]` and routes may say about where requests go.

use crate::support::Pki;
use netdata_webhook_proxy::commands::check;
use netdata_webhook_proxy::internals::Balance;
use netdata_webhook_proxy::{Config, Loaded};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

/// `upstream` in a route, and `more` after it.
fn config(upstream: &str, more: &str) -> String {
    format!(
        "[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\ncertificate = \"server.pem\"\nprivate_key = \"server.key\"\n\
         [[routes]]\npath = \"/a\"\nupstream = \"{upstream}\"\n{more}\n"
    )
}

fn load(pki: &Pki, upstream: &str, more: &str) -> Result<Loaded, String> {
    Config::from_toml(&config(upstream, more), pki.path()).map_err(|error| error.to_string())
}

#[test]
fn a_group_has_defaults() {
    let config = load(
        Pki::shared(),
        "app",
        "[upstreams.app]\nservers = \"http://127.0.0.1:3000\"\n",
    )
    .unwrap()
    .config;
    let upstream = &config.routes[0].upstream;
    assert_eq!(upstream.name, "app");
    assert_eq!(upstream.servers[0].to_string(), "http://127.0.0.1:3000");
    assert_eq!(
        (upstream.balance, upstream.keepalive),
        (Balance::RoundRobin, 128)
    );
    assert_eq!(upstream.connect_timeout, Duration::from_secs(2));
    assert_eq!(upstream.response_timeout, Duration::from_secs(30));
    assert_eq!(upstream.retry_for, Duration::from_secs(5));
    let check = upstream.health_check.as_ref().unwrap();
    assert_eq!(
        (check.path.as_deref(), check.interval),
        (None, Duration::from_secs(5))
    );
    assert!(upstream.tls.is_none());
}

#[test]
fn a_key_that_others_may_read_is_warned_of() {
    let pki = Pki::new();
    pki.server("proxy.internal", |_| {});
    let group = "[upstreams.app]\nservers = \"https://a.internal\"\nca = \"ca.pem\"\n\
                 client_certificate = \"proxy.internal.pem\"\nclient_private_key = \"proxy.internal.key\"\n";
    for (mode, is_open) in [(0o600, false), (0o644, true)] {
        std::fs::set_permissions(
            pki.path().join("proxy.internal.key"),
            Permissions::from_mode(mode),
        )
        .unwrap();
        let warnings: Vec<_> = load(&pki, "app", group)
            .unwrap()
            .warnings
            .iter()
            .map(ToString::to_string)
            .collect();
        let is_warned = warnings
            .iter()
            .any(|line| line.contains("client_private_key") && line.contains("0644"));
        assert_eq!(is_warned, is_open, "{warnings:?}");
    }
}

#[test]
fn every_key_of_a_group_is_read() {
    let pki = Pki::new();
    pki.server("proxy.internal", |_| {});
    let group = r#"
[upstreams."app-1.x"]
servers = ["https://a.internal", "https://[::1]:8443", "unix:app.sock", "http://b:1"]
balance = "random"
connect_timeout = "250ms"
response_timeout = "5m"
retry_for = "0s"
keepalive = 7
health_check = { path = "/healthz?deep=1", interval = "1s", host = "app:81", headers = { X-A = "b" }, status = ["2xx", "404"] }
ca = ["ca.pem"]
server_name = "app.internal"
client_certificate = "proxy.internal.pem"
client_private_key = "proxy.internal.key"
"#;
    let loaded = load(&pki, "app-1.x", group).unwrap();
    let upstream = &loaded.config.upstreams[0];
    let servers: Vec<_> = upstream.servers.iter().map(ToString::to_string).collect();
    let socket = format!("unix:{}", pki.path().join("app.sock").display());
    assert_eq!(
        servers,
        [
            "https://a.internal:443",
            "https://[::1]:8443",
            &socket,
            "http://b:1"
        ]
    );
    assert_eq!((upstream.balance, upstream.keepalive), (Balance::Random, 7));
    assert_eq!(upstream.connect_timeout, Duration::from_millis(250));
    assert_eq!(upstream.response_timeout, Duration::from_secs(300));
    assert_eq!(upstream.retry_for, Duration::ZERO);
    let check = upstream.health_check.as_ref().unwrap();
    assert_eq!(
        (check.path.as_deref(), check.interval),
        (Some("/healthz?deep=1"), Duration::from_secs(1))
    );
    assert_eq!(
        (check.host.as_deref(), check.headers.len()),
        (Some("app:81"), 1)
    );
    assert!(
        !format!("{check:?}").contains("\"b\""),
        "it may be a credential: {check:?}"
    );
    let accepted: Vec<_> = (100..700).filter(|status| check.accepts(*status)).collect();
    assert_eq!(accepted, (200..300).chain([404]).collect::<Vec<_>>());
    let tls = upstream.tls.as_ref().unwrap();
    assert_eq!(
        (tls.authorities.len(), tls.server_name.as_deref()),
        (1, Some("app.internal"))
    );
    assert_eq!(tls.identity.as_ref().unwrap().chain.len(), 1);
    for file in ["ca.pem", "proxy.internal.pem", "proxy.internal.key"] {
        assert!(
            loaded.sources.files.contains(&pki.path().join(file)),
            "{file} is watched"
        );
    }
    let said = check::describe(&loaded.config);
    for part in [
        "upstream app-1.x = https://a.internal:443, ",
        "random; health check /healthz?deep=1 as app:81 every 1s",
        "client certificate",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn a_name_that_is_no_group_is_an_error_that_names_the_nearest() {
    let group = "[upstreams.application]\nservers = \"http://x\"\n[upstreams.other]\nservers = \"http://x\"\n";
    for (upstream, more, expected) in [
        (
            "aplication",
            group,
            "routes[0].upstream: there is no [upstreams.aplication]; did you mean \"application\"?",
        ),
        ("zzz", group, "the nearest known one is"),
        (
            "app",
            "",
            "must be \"http://host:port\", \"https://host:port\" or \"unix:/path\", or the name of one of",
        ),
        ("ftp://app", group, "must be \"http://host:port\""),
        ("http://:3000", group, "must be \"http://host:port\""),
    ] {
        let said = load(Pki::shared(), upstream, more).unwrap_err();
        assert!(said.contains(expected), "{upstream}: {said}");
    }
    // What is wrong with a group is said once, and not again for each route that names it.
    let said = load(Pki::shared(), "app", "[upstreams.app]\nservers = \"x\"\n").unwrap_err();
    assert!(
        said.contains("upstreams.app.servers") && !said.contains("routes[0]"),
        "{said}"
    );
}

#[test]
fn what_is_wrong_with_a_group_is_said_with_its_key() {
    let pki = Pki::new();
    pki.server("proxy.internal", |_| {});
    pki.server("other.internal", |_| {});
    let long = format!("servers = \"unix:/{}\"", "x".repeat(200));
    for (keys, expected) in [
        ("", "upstreams.app.servers: missing"),
        ("servers = []", "upstreams.app.servers: missing"),
        (
            "servers = 1",
            "upstreams.app.servers: must be a string or an array",
        ),
        (
            "servers = [\"http://a\", \"x\"]",
            "upstreams.app.servers[1]: must be \"http://host:port\"",
        ),
        ("servers = \"http://a/b\"", "must not have a path"),
        ("servers = \"http://a:b@c\"", "must not hold credentials"),
        (
            "servers = [\"http://a:80\", \"http://A\"]",
            "upstreams.app.servers[1]: is there already",
        ),
        ("servers = \"unix:\"", "must name a socket"),
        (
            "servers = \"unix:~/app.sock\"",
            "~ does not stand for a home directory",
        ),
        (&long, "is not a valid path of a socket"),
        (
            "servers = \"http://a\"\nserver = 1",
            "upstreams.app.server: unknown key; did you mean \"servers\"?",
        ),
        (
            "servers = \"http://a\"\nbalance = \"least\"",
            "upstreams.app.balance: must be one of",
        ),
        (
            "servers = \"http://a\"\nkeepalive = 100000",
            "upstreams.app.keepalive: must be at most 65536",
        ),
        (
            "servers = \"http://a\"\nkeepalive = -1",
            "upstreams.app.keepalive: must be a whole number",
        ),
        (
            "servers = \"http://a\"\nconnect_timeout = 2",
            "upstreams.app.connect_timeout: must be a duration",
        ),
        (
            "servers = \"http://a\"\nresponse_timeout = \"0s\"",
            "upstreams.app.response_timeout: must be a duration",
        ),
        (
            "servers = \"http://a\"\nretry_for = 0",
            "upstreams.app.retry_for: must be a duration",
        ),
        (
            "servers = \"http://a\"\nhealth_check = \"/h\"",
            "upstreams.app.health_check: must be a table",
        ),
        (
            "servers = \"http://a\"\nhealth_check = { path = \"h\" }",
            "upstreams.app.health_check.path: must be a path",
        ),
        (
            "servers = \"http://a\"\nhealth_check = { path = \"/a b\" }",
            "must be a path",
        ),
        (
            "servers = \"http://a\"\nhealth_check = { every = \"1s\" }",
            "upstreams.app.health_check.every: unknown key",
        ),
        (
            "servers = \"http://a\"\nhealth_check = { host = \"a\" }",
            "health_check.host: requires path",
        ),
        (
            "servers = \"http://a\"\nhealth_check = { status = \"2xx\" }",
            "health_check.status: requires path",
        ),
        (
            "servers = \"http://a\"\nhealth_check = { headers = { A = \"b\" } }",
            "health_check.headers: requires path",
        ),
        (
            "servers = \"http://a\"\nhealth_check = { path = \"/\", host = \"\" }",
            "health_check.host: must be the host name",
        ),
        (
            "servers = \"http://a\"\nhealth_check = { path = \"/\", host = \"a b\" }",
            "health_check.host: must be the host name",
        ),
        (
            "servers = \"http://a\"\nhealth_check = { path = \"/\", host = \"a@b\" }",
            "health_check.host: must be the host name",
        ),
        (
            "servers = \"http://a\"\nhealth_check = { path = \"/\", status = [] }",
            "health_check.status: is empty",
        ),
        (
            "servers = \"http://a\"\nhealth_check = { path = \"/\", status = \"6xx\" }",
            "health_check.status: must be a status",
        ),
        (
            "servers = \"http://a\"\nhealth_check = { path = \"/\", status = \"1xx\" }",
            "health_check.status: must be a status",
        ),
        (
            "servers = \"http://a\"\nhealth_check = { path = \"/\", status = \"+20\" }",
            "health_check.status: must be a status",
        ),
        (
            "servers = \"http://a\"\nhealth_check = { path = \"/\", headers = { Host = \"b\" } }",
            "health_check.headers.Host: has a key",
        ),
        (
            "servers = \"http://a\"\nhealth_check = { path = \"/\", headers = { TE = \"b\" } }",
            "health_check.headers.TE: is set by",
        ),
        (
            "servers = \"http://a\"\nhealth_check = { path = \"/\", headers = { \"A B\" = \"b\" } }",
            "is not the name of a header",
        ),
        (
            "servers = \"http://a\"\nhealth_check = { path = \"/\", headers = { A = \"b\\n\" } }",
            "must be printable ASCII",
        ),
        (
            "servers = \"http://a\"\nca = \"ca.pem\"",
            "upstreams.app.ca: is for https:// servers",
        ),
        (
            "servers = \"http://a\"\nserver_name = \"x\"",
            "upstreams.app.server_name: is for https:// servers",
        ),
        (
            "servers = \"https://a\"\nca = []",
            "upstreams.app.ca: must not be empty",
        ),
        (
            "servers = \"https://a\"\nca = \"missing.pem\"",
            "upstreams.app.ca: cannot read",
        ),
        (
            "servers = \"https://a\"\nca = \"server.pem\"",
            "is not a certificate authority",
        ),
        (
            "servers = \"https://a\"\nca = \"ca.pem\"\nserver_name = \"a b\"",
            "upstreams.app.server_name: must be the name",
        ),
        (
            "servers = \"https://a_b\"\nca = \"ca.pem\"",
            "upstreams.app.servers: no certificate can name \"a_b\"",
        ),
        (
            "servers = \"https://a\"\nca = \"ca.pem\"\nclient_certificate = \"proxy.internal.pem\"",
            "upstreams.app.client_private_key: missing",
        ),
        (
            "servers = \"https://a\"\nca = \"ca.pem\"\nclient_private_key = \"proxy.internal.key\"",
            "upstreams.app.client_certificate: missing",
        ),
        (
            "servers = \"https://a\"\nca = \"ca.pem\"\nclient_certificate = \"proxy.internal.pem\"\n\
             client_private_key = \"other.internal.key\"",
            "upstreams.app.client_private_key: ",
        ),
        (
            "servers = \"https://a\"\nca = \"ca.pem\"\nclient_certificate = \"ca.key\"\n\
             client_private_key = \"proxy.internal.key\"",
            "upstreams.app.client_certificate: cannot read",
        ),
    ] {
        let said = load(&pki, "app", &format!("[upstreams.app]\n{keys}\n")).unwrap_err();
        assert!(said.contains(expected), "{keys}\n{expected:?} in\n{said}");
    }
    for (group, expected) in [
        ("[upstreams]\napp = 1\n", "upstreams.app: must be a table"),
        ("upstreams = []\n", "upstreams: must be a table"),
        (
            "[upstreams.\"a b\"]\nservers = \"http://a\"\n",
            "the name may have letters",
        ),
    ] {
        let text = match group.starts_with('[') {
            true => config("http://a", group),
            false => group.to_owned() + &config("http://a", ""),
        };
        let said = Config::from_toml(&text, pki.path())
            .unwrap_err()
            .to_string();
        assert!(said.contains(expected), "{group}\n{expected:?} in\n{said}");
    }
}

#[test]
fn all_problems_of_all_groups_are_said_at_once() {
    let groups = "[upstreams.a]\nbalance = \"x\"\n[upstreams.b]\nservers = \"ftp://x\"\nkeepalive = \"many\"\n";
    let said = load(Pki::shared(), "c", groups).unwrap_err();
    for part in [
        "upstreams.a.balance",
        "upstreams.a.servers",
        "upstreams.b.servers",
        "upstreams.b.keepalive",
        "routes[0].upstream",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
}
