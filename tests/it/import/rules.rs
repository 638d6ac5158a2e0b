//! Names, paths and addresses in the rules of other servers, in tables.
//!
//! The faults: a pattern was taken for another name or path than the one that was meant, a forged
//! subject got in without a word, a secret appeared in the report, and files were read without
//! bounds.

use netdata_webhook_proxy::commands::import::{ImportSource, Imported, Options, run};
use netdata_webhook_proxy::internals::NETDATA_ROOT_CA;
use std::fs;
use std::path::Path;
use toml::de::DeTable;

const NAME: &str = "app.netdata.cloud";

fn options(file: &Path) -> Options {
    Options {
        file: file.to_owned(),
        verbose: true,
        ..Options::default()
    }
}

/// Imports a text as NGINX's configuration; the error is its message.
fn nginx(text: &str) -> Result<Imported, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let source = ImportSource::Nginx(options(file.path()));
    run(&source).map_err(|failure| failure.to_string())
}

/// Imports a webhook behind NGINX, with more directives in its server and its location.
fn webhook(server: &str, location: &str) -> Imported {
    nginx(&format!(
        "server {{ listen 443 ssl; ssl_verify_client on; {server}\n\
         location = /hook {{ {location} proxy_pass http://127.0.0.1:3000; }} }}"
    ))
    .unwrap_or_else(|error| panic!("{server} {location}: {error}"))
}

/// Returns the value of a key, as TOML has it.
fn value<'c>(config: &'c str, key: &str) -> Option<&'c str> {
    let mut lines = config.lines();
    lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))
}

/// Returns the paths of the routes.
fn paths(config: &str) -> Vec<&str> {
    let lines = config.lines();
    let paths = lines.filter_map(|line| line.strip_prefix("path = \""));
    paths.map(|path| path.trim_end_matches('"')).collect()
}

#[test]
fn secrets_are_not_shown() {
    for (directive, shown) in [
        (
            "if ($http_authorization != \"Bearer\u{a0}hunter2\") { return 403; }",
            "if ($http_authorization (not shown)",
        ),
        (
            "if ($http_x_api_key !~ ^hunter2$) { return 403; }",
            "if ($http_x_api_key (not shown)",
        ),
        (
            "if ($http_host != a.example) { return 403; }",
            "if ($http_host != a.example)",
        ),
        (
            "if ($ssl_client_s_dn !~ CN=a.b) { return 403; }",
            "if ($ssl_client_s_dn !~ CN=a.b)",
        ),
        (
            "proxy_set_header Authorization hunter2;",
            "proxy_set_header Authorization (not shown)",
        ),
        (
            "proxy_set_header X-Api-Key hunter2;",
            "proxy_set_header X-Api-Key (not shown)",
        ),
        (
            "proxy_set_header X-Auth \"Basic hunter2\";",
            "proxy_set_header X-Auth Basic (not shown)",
        ),
        ("server_tokens off;", "server_tokens off"),
        ("set $token hunter2;", "set $token (not shown)"),
        (
            "auth_basic_user_file /etc/basic.users;",
            "auth_basic_user_file /etc/basic.users",
        ),
        (
            "add_header X-A \"a\nb\u{1b}\";",
            "add_header X-A a\u{fffd}b\u{fffd}",
        ),
    ] {
        let report = webhook("", directive).report.to_string();
        assert!(report.contains(&format!(": {shown}")), "{shown}: {report}");
        assert!(!report.contains("hunter2"), "{report}");
    }
    let url = "server { ssl_verify_client on; location / { proxy_pass http://a:hunter2@b/; } }";
    let error = nginx(url).unwrap_err();
    assert!(
        error.contains("proxy_pass http://(not shown)@b/"),
        "{error}"
    );
}

#[test]
fn secrets_of_apache_are_not_shown_either() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for (directive, shown) in [
        (
            "RequestHeader set X-Token hunter2",
            "RequestHeader set X-Token (not shown)",
        ),
        (
            "<Location />\nRequire expr req('X-Key') == 'hunter2'\n</Location>",
            "Require expr req('X-Key (not shown)",
        ),
        (
            "<Location />\nRequire expr %{HTTP:X-Key} == hunter2\n</Location>",
            "Require expr %{HTTP:X-Key (not shown)",
        ),
        (
            "RewriteCond %{HTTP:X-Key} !=hunter2\nRewriteRule ^ - [F]",
            "RewriteCond %{HTTP:X-Key (not shown)",
        ),
        (
            "AuthBasicFake netdata hunter2",
            "AuthBasicFake netdata (not shown)",
        ),
        ("AuthType Basic", "AuthType Basic"),
    ] {
        let text = format!("SSLEngine on\n{directive}\nProxyPass / http://127.0.0.1:3000/\n");
        fs::write(file.path(), text).unwrap();
        let imported = run(&ImportSource::Apache(options(file.path()))).unwrap();
        let report = imported.report.to_string();
        assert!(report.contains(&format!(": {shown}")), "{shown}: {report}");
        assert!(!report.contains("hunter2"), "{report}");
    }
}

#[test]
fn the_names_that_are_meant_are_found() {
    let both = "[\"api.netdata.cloud\", \"app.netdata.cloud\"]";
    for (operator, text, names) in [
        ("!~", "CN=app.netdata.cloud", Some("")),
        ("!~", r"CN=app\.netdata\.cloud", Some("")),
        ("!~", r"^CN=app\.netdata\.cloud$", Some("")),
        ("!~", r"(^|,)CN=app\.netdata\.cloud(,|$)", Some("")),
        ("!~", r"^(.*,)?CN=app\.netdata\.cloud(,.*)?$", Some("")),
        ("!~", "/CN=app.netdata.cloud/", Some("")),
        ("!~", "CN=app.netdata.cloud.*", Some("")),
        ("!~", "CN=(app|api).netdata.cloud", Some(both)),
        ("!~", r"CN=(?:app)\.netdata\.cloud", Some("")),
        (
            "!~",
            "CN=app.netdata.cloud|CN=api.netdata.cloud",
            Some(both),
        ),
        ("!~", "app.netdata.cloud", Some("")),
        ("!~", r"^app\.netdata\.cloud$", Some("")),
        ("!~", "CN=My Client,O=x", Some("\"My Client\"")),
        ("!~*", "cn=app.netdata.cloud", Some("")),
        ("!=", "CN=app.netdata.cloud,O=Netdata", Some("")),
        ("!=", "/C=US/O=Netdata/CN=app.netdata.cloud", Some("")),
        ("!~", "cn=app.netdata.cloud", None),
        ("!~", "Netdata", None),
        ("!~", r"CN=.*\.netdata\.cloud", None),
        ("!~", "CN=app.*cloud", None),
        ("!~", "CN=[a-z]+", None),
        ("!~", "CN=a+", None),
        ("!~", "CN=", None),
        ("!=", "O=Netdata", None),
    ] {
        let variable = match text.starts_with("/C=") {
            true => "$ssl_client_s_dn_legacy",
            false => "$ssl_client_s_dn",
        };
        let rule = format!("if ({variable} {operator} \"{text}\") {{ return 403; }}");
        let imported = webhook("", &rule);
        let found = value(&imported.config, "common_names");
        assert_eq!(found.unwrap_or(""), names.unwrap_or(""), "{text}");
        let report = imported.report.to_string();
        let is_unread = report.contains("no name can be read from");
        assert_eq!(is_unread, names.is_none(), "{text}: {report}");
    }
}

#[test]
fn forged_subjects_that_got_in_are_named() {
    let all = "CN=app.netdata.cloud.evil.example; CN=appXnetdataYcloud; OU=CN=app.netdata.cloud, CN=evil; \
               O=\"x,CN=app.netdata.cloud\", CN=evil; CN=app.netdata.cloud with a NUL; \
               CN=app.netdata.cloud with a trailing space; two CNs";
    let some = "O=\"x,CN=app.netdata.cloud\", CN=evil; two CNs";
    for (pattern, forgeries) in [
        ("CN=app.netdata.cloud", all),
        (r"(^|,)CN=app\.netdata\.cloud(,|$)", some),
        (r"^CN=app\.netdata\.cloud$", ""),
        ("(?=x)", ""),
    ] {
        let rule = format!("if ($ssl_client_s_dn !~ \"{pattern}\") {{ return 403; }}");
        let report = webhook("", &rule).report.to_string();
        let found = report.split("with these subjects got in: ").nth(1);
        let found = found.and_then(|rest| rest.lines().next());
        assert_eq!(found.unwrap_or(""), forgeries, "{pattern}");
    }
    assert!(all.contains(NAME));
}

#[test]
fn the_authority_is_recognised_by_its_certificate_alone() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let windows = NETDATA_ROOT_CA.replace('\n', "\r\n");
    let trusted = NETDATA_ROOT_CA.replace("CERTIFICATE", "TRUSTED CERTIFICATE");
    for (text, is_builtin) in [
        (NETDATA_ROOT_CA.to_owned(), true),
        (format!("# from the documentation\n{windows}\n"), true),
        (NETDATA_ROOT_CA.repeat(2), false),
        (format!("{NETDATA_ROOT_CA}{trusted}"), false),
        (String::new(), false),
    ] {
        fs::write(file.path(), &text).unwrap();
        let server = format!("ssl_client_certificate {};", file.path().display());
        let config = webhook(&server, "").config;
        assert_eq!(value(&config, "ca").is_none(), is_builtin, "{text}");
    }
    let config = webhook("ssl_client_certificate /nowhere/ca.pem;", "").config;
    assert_eq!(value(&config, "ca"), Some("\"/nowhere/ca.pem\""));
}

#[test]
fn the_most_probable_paths_are_the_webhooks() {
    for (locations, chosen, is_doubtful) in [
        (&[("/", true)][..], &["/"][..], false),
        (&[("/", false)], &["/"], false),
        (
            &[("/", true), ("/webhooks/netdata", true)],
            &["/webhooks/netdata"],
            false,
        ),
        (
            &[("/netdata/", false), ("/alarms", true)],
            &["/alarms"],
            false,
        ),
        (
            &[("/netdata/", false), ("/webhook", false)],
            &["/webhook"],
            false,
        ),
        (
            &[("/webhooks/github", false), ("/webhooks/netdata", false)],
            &["/webhooks/netdata"],
            false,
        ),
        (
            &[("/hooks/a", true), ("/hooks/b", true), ("/c", false)],
            &["/hooks/a", "/hooks/b"],
            false,
        ),
        (&[("/server-status", true), ("/", false)], &["/"], true),
        (&[("/a", false), ("/b", false)], &["/a"], true),
    ] {
        let mut text = "server { listen 443 ssl; ssl_verify_client optional;\n".to_owned();
        for (path, examines_certificates) in locations {
            let rule = match examines_certificates {
                true => "if ($ssl_client_s_dn !~ \"CN=app.netdata.cloud\") { return 403; }",
                false => "",
            };
            text += &format!("location = {path} {{ {rule} proxy_pass http://127.0.0.1:3000; }}\n");
        }
        let imported = nginx(&(text + "}")).unwrap();
        assert_eq!(paths(&imported.config), chosen, "{locations:?}");
        let report = imported.report.to_string();
        let says_so = report.contains("look at the webhook");
        assert_eq!(says_so, is_doubtful, "{locations:?}: {report}");
    }
}

#[test]
fn expressions_for_a_few_paths_become_those() {
    for (pattern, expected) in [
        ("^/a$", Some("/a")),
        ("^/a/?$", Some("/a /a/")),
        ("^/webhook(/pix)?$", Some("/webhook /webhook/pix")),
        ("^/a(.*)$", Some("/a/*")),
        ("^/a(/b)?(/c)?", Some("/a/* /a/b/* /a/b/c/* /a/c/*")),
        (r"^/(a|b)/c\.d$", Some("/a/c.d /b/c.d")),
        ("^/a/", Some("/a/*")),
        ("^/a/.*$", Some("/a/*")),
        ("^/a(/|$)", Some("/a/*")),
        ("^/.*", Some("/*")),
        ("/a$", None),
        (r"\.php$", None),
        (r"^/a/\d+$", None),
        ("^/a(b|)$", None),
        ("^/ab+$", None),
        ("^/(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)$", None),
        ("^$", None),
    ] {
        let text = format!(
            "server {{ ssl_verify_client on;\nlocation ~ {pattern} {{ proxy_pass http://127.0.0.1:3000; }} }}"
        );
        let found = nginx(&text);
        let found = found.as_ref().map(|it| paths(&it.config).join(" "));
        match expected {
            Some(paths) => assert_eq!(found.as_deref(), Ok(paths), "{pattern}"),
            None => assert!(found.unwrap_err().contains("more than a few"), "{pattern}"),
        }
    }
}

#[test]
fn addresses_are_read_as_nginx_reads_them() {
    for (listen, expected) in [
        ("443", Some("\"0.0.0.0:443\"")),
        ("*:443", Some("\"0.0.0.0:443\"")),
        ("127.0.0.1:8443", Some("\"127.0.0.1:8443\"")),
        ("localhost:8443", Some("\"127.0.0.1:8443\"")),
        ("127.0.0.1", Some("\"127.0.0.1:80\"")),
        ("[::]:443", Some("\"[::]:443\"")),
        ("[::1]", Some("\"[::1]:80\"")),
        ("unix:/run/nginx.sock", None),
        ("hooks.example:443", None),
        ("65536", None),
        ("\"\"", None),
        // `[::]` takes IPv4, too.
        ("0.0.0.0:443 [::]:443", Some("\"[::]:443\"")),
        (
            "[::]:443 0.0.0.0:443 0.0.0.0:8443",
            Some("[\"0.0.0.0:8443\", \"[::]:443\"]"),
        ),
        ("127.0.0.1:443 [::]:443 127.0.0.1:443", Some("\"[::]:443\"")),
        (
            "127.0.0.1:443 0.0.0.0:443 [::1]:443",
            Some("[\"0.0.0.0:443\", \"[::1]:443\"]"),
        ),
    ] {
        let listens = listen.split(' ').map(|it| format!("listen {it} ssl;"));
        let listens: String = listens.collect();
        let text = format!(
            "server {{ {listens} ssl_verify_client on;\nlocation /a {{ proxy_pass http://127.0.0.1:3000; }} }}"
        );
        let config = nginx(&text).unwrap().config;
        assert_eq!(value(&config, "https"), expected, "{listen}");
    }
}

#[test]
fn texts_are_read_back_as_they_were() {
    for (text, expected) in [
        (
            "a$remote_addr-${request_id}/e",
            "a$remote_addr-$request_id/e",
        ),
        ("${request_id}e$host", "${request_id}e$host"),
        ("\\\"quoted\\\"", "\"quoted\""),
        ("C:\\\\temp 'x'", "C:\\temp 'x'"),
        ("Zürich 🔔 # = [", "Zürich 🔔 # = ["),
        ("", ""),
    ] {
        let config = webhook("", &format!("proxy_set_header X-A \"{text}\";")).config;
        let root = DeTable::parse(&config).unwrap();
        let routes = root.get_ref()["routes"].get_ref().as_array().unwrap();
        let route = routes[0].get_ref().as_table().unwrap();
        let headers = route["set_headers"].get_ref().as_table().unwrap();
        let found = headers["X-A"].get_ref().as_str();
        assert_eq!(found, Some(expected), "{config}");
    }
}

#[test]
fn only_regular_files_are_read_and_not_without_bound() {
    let directory = tempfile::tempdir().unwrap();
    let include = |name: &str| {
        let path = directory.path().join(name);
        nginx(&format!("include {};", path.display())).unwrap_err()
    };
    fs::create_dir(directory.path().join("directory")).unwrap();
    assert!(include("directory").contains("is not a file"));
    let error = nginx("include /dev/zero;").unwrap_err();
    assert!(error.contains("is not a file"), "{error}");
    fs::write(directory.path().join("large"), vec![b'\n'; (16 << 20) + 1]).unwrap();
    assert!(include("large").contains("more than 16 MiB"));
    fs::create_dir(directory.path().join("many")).unwrap();
    for number in 0..1001 {
        fs::write(directory.path().join(format!("many/{number}.conf")), "").unwrap();
    }
    assert!(include("many/*.conf").contains("more than 1000 files"));
}

#[test]
fn wildcards_find_files_in_their_order() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["b.conf", "a.conf", "c.txt", ".hidden.conf"] {
        let text = format!("proxy_set_header X {name};");
        fs::write(directory.path().join(name), text).unwrap();
    }
    fs::create_dir(directory.path().join("d.conf")).unwrap();
    fs::write(directory.path().join("d.conf/e.conf"), "x y;").unwrap();
    for pattern in ["*.conf", "**.conf"] {
        let include = format!("include {};", directory.path().join(pattern).display());
        let imported = webhook("", &include);
        assert!(
            imported.config.contains("X = \"b.conf\""),
            "{}",
            imported.config
        );
        let report = imported.report.to_string();
        let found = ["a.conf", "b.conf"].map(|name| report.find(&format!("{name}:1: ")));
        assert!(found[0].is_some() && found[0] < found[1], "{report}");
        for other in ["c.txt", "hidden", "e.conf"] {
            assert!(!report.contains(other), "{report}");
        }
    }
}
