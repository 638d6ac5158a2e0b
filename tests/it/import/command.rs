//! The command itself: what it says when there is nothing to carry over, and what its options do.
//!
//! The faults: a secret of the other server's in the output, and errors without the line that
//! stands in the way.

use super::sample::{import, program};
use netdata_webhook_proxy::internals::NETDATA_ROOT_CA;
use std::fs;
use std::path::Path;

/// Two servers of which one asks for certificates; its location passes everything on.
const SITE: &str = "\
server {
    listen 443 ssl;
    server_name hooks.example.com;
    ssl_certificate a.pem;
    ssl_certificate_key a.key;
    ssl_client_certificate ca.pem;
    ssl_verify_client on;
    location / {
        if ($ssl_client_s_dn !~ CN=app.netdata.cloud) { return 403; }
        if ($http_authorization != \"Bearer hunter2hunter2\") { return 401; }
        proxy_set_header X-Api-Key s3cr3t-of-the-application;
        proxy_pass http://127.0.0.1:3000;
    }
}
server {
    listen 8443 ssl;
    server_name other.example.com;
    location /hook { proxy_pass http://127.0.0.1:3001; }
}
";

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn path(directory: &Path, name: &str) -> String {
    directory.join(name).to_str().unwrap().to_owned()
}

#[test]
fn what_is_wrong_is_said_with_file_line_and_remedy() {
    for (server, files, arguments, expected) in [
        (
            "nginx",
            &[("a.conf", "server {\n listen 443 ssl;\n")][..],
            &[][..],
            "a.conf:1: this block has no end: write the missing }",
        ),
        (
            "nginx",
            &[("a.conf", "\n}\n")],
            &[],
            "a.conf:2: there is no block that this } closes",
        ),
        (
            "nginx",
            &[
                ("a.conf", "server {\n include b.conf;\n}\n"),
                ("b.conf", "listen \"443;\n"),
            ],
            &[],
            "b.conf:1: this quoted string has no end",
        ),
        (
            "nginx",
            &[("a.conf", "\ninclude a.conf;")],
            &[],
            "a.conf:2: files and blocks are nested too deep: does a file include itself?",
        ),
        (
            "nginx",
            &[("a.conf", "events {}\n")],
            &[],
            "a.conf:1: there is no such server here",
        ),
        (
            "nginx",
            &[("a.conf", "server { location / { root /srv; } }\n")],
            &[],
            "name another server with --server",
        ),
        (
            "nginx",
            &[("a.conf", "server { location / { proxy_pass http://a; } }\n")],
            &["--server", "b"],
            "there is no such server here: there are ",
        ),
        (
            "nginx",
            &[(
                "a.conf",
                "server { location /a { proxy_pass http://a; } }\n",
            )],
            &["--webhook", "/b"],
            "no server here passes requests for /b on",
        ),
        (
            "nginx",
            &[(
                "a.conf",
                "server { ssl_verify_client on;\nlocation / { root /srv; } }\n",
            )],
            &[],
            "a.conf:1: no location of this server passes requests on",
        ),
        (
            "nginx",
            &[(
                "a.conf",
                "server { ssl_verify_client on;\nlocation / { proxy_pass http://$host; } }\n",
            )],
            &[],
            "a.conf:2: proxy_pass http://$host cannot be carried over: $host is known for each",
        ),
        ("nginx", &[], &[], "a.conf:1: cannot read"),
        (
            "apache",
            &[("a.conf", "Listen 443\n<VirtualHost *:443>\n")],
            &[],
            "a.conf:2: this has no end: write </VirtualHost>",
        ),
        (
            "apache",
            &[("a.conf", "<Location />\n</Directory>\n")],
            &[],
            "a.conf:2: this closes <Directory>, but <Location> is open",
        ),
        (
            "apache",
            &[("a.conf", "Listen 443\n</Location>\n")],
            &[],
            "a.conf:2: no <Location> is open here",
        ),
        (
            "apache",
            &[("a.conf", &"<Location />\n".repeat(100))],
            &[],
            "a.conf:64: files and blocks are nested too deep",
        ),
        (
            "apache",
            &[("a.conf", "Include a.conf\n")],
            &[],
            "a.conf:1: files and blocks are nested too deep: does a file include itself?",
        ),
        (
            "apache",
            &[(
                "a.conf",
                "<VirtualHost *:443>\nDocumentRoot /srv\n</VirtualHost>\n",
            )],
            &[],
            "a.conf:1: no location of this server passes requests on",
        ),
        (
            "apache",
            &[(
                "a.conf",
                "\n<VirtualHost *:443>\nSSLVerifyClient require\n</VirtualHost>\n",
            )],
            &[],
            "a.conf:2: no location of this server passes requests on",
        ),
        (
            "apache",
            &[(
                "a.conf",
                "SSLVerifyClient require\nProxyPass /a http://a/a\n",
            )],
            &["--webhook", "/b"],
            "no server here passes requests for /b on",
        ),
        ("apache", &[], &[], "a.conf:1: cannot read"),
    ] {
        let directory = directory(files);
        let output = program(
            &[
                &["import", server, &path(directory.path(), "a.conf")],
                arguments,
            ]
            .concat(),
        );
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(
            output.stdout.is_empty() && stderr.starts_with("error: ") && stderr.contains(expected),
            "{expected}: {stderr}"
        );
    }
}

#[test]
fn no_secret_is_printed() {
    let directory = directory(&[("site", SITE)]);
    let imported = import(&["nginx", &path(directory.path(), "site")]);
    for text in [&imported.config, &imported.report] {
        assert!(
            !text.contains("hunter2") && !text.contains("s3cr3t"),
            "{text}"
        );
    }
    assert!(
        imported.report.contains(
            "write bearer.secret, beside the configuration, for this program alone: the token that"
        ),
        "{}",
        imported.report
    );
    // The application does not believe what the sender puts there instead.
    assert!(
        imported.config.contains("X-Api-Key = \"\""),
        "{}",
        imported.config
    );
}

#[test]
fn no_secret_is_printed_from_apache_either() {
    let text = "<VirtualHost *:443>\nSSLEngine on\nSSLVerifyClient require\n<Location /hook>\n\
                Require expr %{HTTP:Authorization} == 'Bearer hunter2'\n</Location>\n\
                RewriteCond %{HTTP:X-Key} !=hunter2\nRewriteRule ^ - [F]\n\
                RequestHeader set X-Api-Key \"hunter2\"\nProxyPass /hook http://127.0.0.1:3000/hook\n</VirtualHost>\n";
    let directory = directory(&[("site", text)]);
    let imported = import(&["apache", &path(directory.path(), "site")]);
    for text in [&imported.config, &imported.report] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(
        imported.config.contains("X-Api-Key = \"\""),
        "{}",
        imported.config
    );
}

#[test]
fn the_path_of_the_webhook_can_be_named() {
    let directory = directory(&[("site", SITE)]);
    let imported = import(&[
        "nginx",
        &path(directory.path(), "site"),
        "--webhook",
        "/webhooks/netdata",
    ]);
    assert!(
        imported.config.contains("path = \"/webhooks/netdata\"\n"),
        "{}",
        imported.config
    );
    assert_eq!(
        imported.config.matches("[[routes]]").count(),
        1,
        "{}",
        imported.config
    );
}

#[test]
fn the_server_can_be_named() {
    let directory = directory(&[("site", SITE)]);
    let imported = import(&[
        "nginx",
        &path(directory.path(), "site"),
        "--server",
        "other.example.com",
    ]);
    assert!(
        imported.config.contains("https = \"0.0.0.0:8443\""),
        "{}",
        imported.config
    );
    assert!(
        imported.config.contains("path = \"/hook/*\""),
        "{}",
        imported.config
    );
    // No certificate was asked for there.
    assert!(
        imported.report.contains("Holes that are closed now:\n"),
        "{}",
        imported.report
    );
}

#[test]
fn a_server_that_does_not_say_where_listens_on_port_80() {
    let directory = directory(&[(
        "site",
        "server { location /netdata { proxy_pass http://127.0.0.1:3000; } }\n",
    )]);
    let imported = import(&["nginx", &path(directory.path(), "site")]);
    assert!(
        imported.config.contains("http = \"0.0.0.0:80\""),
        "{}",
        imported.config
    );
}

#[test]
fn what_is_no_path_becomes_no_route() {
    let text = "ProxyPass webhook http://127.0.0.1:3000/\nProxyPass /webhook http://127.0.0.1:3000/webhook\n";
    let directory = directory(&[("site", text)]);
    let imported = import(&["apache", &path(directory.path(), "site")]);
    assert_eq!(
        imported.config.matches("[[routes]]").count(),
        1,
        "{}",
        imported.config
    );
    assert!(imported.report.contains(
        ":1: ProxyPass webhook http://127.0.0.1:3000/: this is no path, or an expression"
    ));
}

#[test]
fn the_authority_that_is_built_in_needs_no_file() {
    let directory = directory(&[("site", SITE), ("ca.pem", NETDATA_ROOT_CA)]);
    let imported = import(&["nginx", &path(directory.path(), "site")]);
    assert!(!imported.config.contains("ca ="), "{}", imported.config);
    let imported = import(&["nginx", &path(directory.path(), "site"), "--verbose"]);
    assert!(
        imported
            .report
            .contains("it holds the Netdata Root CA, which is built in"),
        "{}",
        imported.report
    );
}

#[test]
fn names_are_relative_to_the_directory_of_the_main_file() {
    let files = [
        ("nginx/sites-enabled/site", "include snippets/a;\n"),
        ("nginx/snippets/a", SITE),
        ("elsewhere/snippets/a", SITE),
    ];
    let directory = directory(&files);
    let site = path(directory.path(), "nginx/sites-enabled/site");
    let found = |arguments: &[&str]| import(&[&["nginx", &site], arguments].concat()).config;
    let certificate = |under: &str| {
        format!(
            "certificate = {:?}",
            directory.path().join(under).join("a.pem")
        )
    };
    assert!(found(&[]).contains(&certificate("nginx")), "{}", found(&[]));
    let elsewhere = path(directory.path(), "elsewhere");
    assert!(found(&["--prefix", &elsewhere]).contains(&certificate("elsewhere")));
}
