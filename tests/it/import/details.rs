//! What becomes of single directives, each in a small configuration of its own.

use super::sample::{Imported, import, program};

/// A webhook behind NGINX, with this besides.
fn nginx(besides: &str) -> Imported {
    from("nginx", &nginx_text(besides), &[])
}

fn nginx_text(besides: &str) -> String {
    format!(
        "limit_req_zone $binary_remote_addr zone=slow:1m rate=90r/m;\n\
         server {{\nlisten 443 ssl;\nserver_name a.example.com;\nssl_verify_client optional;\n\
         location = /webhooks/netdata {{\nproxy_pass http://127.0.0.1:3000;\n\
         if ($ssl_client_s_dn !~ \"CN=app.netdata.cloud\") {{ return 403; }}\n}}\n{besides}\n}}\n"
    )
}

/// A webhook behind Apache, with this besides.
fn apache(besides: &str) -> Imported {
    from("apache", &apache_text(besides), &[])
}

fn apache_text(besides: &str) -> String {
    format!(
        "<VirtualHost *:443>\nServerName A.example.com\nSSLEngine on\nSSLVerifyClient optional\n\
         <Location /webhooks/netdata>\nRequire expr \"%{{SSL_CLIENT_S_DN_CN}} == 'app.netdata.cloud'\"\n</Location>\n\
         ProxyPass /webhooks/netdata http://127.0.0.1:3000/webhooks/netdata\n{besides}\n</VirtualHost>\n"
    )
}

fn from(kind: &str, text: &str, arguments: &[&str]) -> Imported {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    import(&[&[kind, file.path().to_str().unwrap()], arguments].concat())
}

/// What is said where nothing can be written.
fn refused(kind: &str, text: &str, arguments: &[&str]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let output = program(&[&["import", kind, file.path().to_str().unwrap()], arguments].concat());
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(2), true));
    String::from_utf8(output.stderr).unwrap()
}

impl Imported {
    /// The route for a path, as it is written.
    #[track_caller]
    fn route(&self, path: &str) -> &str {
        let start = format!("path = \"{path}\"\n");
        let found = self.config.split("[[routes]]\n").find_map(|route| route.strip_prefix(&start));
        found.unwrap_or_else(|| panic!("no {path} in\n{}", self.config))
    }

    /// The part of the report with this heading.
    fn part(&self, heading: &str) -> &str {
        let rest = self.report.split(&format!("{heading}:\n")).nth(1).unwrap_or_default();
        rest.split("\n\n").next().unwrap_or_default()
    }

    #[track_caller]
    fn does_not_carry(&self, said: &str) {
        assert!(self.part("Not carried over").contains(said), "{said}\n{}", self.report);
    }
}

const NOBODY: &str = "# nobody: no token has this digest";

#[test]
fn what_is_said_about_nginx_is_so() {
    let found = nginx("ssl_ocsp on;");
    found.does_not_carry("ssl_ocsp on: there is no OCSP");
    let found = nginx("location /a/ { proxy_pass_request_body off; proxy_pass http://127.0.0.1:3000; }");
    found.does_not_carry("proxy_pass_request_body off: requests are passed on whole");
    let found = nginx("location /a/ { limit_req zone=slow; proxy_pass http://127.0.0.1:3000; }");
    found.does_not_carry("this one would hold alerts up, too");
    assert!(!found.config.contains("requests_per_second"), "{}", found.config);
    let found = nginx("limit_req zone=slow;");
    assert!(found.config.contains("requests_per_second = 2\n"), "{}", found.config);
    found.does_not_carry("90 in a minute cannot be said");
    let found = nginx(
        "location /api { auth_basic x; auth_basic_user_file h; proxy_pass http://127.0.0.1:3000; }\nlocation / { proxy_pass http://127.0.0.1:3000; }",
    );
    found.does_not_carry("what only begins so, such as /apix, is the route /*'s now");
}

/// What NGINX does with a body of unknown length depends on two directives.
#[test]
fn a_body_without_a_length_goes_on_as_it_did() {
    for (besides, streams, said) in [
        ("", false, None),
        ("proxy_request_buffering on;", false, Some("gathered here as well")),
        ("proxy_request_buffering off;", false, Some("gathered a body of unknown length all the same")),
        ("proxy_request_buffering off; proxy_http_version 1.0;", false, Some("all the same")),
        ("proxy_request_buffering off; proxy_http_version 1.1;", true, Some("routes.buffer_body = 0")),
    ] {
        let found = nginx(&format!("location /a/ {{ {besides} proxy_pass http://127.0.0.1:3000; }}"));
        assert_eq!(found.route("/a/*").contains("buffer_body = 0\n"), streams, "{besides}: {}", found.config);
        assert!(said.is_none_or(|said| found.report.contains(said)), "{besides}: {}", found.report);
    }
    let whole =
        nginx_text("").replace("location =", "proxy_request_buffering off; proxy_http_version 1.1;\nlocation =");
    let found = from("nginx", &whole, &[]);
    assert!(!found.config.contains("buffer_body"), "a webhook is whole anyway: {}", found.config);
}

#[test]
fn what_is_no_token_is_asked_for_by_nobody() {
    for pattern in ["Bearer .+", "^Bearer [a-z]+$", "Bearer $cookie_x", r"^Bearer \w{8}$"] {
        let guard = format!("if ($http_authorization !~ \"{pattern}\") {{ return 401; }}");
        let found = nginx(&format!("location /a/ {{ {guard} proxy_pass http://127.0.0.1:3000; }}"));
        assert!(found.route("/a/*").contains(NOBODY), "{pattern}: {}", found.config);
        assert!(!found.report.contains("bearer.secret"), "{pattern}: {}", found.report);
    }
    // Nor what a location asks for that becomes no route.
    let other = "location /admin/ { auth_basic x; auth_basic_user_file h; proxy_pass http://127.0.0.1:3000;\n\
                 if ($ssl_client_s_dn !~ \"CN=admin.example\") { return 403; } }";
    let found = nginx(other);
    assert!(!found.report.contains("basic.secret"), "{}", found.report);
}

#[test]
fn who_looks_at_the_certificates_of_others_is_not_replaced() {
    let vpn = "server {\nlisten 443 ssl;\nserver_name vpn.example.com;\nssl_verify_client on;\n\
               location / { proxy_pass http://127.0.0.1:3009; }\n}\n";
    let found = from("nginx", &format!("{vpn}{}", nginx_text("")), &[]);
    assert!(found.route("/webhooks/netdata").contains("127.0.0.1:3000"), "{}", found.config);
    assert!(!found.config.contains("3009"), "{}", found.config);
    let vpn = "<VirtualHost *:443>\nSSLEngine on\nSSLVerifyClient require\nProxyPass / http://127.0.0.1:3009/\n</VirtualHost>\n";
    let found = from("apache", &format!("{vpn}{}", apache_text("")), &[]);
    assert!(!found.config.contains("3009"), "{}", found.config);
}

#[test]
fn what_is_known_is_not_blanked() {
    let map = "map $http_host $host_or_default { default $http_host; \"\" a.example.com; }\n";
    let text = nginx_text("proxy_set_header Host $host_or_default;\nproxy_set_header X-User $nobody_knows;");
    let found = from("nginx", &format!("{map}{text}"), &[]);
    assert!(!found.config.contains("Host = \"\""), "{}", found.config);
    assert!(found.config.contains("X-User = \"\""), "{}", found.config);
}

#[test]
fn who_is_kept_out_by_what_he_says_closes_nothing() {
    let other = "location /app/ { proxy_pass http://127.0.0.1:3001; }";
    for (guard, is_open) in [
        ("if ($http_user_agent ~* (AhrefsBot|MJ12bot)) { return 403; }", true),
        ("if ($args ~ union) { return 444; }", true),
        ("if ($http_user_agent != monitor) { return 403; }", false),
        ("if ($request_uri ~ ^/app/admin) { return 403; }", false),
    ] {
        let found = nginx(&format!("{guard}\n{other}"));
        assert_eq!(!found.route("/app/*").contains(NOBODY), is_open, "{guard}: {}", found.report);
        found.does_not_carry(": if (");
    }
    let rules = "RewriteEngine on\nRewriteCond %{HTTP_USER_AGENT} (AhrefsBot|MJ12bot) [NC]\nRewriteRule ^ - [F]";
    let found = apache(&format!("{rules}\nProxyPass /app http://127.0.0.1:3001/app"));
    assert!(!found.route("/app/*").contains(NOBODY), "{}", found.report);
}

#[test]
fn only_the_case_of_the_name_differs() {
    let guard = "if ($ssl_client_s_dn !~* \"CN=APP.Netdata.Cloud\") { return 403; }";
    let found = nginx(&format!("location /webhooks/two {{ {guard} proxy_pass http://127.0.0.1:3000; }}"));
    assert!(!found.config.contains("common_names"), "{}", found.config);
    assert_eq!(found.route("/webhooks/two/*").matches("auth").count(), 1, "only forward_authorization");
}

#[test]
fn a_certificate_without_tls_is_nobodys() {
    let text = nginx_text("").replace("443 ssl", "80");
    let found = from("nginx", &text, &[]);
    assert!(found.route("/webhooks/netdata").contains(NOBODY), "{}", found.config);
    found.does_not_carry("a client certificate is demanded, and there is no TLS");
}

#[test]
fn no_hole_is_claimed_where_something_could_not_be_read() {
    for besides in ["if ($geoip_country = X) { return 403; }", "auth_request /auth;"] {
        let found = nginx(besides).report;
        assert!(!found.contains("anybody who knew as much") && !found.contains("any certificate"), "{found}");
    }
    let found = apache("SSLRequire %{TIME_HOUR} >= 8").report;
    assert!(!found.contains("anybody who knew as much") && !found.contains("any certificate"), "{found}");
}

#[test]
fn what_is_said_about_apache_is_so() {
    apache("SSLOCSPEnable on").does_not_carry("SSLOCSPEnable on: there is no OCSP");
    apache("<IfDefine SECRET>\nRequire all denied\n</IfDefine>")
        .does_not_carry("IfDefine SECRET: what stands in it was");
    let found = apache("AuthBasicFake netdata hunter2");
    assert!(!found.report.contains("hunter2"), "{}", found.report);
    // What stands behind a path that is passed on has no effect.
    let found = apache("ProxyPass / http://127.0.0.1:3001/\nProxyPass /private !");
    assert!(!found.config.contains("/private"), "{}", found.config);
    assert!(found.part("Not needed").contains("ProxyPass /private !: it is never reached"), "{}", found.report);
}

#[test]
fn a_header_that_is_set_sometimes_is_never_the_senders() {
    for (directive, name) in [
        ("RequestHeader set X-SSL-CN \"%{SSL_CLIENT_S_DN_CN}s\" env=HTTPS", "X-SSL-CN"),
        ("RequestHeader unset X-Legacy env=!keep", "X-Legacy"),
        ("RequestHeader append X-User nobody", "X-User"),
        ("<If \"%{REMOTE_ADDR} == '10.0.0.1'\">\nRequestHeader unset X-User\n</If>", "X-User"),
    ] {
        let found = apache(directive);
        assert!(found.route("/webhooks/netdata/*").contains(&format!("{name} = \"\"")), "{}", found.config);
        found.does_not_carry("the application gets none from the sender");
    }
}

#[test]
fn a_subject_that_is_a_user_is_no_password() {
    let protected = "<Location /webhooks/netdata>\nSSLOptions +FakeBasicAuth\nAuthType Basic\nAuthUserFile dn\n\
                     Require user \"/CN=app.netdata.cloud\"\n</Location>";
    let found = apache(protected);
    assert!(!found.report.contains("basic.secret") && !found.config.contains("basic"), "{}", found.report);
    found.does_not_carry("the subject of the certificate is the user here");
}

#[test]
fn a_webhook_goes_to_its_own_application() {
    let first = "ProxyPassMatch \"^/webhooks/netdata(/.*)?$\" \"http://127.0.0.1:3000/webhooks/netdata$1\"";
    let passing = "ProxyPass /webhooks/netdata http://127.0.0.1:3000/webhooks/netdata";
    let text = apache_text("ProxyPass / http://127.0.0.1:3001/").replace(passing, first);
    let found = from("apache", &text, &[]);
    assert!(found.route("/webhooks/netdata/*").contains("upstream = \"http://127.0.0.1:3000\""), "{}", found.config);
    // Nobody else gets what cannot be read.
    let text = text.replace("(/.*)?$\"", "(/v[0-9]+)?$\"").replace("netdata$1", "netdata/$1");
    let found = from("apache", &text, &["--webhook", "/hooks"]);
    assert!(found.route("/webhooks/*").contains(NOBODY), "{}", found.config);
}

#[test]
fn web_sockets_take_nothing_away_from_what_follows() {
    let rules = "RewriteEngine on\nRewriteCond %{HTTP:Upgrade} websocket [NC]\n\
                 RewriteRule ^/app/(.*) ws://127.0.0.1:3001/app/$1 [P,L]";
    let found = apache(&format!("{rules}\nProxyPass /app/ http://127.0.0.1:3001/app/"));
    assert!(found.route("/app/*").contains("auth = \"none\""), "{}", found.config);
    found.does_not_carry("there are no WebSockets");
}

#[test]
fn rules_that_pass_on_are_read_in_their_usual_forms() {
    for (rule, path) in [
        ("^/hooks/netdata/?$ http://127.0.0.1:3000/hooks/netdata", "/hooks/netdata"),
        ("^/hooks/netdata http://127.0.0.1:3000/hooks/netdata", "/hooks/netdata"),
        ("^/hooks/(.*)$ http://127.0.0.1:3000/hooks/$1", "/hooks/*"),
        ("^/hooks(/.*)?$ http://127.0.0.1:3000/hooks$1", "/hooks/*"),
    ] {
        // What follows is not looked at any more.
        let rules = format!("RewriteEngine on\nRewriteRule {rule} [P,L]\nRewriteRule ^ - [F]");
        let text = format!("<VirtualHost *:443>\nSSLEngine on\nSSLVerifyClient require\n{rules}\n</VirtualHost>\n");
        assert!(from("apache", &text, &[]).config.contains(&format!("path = \"{path}\"\n")), "{rule}");
    }
}

#[test]
fn what_keeps_a_webhook_from_being_imported_is_said_where_it_stands() {
    let passing = |url: &str| {
        let own = "ProxyPass /webhooks/netdata http://127.0.0.1:3000/webhooks/netdata";
        apache_text("ProxyPass /app http://127.0.0.1:3001/app")
            .replace(own, &format!("ProxyPass /webhooks/netdata {url}"))
    };
    for (url, said) in [
        ("h2c://127.0.0.1:3000/webhooks/netdata", "applications are spoken HTTP with"),
        ("http://${NOT_DEFINED_ANYWHERE}:3000/webhooks/netdata", "this variable is not defined here"),
    ] {
        let error = refused("apache", &passing(url), &[]);
        assert!(error.contains(":8: ProxyPass /webhooks/netdata") && error.contains(said), "{error}");
    }
    let error = refused("apache", &apache_text(""), &["--server", "b.example.com"]);
    assert!(
        error.contains("there is no virtual host with ServerName or ServerAlias b.example.com: there are A.example")
    );
    from("apache", &apache_text(""), &["--server", "a.EXAMPLE.com"]);
    let error = refused("nginx", &nginx_text(""), &["--server", "b.example.com"]);
    assert!(error.contains("there is no server with server_name b.example.com: there are a.example.com"), "{error}");
}
