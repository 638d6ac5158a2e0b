//! `check` names each mistake that is planted into a configuration: its place, what is wrong, and
//! what to do about it. None of them works in silence.

use crate::support::{Edit as _, Origin, Pki, skip};
use rcgen::KeyPair;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use time::Duration;

/// A configuration without a mistake: its lines have the numbers that the tables below name.
const GOOD: &str = r#"[listen]
https = "127.0.0.1:8443"
[tls]
certificate = "server.pem"
private_key = "server.key"
[[routes]]
path = "/webhooks/netdata"
upstream = "ORIGIN"
challenge_secret = { file = "challenge.secret" }
"#;

const SECRET: &str = "{ file = \"challenge.secret\" }";

/// Where mistakes are made, and what is right.
struct Scene {
    pki: Pki,
    origin: Origin,
    /// The environment.
    variables: Vec<(&'static str, PathBuf)>,
}

/// What `check` says, line by line, without the directory.
struct Said {
    code: Option<i32>,
    findings: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        let pki = Pki::new();
        pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
        Self {
            pki,
            origin: Origin::spawn(),
            variables: Vec::new(),
        }
    }

    fn check(&self, config: &str) -> Said {
        let config = config.replace("ORIGIN", &self.origin.url);
        let path = self.pki.write("config.toml", &config);
        let output = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
            .arg("check")
            .arg(path)
            .env_remove("CREDENTIALS_DIRECTORY")
            .envs(self.variables.iter().cloned())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let directory = format!("{}/", self.pki.path().display());
        let said = said.replace(&directory, "");
        // Lines of an excerpt belong to the one before.
        let findings = said.lines().filter(|line| !line.starts_with(' '));
        Said {
            code: output.status.code(),
            findings: findings.map(str::to_owned).collect(),
        }
    }

    /// Plants a mistake: `check` has these findings and no others, each with every part of it.
    #[track_caller]
    fn plant(&self, config: &str, expected: &[&[&str]]) {
        let Said { code, findings } = self.check(config);
        assert_eq!(findings.len(), expected.len(), "{config}\n{findings:#?}");
        for (finding, parts) in findings.iter().zip(expected) {
            for part in *parts {
                assert!(
                    finding.contains(part),
                    "{part:?} in {findings:#?}\n{config}"
                );
            }
            assert!(
                !finding.contains("[67, ") && !finding.contains("of type "),
                "{finding}"
            );
        }
        let is_error = findings
            .iter()
            .any(|finding| finding.starts_with("error: "));
        assert_eq!(code, Some(if is_error { 2 } else { 0 }), "{findings:#?}");
    }

    /// Plants mistakes, each in place of a part of the good configuration.
    #[track_caller]
    fn plant_in_place(&self, mistakes: &[(&str, &str, &[&str])]) {
        for (from, to, expected) in mistakes {
            self.plant(&GOOD.edit(from, to), &[expected]);
        }
    }

    /// Plants mistakes, each behind the good configuration, from line 10 on.
    #[track_caller]
    fn plant_behind(&self, mistakes: &[(&str, &[&str])]) {
        for (more, expected) in mistakes {
            self.plant(&format!("{GOOD}{more}\n"), &[expected]);
        }
    }
}

#[test]
fn what_is_right_has_no_finding() {
    Scene::new().plant(GOOD, &[]);
}

#[test]
fn what_is_no_toml_has_its_line_its_column_and_an_excerpt() {
    let scene = Scene::new();
    scene.plant_in_place(&[
        (
            "\"127.0.0.1:8443\"",
            "127.0.0.1:8443",
            &["error: config.toml:2:", ": not TOML: ", "in \"quotes\""],
        ),
        (
            "[tls]",
            "[tls",
            &["error: config.toml:3:5: not TOML: ", "write key = value"],
        ),
        (
            "[tls]",
            "https = \"127.0.0.1:1\"\n[tls]",
            &["error: config.toml:3:1: not TOML: the key, or the table, is there already"],
        ),
    ]);
    scene.plant_in_place(&[(
        "[tls]",
        "http2 = true\nhttp2.x = 1\n[tls]",
        &[
            "error: config.toml:4:",
            ": not TOML: the key has a value already, so it cannot be a table",
        ],
    )]);
    let path = scene.pki.write(
        "config.toml",
        &GOOD.edit("\"127.0.0.1:8443\"", "127.0.0.1:8443"),
    );
    let output = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .arg("check")
        .arg(path)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[1], "  | https = 127.0.0.1:8443", "{said}");
    let mark = lines[2].find('^').unwrap();
    assert!(
        lines[0].contains(&format!("config.toml:2:{}: ", mark - 3)),
        "{said}"
    );
}

#[test]
fn a_file_that_is_not_there_has_no_line() {
    let output = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .args(["check", "/nonexistent/config.toml"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = "error: /nonexistent/config.toml: cannot read the configuration: No such file";
    assert!(said.starts_with(expected), "{said}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn names_and_values() {
    let scene = Scene::new();
    scene.plant_in_place(&[
        (
            "[tls]",
            "htp2 = true\n[tls]",
            &["error: config.toml:3: listen.htp2: unknown key; did you mean \"http2\"?"],
        ),
        (
            "[tls]",
            "[limts]\n[tls]",
            &["error: config.toml:3: limts: unknown key; did you mean \"limits\"?"],
        ),
        (
            "\"/webhooks/netdata\"",
            "\"webhooks/netdata\"",
            &["error: config.toml:7: routes[0].path: must start with \"/\""],
        ),
        (
            "\"/webhooks/netdata\"",
            "\"/a*b\"",
            &["error: config.toml:7: routes[0].path: ", "only at its end"],
        ),
    ]);
    scene.plant_behind(&[
        (
            "max_body = \"1MB\"",
            &["error: config.toml:10: routes[0].max_body: must be a size such as \"64KiB\""],
        ),
        (
            "kind = \"webhok\"",
            &["error: config.toml:10: routes[0].kind: must be one of \"webhook\", \"proxy\""],
        ),
        (
            "[limits]\nheader_timeout = \"10\"",
            &[
                "error: config.toml:11: limits.header_timeout: must be a duration",
                "\"10s\"",
            ],
        ),
        (
            "set_headers = { X-A = \"$client_nam\" }",
            &["error: config.toml:10: routes[0].set_headers.X-A: there is no variable $client_nam"],
        ),
        (
            "[server]\npid_file = \"~/proxy.pid\"",
            &[
                "warning: config.toml:11: server.pid_file: ",
                "~ does not stand for a home directory",
            ],
        ),
    ]);
}

#[test]
fn listeners() {
    let scene = Scene::new();
    scene.plant_in_place(&[
        (
            "https = \"127.0.0.1:8443\"\n",
            "",
            &["error: config.toml:1: listen.https: missing; name an address such as \"0.0.0.0:8443\""],
        ),
        (
            "127.0.0.1:8443",
            "localhost:8443",
            &["error: config.toml:2: listen.https: must be an address and a port, such as "],
        ),
        (
            "\"127.0.0.1:8443\"",
            "[\"127.0.0.1:8443\", \"127.0.0.1:8443\"]",
            &[
                "error: config.toml:2: listen.https[1]: is taken: listen.https[0] has 127.0.0.1:8443 already; ",
                "choose another port",
            ],
        ),
        (
            "\"127.0.0.1:8443\"",
            "[\"0.0.0.0:8443\", \"127.0.0.1:8443\"]",
            &["error: config.toml:2: listen.https[1]: is taken: listen.https[0] has 0.0.0.0:8443 already; "],
        ),
        (
            "https = ",
            "http = ",
            &[
                "error: config.toml:6: routes[0].auth.client_certificate: demands a client certificate, which listen.http \
                 cannot carry",
                "add listen.https, or set client_certificate = false",
            ],
        ),
        (
            "[tls]",
            "http = \"127.0.0.1:8080\"\n[tls]",
            &["warning: config.toml:3: listen.http: no route can be reached here", "remove this listener, or add"],
        ),
        (
            "[tls]",
            "http = \"127.0.0.1:8443\"\n[tls]",
            &["error: config.toml:3: listen.http: is taken: listen.https has 127.0.0.1:8443 already"],
        ),
        (
            "[tls]",
            "proxy_protocol = true\n[tls]",
            &["error: config.toml:3: listen.proxy_protocol: needs trusted_proxies"],
        ),
        (
            "[tls]",
            "trusted_proxies = [\"10.0.0.0/8\", \"0.0.0.0/0\"]\n[tls]",
            &[
                "warning: config.toml:3: listen.trusted_proxies[1]: is not the network of your balancers",
                "list the balancers' own addresses",
            ],
        ),
        (
            "[tls]",
            "trusted_proxies = \"::/0\"\n[tls]",
            &["warning: config.toml:3: listen.trusted_proxies: is not the network of your balancers"],
        ),
        (
            "[tls]",
            "allow = \"10.0.0.0/33\"\n[tls]",
            &["error: config.toml:3: listen.allow: must be a network or an address, such as "],
        ),
    ]);
    scene.plant_behind(&[
        (
            "[admin]\nlisten = \"127.0.0.1:8443\"",
            &["error: config.toml:11: admin.listen: is taken: listen.https has 127.0.0.1:8443 already"],
        ),
        (
            "[admin]\nlisten = \"0.0.0.0:9464\"",
            &["warning: config.toml:11: admin.listen: is not a loopback address"],
        ),
    ]);
}

#[test]
fn upstreams() {
    let scene = Scene::new();
    for (url, words) in [
        (
            "http://127.0.0.1:8443",
            "is this program's own listener (listen.https)",
        ),
        (
            "https://localhost:8443",
            "is this program's own listener (listen.https)",
        ),
        ("http://127.0.0.1:3000/app", "must not have a path"),
        (
            "http://a:b@127.0.0.1:1",
            "must not hold credentials; use set_headers",
        ),
        ("ftp://x", "must be \"http://host:port\""),
        (
            "app",
            "must be \"http://host:port\", \"https://host:port\" or \"unix:/path\", or the name of one",
        ),
    ] {
        let expected = format!("error: config.toml:8: routes[0].upstream: {words}");
        scene.plant(&GOOD.edit("ORIGIN", url), &[&[&expected]]);
    }
    let anywhere = GOOD.edit("127.0.0.1:8443", "0.0.0.0:8443");
    let own: &[&str] = &[
        "routes[0].upstream: is this program's own listener",
        "name the address of the application",
    ];
    scene.plant(&anywhere.edit("ORIGIN", "http://127.0.0.1:8443"), &[own]);
    let admin = format!("{GOOD}[admin]\nlisten = \"127.0.0.1:9464\"\n");
    scene.plant(
        &admin.edit("ORIGIN", "http://127.0.0.1:9464"),
        &[&["config.toml:8: routes[0].upstream: is this program's own listener (admin.listen)"]],
    );
    scene.plant_behind(&[
        (
            "[upstreams.spare]\nservers = \"ORIGIN\"",
            &["warning: config.toml:10: upstreams.spare: no route uses it: set upstream = \"spare\" in a route"],
        ),
        (
            "[upstreams.app]\nservers = [\"ORIGIN\", \"http://127.0.0.1:8443\"]\n[[routes]]\npath = \"/b\"\nupstream = \"app\"",
            &["error: config.toml:11: upstreams.app.servers[1]: is this program's own listener (listen.https)"],
        ),
        (
            "[upstreams.app]\nservers = \"ORIGIN\"\n[[routes]]\npath = \"/b\"\nupstream = \"ap\"",
            &["error: config.toml:14: routes[1].upstream: there is no [upstreams.ap]; did you mean \"app\"?"],
        ),
        (
            "[upstreams.app]\nservers = []\n[[routes]]\npath = \"/b\"\nupstream = \"app\"",
            &["error: config.toml:11: upstreams.app.servers: missing; name at least one of \"http://host:port\""],
        ),
    ]);
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    scene.plant(
        &GOOD.edit("ORIGIN", &format!("http://{address}")),
        &[&[
            "warning: config.toml:8: routes[0].upstream: http://",
            " does not respond: ",
            "start the application, or correct its address",
        ]],
    );
}

/// What the system trusts may be damaged, too.
#[test]
fn authorities_of_the_system_that_are_not_whole() {
    let scene = Scene::new();
    let whole = fs::read_to_string(scene.pki.path().join("ca.pem")).unwrap();
    let config = GOOD.edit("ORIGIN", "https://127.0.0.1:1");
    let config = scene.pki.write("config.toml", &config);
    for (text, reason) in [
        (&whole[..whole.len() / 2], "is not whole in PEM"),
        ("", "none are found"),
    ] {
        let damaged = scene.pki.write("damaged.pem", text);
        let output = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
            .arg("check")
            .arg(&config)
            .env("SSL_CERT_FILE", damaged)
            .env_remove("SSL_CERT_DIR")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        for part in [
            "config.toml:8: routes[0].upstream: ",
            reason,
            "install ca-certificates, or set SSL_CERT_FILE",
        ] {
            assert!(said.contains(part), "{part} in {said}");
        }
        assert!(!said.contains("[67, "), "{said}");
    }
}

#[test]
fn routes() {
    let scene = Scene::new();
    scene.plant_behind(&[
        (
            "[[routes]]\npath = \"/webhooks/netdata\"\nupstream = \"ORIGIN\"",
            &["error: config.toml:11: routes[1].path: two routes have the path \"/webhooks/netdata\": remove one"],
        ),
        (
            "[[routes]]\npath = \"/Webhooks/netdata\"\nkind = \"proxy\"\nupstream = \"ORIGIN\"",
            &["warning: config.toml:11: routes[1].path: no request reaches \"/Webhooks/netdata\"", "another path"],
        ),
        (
            "[routes.auth]\nclient_certificate = false",
            &["error: config.toml:10: routes[0].auth: would admit every client: require client_certificate, basic or bearer"],
        ),
        (
            "auth = \"none\"",
            &["warning: config.toml:10: routes[0].auth: any client may use this route: require "],
        ),
        (
            "challenge_requires_authorization = true",
            &[
                "warning: config.toml:10: routes[0].challenge_requires_authorization: has no effect",
                "set basic or bearer in [routes.auth]",
            ],
        ),
        (
            "schema = \"off\"\nspaces = [\"acme\"]",
            &["warning: config.toml:11: routes[0].spaces: requires reading bodies although schema is \"off\""],
        ),
        (
            "[routes.auth]\nbasic = [{ username = \"a:b\", password = { file = \"challenge.secret\" } }]",
            &["error: config.toml:11: routes[0].auth.basic[0].username: must not contain \":\""],
        ),
        (
            "buffer_body = 1",
            &["error: config.toml:10: routes[0].buffer_body: is for routes of kind \"proxy\""],
        ),
    ]);
}

#[test]
fn limits() {
    let scene = Scene::new();
    scene.plant_behind(&[
        (
            "[limits]\nidle_timeout = \"60s\"",
            &["warning: config.toml:11: limits.idle_timeout: is not above 90s", "the default is \"300s\""],
        ),
        (
            "[limits]\nburst = 10",
            &["warning: config.toml:11: limits.burst: has no effect without a rate: set requests_per_second"],
        ),
        (
            "[limits]\nmax_connections = 1000000000",
            &["warning: config.toml:11: limits.max_connections: limits.max_connections = 1000000000 takes up to ", "LimitNOFILE"],
        ),
        (
            "[limits]\nmax_connections = 0",
            &["error: config.toml:11: limits.max_connections: must be more than 0"],
        ),
        (
            "[limits]\nmax_buffered = \"64KiB\"",
            &["warning: config.toml:11: limits.max_buffered: /webhooks/netdata takes bodies of up to 1048576 bytes"],
        ),
    ]);
}

#[test]
fn secrets() {
    let scene = Scene::new();
    let place = "config.toml:9: routes[0].challenge_secret: ";
    let utf_16: Vec<u8> = "\u{feff}YOUR_CHALLENGE_SECRET\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for (bytes, level, words) in [
        (
            &b"\xef\xbb\xbfYOUR_CHALLENGE_SECRET\n"[..],
            "error",
            "begins with a byte order mark (BOM)",
        ),
        (
            &utf_16,
            "error",
            "is UTF-16, so every character would have a zero byte beside it: save it as UTF-8",
        ),
        (
            b"",
            "error",
            "challenge.secret is empty: put the secret into it",
        ),
        (
            b"\"YOUR_CHALLENGE_SECRET\"\n",
            "warning",
            "is in quotes, which are part of it: remove them",
        ),
        (
            b" YOUR_CHALLENGE_SECRET\n",
            "warning",
            "begins or ends with a blank, which is part of it: remove it",
        ),
        (
            b"YOUR_CHALLENGE_SECRET\n\n",
            "warning",
            "ends with a line end, which is part of it: write it with printf",
        ),
        (
            b"YOUR_CHALLENGE_SECRET\nANOTHER\n",
            "warning",
            "has several lines, all of which are part of it: keep only",
        ),
        (
            b"hunter2\n",
            "warning",
            "has 7 bytes; with fewer than 16 it can be guessed",
        ),
    ] {
        fs::write(scene.pki.path().join("challenge.secret"), bytes).unwrap();
        scene.plant(GOOD, &[&[level, place, words]]);
    }
    scene
        .pki
        .write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    scene.pki.write("quoted.secret", "'YOUR_BEARER_TOKEN'\n");
    scene.plant_behind(&[(
        "[routes.auth]\nbearer = [{ token = { file = \"quoted.secret\" } }]",
        &["warning: config.toml:11: routes[0].auth.bearer[0].token: the secret is in quotes"],
    )]);
    for (source, words) in [
        (
            "\"hunter2-hunter2-hunter2\"",
            "must be a table that says where the secret is kept, { file = ",
        ),
        (
            "{ file = \"missing.secret\" }",
            "cannot read the file with the secret, by the name that is given",
        ),
        (
            "{ env = \"NETDATA_NOT_SET\" }",
            "NETDATA_NOT_SET is not set",
        ),
        (
            "{ file = \"a\", env = \"B_C\" }",
            "names several sources; write one of { file = ",
        ),
        ("{ sha256 = \"00\" }", "unknown key"),
        (
            "{ credential = \"challenge.secret\" }",
            "CREDENTIALS_DIRECTORY is not set, as systemd sets it for its services: before the first start, check with \
             --credentials DIR",
        ),
    ] {
        scene.plant(&GOOD.edit(SECRET, source), &[&["error: ", place, words]]);
    }
}

#[test]
fn certificates_and_keys() {
    let scene = Scene::new();
    let path = |name: &str| scene.pki.path().join(name);
    let read = |name: &str| fs::read_to_string(path(name)).unwrap();
    let missing: &[&[&str]] = &[
        &["error: config.toml:4: tls.certificate: cannot read missing.pem"],
        &[
            "error: config.toml:5: tls.private_key: cannot read the file with the key, by the name that is given",
        ],
    ];
    let both = GOOD
        .edit("server.pem", "missing.pem")
        .edit("server.key", "missing.key");
    scene.plant(&both, missing);
    scene.plant(
        &GOOD
            .edit("server.pem", "missing.pem")
            .edit("private_key = \"server.key\"\n", ""),
        &[
            &["error: config.toml:3: tls.private_key: missing; name the certificate's key in PEM"],
            &["error: config.toml:4: tls.certificate: cannot read missing.pem"],
        ],
    );
    scene
        .pki
        .write("other.key", &KeyPair::generate().unwrap().serialize_pem());
    let chain = read("server.pem");
    let start = chain.rfind("-----BEGIN").unwrap();
    scene.pki.write(
        "reversed.pem",
        &format!("{}{}", &chain[start..], &chain[..start]),
    );
    scene.pki.short_lived_server("expired", Duration::days(-1));
    fs::set_permissions(path("expired.key"), Permissions::from_mode(0o600)).unwrap();
    let expired = read("expired.pem") + &read("ca.pem");
    scene.pki.write("expired.pem", &expired);
    scene.plant_in_place(&[
        (
            "server.pem",
            "server.key",
            &["error: config.toml:4: tls.certificate: server.key holds a private key and no certificate"],
        ),
        (
            "server.key",
            "other.key",
            &["error: config.toml:5: tls.private_key: other.key is not the key of server.pem: name the key"],
        ),
        (
            "server.pem",
            "reversed.pem",
            &[
                "error: config.toml:4: tls.certificate: reversed.pem has the certificate of server.key in place 2 of 2",
                "put the leaf first, and each issuer after it",
            ],
        ),
        (
            "certificate = \"server.pem\"\nprivate_key = \"server.key\"",
            "certificate = \"expired.pem\"\nprivate_key = \"expired.key\"",
            &["error: config.toml:4: tls.certificate: ", "has expired on ", "renew it"],
        ),
        (
            "\"server.key\"",
            "{ credential = \"server.key\" }",
            &["error: config.toml:5: tls.private_key: CREDENTIALS_DIRECTORY is not set", "--credentials DIR"],
        ),
        (
            "\"server.pem\"",
            "{ path = \"server.pem\" }",
            &["error: config.toml:4: tls.certificate: unknown key", "\"file\" of credential, file"],
        ),
        (
            "\"server.pem\"",
            "{}",
            &["error: config.toml:4: tls.certificate: must be the path of a file, { file = \"…\" } or { credential = "],
        ),
    ]);
    fs::set_permissions(path("server.key"), Permissions::from_mode(0o644)).unwrap();
    scene.plant(
        GOOD,
        &[&[
            "warning: config.toml:5: tls.private_key: ",
            "is open to every user",
            "chmod 600",
        ]],
    );
}

#[test]
fn files_with_nothing_in_them() {
    let mut scene = Scene::new();
    scene.pki.write("empty", "");
    scene.pki.write("blank", " \n");
    for name in ["empty", "blank"] {
        let chain = format!(
            "error: config.toml:4: tls.certificate: {name} is empty: put the certificate and its issuers, leaf first, into it"
        );
        let key = format!(
            "error: config.toml:5: tls.private_key: {name} is empty: put the certificate's private key into it"
        );
        scene.plant(&GOOD.edit("server.pem", name), &[&[&chain]]);
        scene.plant(&GOOD.edit("server.key", name), &[&[&key]]);
        let neither = GOOD.edit("server.pem", name).edit("server.key", name);
        scene.plant(&neither, &[&[&chain], &[&key]]);
        for (key, content) in [
            ("ca", "the certificates of authorities"),
            ("crl", "a revocation list"),
        ] {
            let expected = format!(
                "error: config.toml:11: tls.client.{key}: {name} is empty: put {content} into it"
            );
            let more = format!("[tls.client]\n{key} = \"{name}\"");
            scene.plant_behind(&[(&more, &[&expected])]);
        }
    }
    scene.variables = vec![("NETDATA_EMPTY", PathBuf::new())];
    scene.plant_in_place(&[(
        "file = \"challenge.secret\"",
        "env = \"NETDATA_EMPTY\"",
        &["the environment variable NETDATA_EMPTY is empty: set it to the secret"],
    )]);
}

/// The unit has an empty credential in place of one whose file is missing.
#[test]
fn credentials_with_nothing_in_them() {
    let mut scene = Scene::new();
    scene.pki.write("none", "\n");
    let directory = scene.pki.path().to_owned();
    scene.variables = vec![("CREDENTIALS_DIRECTORY", directory)];
    let remedy =
        "into the file that LoadCredential= names for it in the unit, and restart the service";
    for (from, place) in [
        ("\"server.pem\"", "config.toml:4: tls.certificate: "),
        ("\"server.key\"", "config.toml:5: tls.private_key: "),
        (SECRET, "config.toml:9: routes[0].challenge_secret: "),
    ] {
        let expected = &["error: ", place, "none is empty: put ", remedy][..];
        scene.plant_in_place(&[(from, "{ credential = \"none\" }", expected)]);
    }
}

/// A key pair in PEM that openssl makes, of a kind that cannot be used here, and its certificate.
fn made_by_openssl(scene: &Scene, name: &str, key: &[&str]) -> Option<()> {
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(scene.pki.path())
            .output();
        output.is_ok_and(|output| output.status.success())
    };
    let (pem, certificate) = (format!("{name}.key"), format!("{name}.pem"));
    let made = openssl(&[&["genpkey", "-out", &pem][..], key].concat())
        && openssl(&[
            "req",
            "-x509",
            "-new",
            "-key",
            &pem,
            "-subj",
            "/CN=a.example",
            "-days",
            "30",
            "-out",
            &certificate,
        ]);
    made.then_some(())
}

#[test]
fn keys_of_kinds_that_cannot_be_used_are_named() {
    let scene = Scene::new();
    for (name, key, words) in [
        (
            "rsa",
            &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"][..],
            "an RSA key of 1024 bits",
        ),
        (
            "koblitz",
            &[
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:secp256k1",
            ],
            "an ECDSA key on secp256k1",
        ),
        ("ed448", &["-algorithm", "ED448"], "an Ed448 key"),
    ] {
        if made_by_openssl(&scene, name, key).is_none() {
            skip(&format!("openssl does not make {words}"));
            continue;
        }
        let config = GOOD
            .edit("server.pem", &format!("{name}.pem"))
            .edit("server.key", &format!("{name}.key"));
        let expected = format!(
            "error: config.toml:5: tls.private_key: {name}.key holds {words}, and that cannot be used: a key must be RSA with \
             2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, or Ed25519"
        );
        scene.plant(&config, &[&[&expected]]);
        let trusting = format!("{GOOD}[tls.client]\nca = \"{name}.pem\"\n");
        scene.plant(
            &trusting,
            &[&[
                "error: config.toml:11: tls.client.ca: ",
                words,
                "with which no signature can be verified",
            ]],
        );
    }
}

#[test]
fn trust_in_clients() {
    let scene = Scene::new();
    let other = Pki::of("Other Root CA");
    scene
        .pki
        .write("other.crl", &other.revocation_list(&[], Duration::days(1)));
    fs::copy(
        other.path().join("ca.pem"),
        scene.pki.path().join("other.pem"),
    )
    .unwrap();
    scene.plant_behind(&[
        (
            "[tls.client]\ncommon_names = [\"*.netdata.cloud\"]",
            &["error: config.toml:11: tls.client.common_names[0]: has a \"*\"", "write each name"],
        ),
        (
            "[tls.client]\ncommon_names = \"CN=app.netdata.cloud\"",
            &["error: config.toml:11: tls.client.common_names: has \"CN=\" in it", "write the name alone"],
        ),
        (
            "[tls.client]\ncommon_names = [\"app.netdata.cloud \"]",
            &["error: config.toml:11: tls.client.common_names[0]: begins or ends with a blank", "remove it"],
        ),
        (
            "[tls.client]\ncommon_names = []",
            &["error: config.toml:11: tls.client.common_names: must not be empty", "the default is "],
        ),
        (
            "[tls.client]\nca = \"missing.pem\"",
            &["error: config.toml:11: tls.client.ca: cannot read missing.pem"],
        ),
        (
            "[tls.client]\nca = \"builtin:letsencrypt\"",
            &["error: config.toml:11: tls.client.ca: the only built-in authority is \"builtin:netdata\""],
        ),
        (
            "[tls.client]\nca = [\"builtin:netdata\", \"other.pem\"]\ncrl = \"other.crl\"",
            &["error: config.toml:12: tls.client.crl: there are revocation lists and none of ", "name its list"],
        ),
        (
            "[tls.client]\nverify = \"off\"\n",
            &["error: config.toml:6: routes[0].auth: would admit every client"],
        ),
        (
            "[routes.auth]\nclient_certificate = true\n[tls.client]\nverify = \"off\"",
            &["error: config.toml:11: routes[0].auth.client_certificate: cannot be true", "set tls.client.verify"],
        ),
    ]);
}

/// What is wrong with several sections is said at once, also where they depend on each other.
#[test]
fn everything_is_reported_at_once() {
    let scene = Scene::new();
    let config = GOOD
        .edit(
            "\"127.0.0.1:8443\"",
            "[\"127.0.0.1:8443\", \"127.0.0.1:8443\"]",
        )
        .edit("server.pem", "missing.pem")
        .edit("server.key", "missing.key")
        .edit("ORIGIN", "http://127.0.0.1:8443")
        + "[[routes]]\npath = \"b\"\n[limits]\nburst = -1\n";
    let said = scene.check(&config);
    for expected in [
        "config.toml:2: listen.https[1]: ",
        "config.toml:4: tls.certificate: ",
        "config.toml:5: tls.private_key: ",
        "config.toml:8: routes[0].upstream: ",
        "config.toml:10: routes[1].upstream: missing",
        "config.toml:11: routes[1].path: ",
        "config.toml:13: limits.burst: ",
    ] {
        assert!(
            said.findings.iter().any(|it| it.contains(expected)),
            "{expected} in {:#?}",
            said.findings
        );
    }
    assert_eq!(
        (said.code, said.findings.len()),
        (Some(2), 7),
        "{:#?}",
        said.findings
    );
}
