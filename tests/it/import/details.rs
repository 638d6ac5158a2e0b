//! What becomes of single directives, each in a small configuration of its own.
//!
//! The faults: a rule that was not understood let everything in; a configuration with nothing wrong
//! gave no result, or a reason that was untrue; constants in URLs were taken for variables; a path,
//! a name or a file that is missing changed the access rules silently.

use super::sample::{Imported, import, program};

/// A webhook behind NGINX, with this besides.
fn nginx(besides: &str) -> Imported {
    from("nginx", &nginx_text(besides), &[])
}

fn nginx_text(besides: &str) -> String {
    format!(
        "server {{\nlisten 443 ssl;\nserver_name a.example.com;\nssl_verify_client optional;\n\
         location = /webhooks/netdata {{\nproxy_pass http://127.0.0.1:3000;\n\
         if ($ssl_client_s_dn !~ \"CN=app.netdata.cloud\") {{ return 403; }}\n}}\n{besides}\n}}\n"
    )
}

/// A server with this location and nothing else, that verifies client certificates.
fn nginx_location(location: &str) -> String {
    format!(
        "server {{\nlisten 443 ssl;\nserver_name a.example.com;\nssl_verify_client on;\n{location}\n}}\n"
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
    assert_eq!(
        (output.status.code(), output.stdout.is_empty()),
        (Some(2), true)
    );
    String::from_utf8(output.stderr).unwrap()
}

impl Imported {
    /// The route for a path, as it is written.
    #[track_caller]
    fn route(&self, path: &str) -> &str {
        let start = format!("path = \"{path}\"\n");
        let found = self
            .config
            .split("[[routes]]\n")
            .find_map(|route| route.strip_prefix(&start));
        found.unwrap_or_else(|| panic!("no {path} in\n{}", self.config))
    }

    /// The part of the report with this heading.
    fn part(&self, heading: &str) -> String {
        let lines = self
            .report
            .lines()
            .skip_while(|line| *line != format!("{heading}:"));
        lines
            .skip(1)
            .take_while(|line| line.starts_with("  "))
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[track_caller]
    fn does_not_carry(&self, said: &str) {
        assert!(
            self.part("Not carried over").contains(said),
            "{said}\n{}",
            self.report
        );
    }

    #[track_caller]
    fn says_first(&self, said: &str) {
        assert!(
            self.part("To do first").contains(said),
            "{said}\n{}",
            self.report
        );
    }
}

const CLOSED: &str = "# closed: no token has this digest";

#[test]
fn what_is_said_about_nginx_is_so() {
    let found = nginx("modsecurity on;");
    found.does_not_carry("modsecurity on: guards something");
    for (setting, key) in [
        ("limit_req zone=slow", "limits.requests_per_second"),
        ("limit_conn each 10", "limits.max_connections_per_address"),
        ("client_max_body_size 512k", "routes.max_body"),
        ("proxy_read_timeout 60s", "upstreams.*.response_timeout"),
    ] {
        nginx(&format!("{setting};")).does_not_carry(&format!("{setting}: set {key}"));
    }
    let found = nginx("some_module_of_mine on;");
    found.does_not_carry("some_module_of_mine on: is not known here");
    // What stands elsewhere stays there.
    let found = nginx("location /admin/ { auth_basic x; proxy_pass http://127.0.0.1:3001; }");
    assert!(
        !found.config.contains("/admin") && !found.report.contains("auth_basic"),
        "{}",
        found.report
    );
    found.says_first("NGINX keeps the rest");
}

#[test]
fn a_rule_that_is_not_understood_closes_the_route_and_says_so() {
    for rule in [
        "auth_basic x;",
        "auth_basic all;",
        "auth_request /auth;",
        "satisfy any;",
        "secure_link $arg_md5;",
        "if ($geoip_country = X) { return 403; }",
        "if ($http_user_agent != monitor) { return 403; }",
        "if ($http_x_key = \"\") { return 302 /login; }",
        "allow 192.0.2.1; deny 192.0.2.0/24; allow all;",
        "allow 192.0.2.0/24; deny all;",
        "deny 192.0.2.1;",
        "include snippets/who-may.conf;",
        "if ($http_authorization !~ \"Bearer .+\") { return 401; }",
        r#"if ($http_authorization !~ "^Bearer \w{8}$") { return 401; }"#,
        "if ($http_authorization != \"Basic bmV0ZGF0YTpodW50ZXIy\") { return 401; }",
        "access_by_lua_block { ngx.exit(403) }",
        "if ($http_x = b) { set $ok 0; } if ($ssl_client_s_dn ~ CN=a) { set $ok 1; } if ($ok = 0) { return 403; }",
    ] {
        let found = nginx(rule);
        assert!(
            found.route("/webhooks/netdata").contains(CLOSED),
            "{rule}: {}",
            found.config
        );
        found.says_first("closed: nothing gets through at /webhooks/netdata until");
        found.does_not_carry(rule.split([' ', ';']).next().unwrap());
        assert!(
            !found.report.contains("any certificate of"),
            "{rule}: {}",
            found.report
        );
    }
    // What is in `<Proxy>` may be for another application, and counts all the same.
    let proxy = "<Proxy http://127.0.0.1:3001/*>\nRequire ip 192.0.2.1\n</Proxy>";
    assert!(apache(proxy).config.contains(CLOSED));
    for rule in [
        "Require ip 192.0.2.1",
        "Require valid-user",
        "Require expr \"-R '192.0.2.0/24'\"",
        "SSLRequire %{TIME_HOUR} >= 8",
        "<RequireNone>\nRequire ip 192.0.2.1\n</RequireNone>",
        "Include who-may.conf",
        "Deny from 192.0.2.1",
        "RewriteEngine on\nRewriteCond %{SSL:SSL_CLIENT_S_DN_CN} !=a.example\nRewriteRule ^ - [F]",
        "RewriteEngine on\nRewriteCond %{HTTP_USER_AGENT} AhrefsBot [NC]\nRewriteRule ^ - [R=404]",
        "<Limit POST>\nRequire ip 192.0.2.1\n</Limit>",
    ] {
        let found = apache(&format!(
            "<Location /webhooks/netdata>\n<RequireAll>\n{rule}\n</RequireAll>\n</Location>"
        ));
        let found = match rule.starts_with("Require") || rule.starts_with("<Require") {
            true => found,
            false => apache(&format!(
                "<Location /webhooks/netdata>\n{rule}\n</Location>"
            )),
        };
        assert!(
            found.route("/webhooks/netdata/*").contains(CLOSED),
            "{rule}: {}",
            found.config
        );
        found.says_first("closed: nothing gets through at /webhooks/netdata/* until");
    }
}

#[test]
fn what_concerns_other_requests_closes_nothing() {
    for rule in [
        "if ($http_user_agent ~* (AhrefsBot|MJ12bot)) { return 403; }",
        "if ($args ~ union) { return 444; }",
        "if ($host != a.example.com) { return 444; }",
        "if ($request_method !~ ^(GET|POST)$) { return 405; }",
        "if (-f $document_root/maintenance.html) { return 503; }",
        "set $t \"\"; if ($scheme = http) { set $t H; } if ($request_uri = /x) { set $t \"${t}T\"; } \
         if ($t = H) { return 301 https://$host$request_uri; }",
        "include mime.types;",
        "location ~ /\\. { deny all; }",
        "allow all; deny 192.0.2.1;",
    ] {
        let found = nginx(rule);
        assert!(!found.config.contains(CLOSED), "{rule}: {}", found.report);
    }
    for rule in [
        "RewriteEngine on\nRewriteRule ^/wp-login - [F]",
        "RewriteEngine on\nRewriteCond %{HTTPS} off\nRewriteRule ^ https://%{HTTP_HOST}%{REQUEST_URI} [R=301,L]",
        "<Location /other>\nInclude missing.conf\nRequire valid-user\n</Location>",
        "<LocationMatch \"/\\.ht\">\nRequire all denied\n</LocationMatch>",
    ] {
        let found = apache(rule);
        assert!(!found.config.contains(CLOSED), "{rule}: {}", found.report);
    }
}

#[test]
fn other_servers_and_pages_are_not_the_webhook() {
    let vpn = "server {\nlisten 443 ssl;\nserver_name vpn.example.com;\nssl_verify_client on;\n\
               location / { proxy_pass http://127.0.0.1:3009; }\n}\n";
    let found = from("nginx", &format!("{vpn}{}", nginx_text("")), &[]);
    assert!(
        found.route("/webhooks/netdata").contains("127.0.0.1:3000"),
        "{}",
        found.config
    );
    assert!(!found.config.contains("3009"), "{}", found.config);
    let vpn = "<VirtualHost *:443>\nSSLEngine on\nSSLVerifyClient require\nProxyPass / http://127.0.0.1:3009/\n</VirtualHost>\n";
    let found = from("apache", &format!("{vpn}{}", apache_text("")), &[]);
    assert!(!found.config.contains("3009"), "{}", found.config);
    let status = "<VirtualHost *:443>\nSSLEngine on\nProxyPass / http://127.0.0.1:3000/\n\
                  <Location /server-status>\nSSLVerifyClient require\nSetHandler server-status\n</Location>\n</VirtualHost>\n";
    let found = from("apache", status, &[]);
    assert!(
        found.route("/*").contains("127.0.0.1:3000") && !found.config.contains("server-status"),
        "{}",
        found.config
    );
}

#[test]
fn constants_in_urls_are_no_variables() {
    for (sets, url) in [
        ("", "http://127.0.0.1:3000$request_uri"),
        ("", "http://127.0.0.1:3000$uri$is_args$args"),
        (
            "set $forward_scheme http; set $server \"127.0.0.1\"; set $port 3000;",
            "$forward_scheme://$server:$port$request_uri",
        ),
        (
            "set $forward_scheme http; set $server \"127.0.0.1\"; set $port 3000;",
            "$forward_scheme://$server:$port",
        ),
        ("set $upstream_app 127.0.0.1;", "http://$upstream_app:3000"),
    ] {
        let found = from(
            "nginx",
            &nginx_location(&format!("{sets} location /hook {{ proxy_pass {url}; }}")),
            &[],
        );
        assert!(
            found
                .route("/hook/*")
                .contains("upstream = \"http://127.0.0.1:3000\""),
            "{url}: {}",
            found.config
        );
        assert!(
            !found.report.contains("the path:"),
            "{url}: {}",
            found.report
        );
    }
    let map = "map $host $app { default 127.0.0.1:3001; a.example.com 127.0.0.1:3000; }\n";
    let text = map.to_owned() + &nginx_location("location /hook { proxy_pass http://$app; }");
    assert!(
        from("nginx", &text, &[])
            .route("/hook/*")
            .contains("127.0.0.1:3000")
    );
    let named = "upstream apache_backend_https_1 { server 127.0.0.1:3000; }\n";
    let text = named.to_owned()
        + &nginx_location("location /hook { proxy_pass http://apache_backend_${scheme}_1; }");
    assert!(
        from("nginx", &text, &[])
            .config
            .contains("servers = \"http://127.0.0.1:3000\"")
    );
    let error = refused(
        "nginx",
        &nginx_location("location /hook { proxy_pass http://$cookie_app; }"),
        &[],
    );
    assert!(
        error.contains("$cookie_app is known for each request only"),
        "{error}"
    );
}

#[test]
fn expressions_for_a_few_paths_are_those_and_others_name_their_cure() {
    let found = from(
        "nginx",
        &nginx_location("location ~* ^/webhook(/pix)?$ { proxy_pass http://127.0.0.1:3000; }"),
        &[],
    );
    found.route("/webhook");
    found.route("/webhook/pix");
    let location =
        nginx_location("location ~ ^/v[0-9]+/webhook { proxy_pass http://127.0.0.1:3000; }");
    let error = refused("nginx", &location, &[]);
    assert!(
        error.contains(":5: ") && error.contains("name the webhook's with --webhook"),
        "{error}"
    );
    from("nginx", &location, &["--webhook", "/v1/webhook"]).route("/v1/webhook");
}

#[test]
fn locations_in_others_are_chosen_as_nginx_chooses() {
    let locations = "location ^~ /hooks/ {\nlocation ~ /admin { deny all; proxy_pass http://b; }\n\
        location = /hooks/exact { proxy_pass http://c; }\nlocation /hooks/deep/ { proxy_pass http://d; }\n\
        proxy_pass http://a;\n}\nlocation ~ \\.php$ { proxy_pass http://e; }\n\
        location / {\nlocation ~ /in { proxy_pass http://f; }\nproxy_pass http://g;\n}";
    for (path, server, is_closed) in [
        ("/hooks/x", "a", false),
        ("/hooks/x.php", "a", false),
        ("/hooks/admin", "b", true),
        ("/hooks/exact", "c", false),
        ("/hooks/deep/x.php", "d", false),
        ("/x.php", "e", false),
        ("/in", "f", false),
        ("/in.php", "f", false),
        ("/y", "g", false),
    ] {
        let found = from("nginx", &nginx_location(locations), &["--webhook", path]);
        let route = found.route(path);
        let upstream = format!("upstream = \"http://{server}\"\n");
        assert!(route.contains(&upstream), "{path}: {route}");
        assert_eq!(route.contains(CLOSED), is_closed, "{path}: {route}");
    }
}

#[test]
fn several_paths_may_be_named() {
    let location = nginx_location("location / { proxy_pass http://127.0.0.1:3000; }");
    let paths = [
        "--webhook",
        "/hooks/a",
        "--webhook",
        "/hooks/b",
        "--proxy",
        "/app/*",
    ];
    let found = from("nginx", &location, &paths);
    assert!(
        !found.route("/hooks/a").contains("kind"),
        "{}",
        found.config
    );
    assert!(
        !found.route("/hooks/b").contains("kind"),
        "{}",
        found.config
    );
    assert!(
        found.route("/app/*").contains("kind = \"proxy\""),
        "{}",
        found.config
    );
    let text = apache_text("ProxyPass /app http://127.0.0.1:3001/app");
    let found = from(
        "apache",
        &text,
        &["--webhook", "/webhooks/netdata", "--proxy", "/app/x"],
    );
    assert!(
        found.route("/app/x").contains("kind = \"proxy\""),
        "{}",
        found.config
    );
    assert_eq!(
        found.config.matches("[[routes]]").count(),
        2,
        "{}",
        found.config
    );
}

#[test]
fn a_doubtful_result_says_so() {
    let two = "location /a { proxy_pass http://127.0.0.1:3000; }\nlocation /b { proxy_pass http://127.0.0.1:3001; }";
    let found = from("nginx", &nginx_location(two), &[]);
    found.route("/a/*");
    found.says_first(
        "look at the webhook: /a was taken for its path; if that is wrong, name it with --webhook (there are /b",
    );
    let text = "SSLVerifyClient require\nProxyPass /a http://127.0.0.1:3000/a\nProxyPass /b http://127.0.0.1:3000/b\n";
    from("apache", text, &[]).says_first("look at the webhook: /a/* was taken for its path");
    let other = nginx_location("location /hook { proxy_pass http://127.0.0.1:3000; }")
        .replace("a.example", "b.example");
    let found = from("nginx", &(other + &nginx_text("")), &[]);
    found.says_first("b.example.com");
}

#[test]
fn paths_that_only_begin_so_are_named() {
    let found = from(
        "nginx",
        &nginx_location("location /webhook { proxy_pass http://127.0.0.1:3000; }"),
        &[],
    );
    found.says_first("such as /webhooks, is 404 now");
    let location = nginx_location("location /webhook { proxy_pass http://127.0.0.1:3000; }");
    let found = from("nginx", &location, &["--webhook", "/webhooks/netdata"]);
    found.route("/webhooks/netdata");
    assert!(!found.report.contains("404 now"), "{}", found.report);
}

#[test]
fn a_name_that_is_chosen_here_is_said_first() {
    for (ca, guard, why) in [
        ("", "", "no name was demanded before"),
        (
            "ssl_client_certificate /etc/ssl/other.pem;",
            "",
            "only a certificate of /etc/ssl/other.pem",
        ),
        (
            "",
            "if ($ssl_client_s_dn !~ \"O=Netdata\") { return 403; }",
            "no name can be read from ",
        ),
    ] {
        let location =
            format!("{ca}\nlocation /hook {{ {guard} proxy_pass http://127.0.0.1:3000; }}");
        let found = from("nginx", &nginx_location(&location), &[]);
        found.says_first(
            "look at names: app.netdata.cloud is the only common name that gets in now",
        );
        found.says_first(why);
        let location = location.replace("O=Netdata", "CN=webhooks.example.com");
        let found = from("nginx", &nginx_location(&location), &[]);
        assert_eq!(
            found
                .config
                .contains("common_names = \"webhooks.example.com\""),
            guard.contains("O=")
        );
    }
    let text = apache_text("").replace(
        "SSL_CLIENT_S_DN_CN} == 'app.netdata.cloud'",
        "SSL_CLIENT_S_DN_O} == 'Netdata'",
    );
    from("apache", &text, &[]).says_first("no name can be read from ");
}

#[test]
fn what_is_known_is_not_blanked() {
    let map = "map $http_x $host_or_default { default $http_host; \"\" a.example.com; }\n";
    let text =
        nginx_text("proxy_set_header Host $host_or_default;\nproxy_set_header X-User $unknown;");
    let found = from("nginx", &format!("{map}{text}"), &[]);
    assert!(!found.config.contains("Host = \"\""), "{}", found.config);
    assert!(found.config.contains("X-User = \"\""), "{}", found.config);
}

#[test]
fn only_the_case_of_the_name_differs() {
    let guard = "if ($ssl_client_s_dn !~* \"CN=APP.Netdata.Cloud\") { return 403; }";
    let found = from(
        "nginx",
        &nginx_location(&format!(
            "location = /hook {{ {guard} proxy_pass http://127.0.0.1:3000; }}"
        )),
        &[],
    );
    assert!(!found.config.contains("common_names"), "{}", found.config);
}

#[test]
fn a_certificate_without_tls_lets_nothing_through() {
    let text = nginx_text("").replace("443 ssl", "80");
    let found = from("nginx", &text, &[]);
    assert!(
        found.route("/webhooks/netdata").contains(CLOSED),
        "{}",
        found.config
    );
    found.does_not_carry("a client certificate is demanded, and there is no TLS");
}

#[test]
fn sections_of_apache_depend_on_what_is_there() {
    let denied = "\n<Location /webhooks/netdata>\nRequire all denied\n</Location>\n";
    for (section, is_in_effect) in [
        ("IfModule mod_gnutls.c", false),
        ("IfModule !mod_gnutls.c", true),
        ("IfModule mod_ssl.c", true),
        ("IfVersion < 2.4", false),
        ("IfVersion >= 2.4", true),
        ("IfVersion !< 2.4", true),
        ("IfVersion <= 2.4.61", false),
        ("IfVersion 2.2", false),
        ("IfVersion ~ ^2", true),
        ("IfDefine SECRET", false),
        ("IfDefine !SECRET", true),
    ] {
        let end = section.split(' ').next().unwrap();
        let found = apache(&format!("<{section}>{denied}</{end}>"));
        assert_eq!(
            found.config.contains(CLOSED),
            is_in_effect,
            "{section}: {}",
            found.config
        );
    }
    let unclosed = apache("ServerAdmin \"webmaster@a.example.com\nRequestHeader set X-Title \"a b");
    assert!(
        unclosed.config.contains("X-Title = \"a b\""),
        "{}",
        unclosed.config
    );
}

#[test]
fn a_header_that_is_set_sometimes_is_never_the_clients() {
    for (directive, name) in [
        (
            "RequestHeader set X-SSL-CN \"%{SSL_CLIENT_S_DN_CN}s\" env=HTTPS",
            "X-SSL-CN",
        ),
        ("RequestHeader unset X-Legacy env=!keep", "X-Legacy"),
        ("RequestHeader append X-User unknown", "X-User"),
        (
            "<If \"%{REMOTE_ADDR} == '10.0.0.1'\">\nRequestHeader unset X-User\n</If>",
            "X-User",
        ),
    ] {
        let found = apache(directive);
        assert!(
            found
                .route("/webhooks/netdata/*")
                .contains(&format!("{name} = \"\"")),
            "{}",
            found.config
        );
        found.does_not_carry("the application gets none from the client");
    }
}

#[test]
fn a_webhook_goes_to_its_own_application() {
    let first =
        "ProxyPassMatch \"^/webhooks/netdata(/.*)?$\" \"http://127.0.0.1:3000/webhooks/netdata$1\"";
    let passing = "ProxyPass /webhooks/netdata http://127.0.0.1:3000/webhooks/netdata";
    let text = apache_text("ProxyPass / http://127.0.0.1:3001/").replace(passing, first);
    let found = from("apache", &text, &[]);
    assert!(
        found
            .route("/webhooks/netdata/*")
            .contains("upstream = \"http://127.0.0.1:3000\""),
        "{}",
        found.config
    );
}

#[test]
fn rules_that_pass_on_are_read_in_their_usual_forms() {
    for (rule, path) in [
        (
            "^/hooks/netdata/?$ http://127.0.0.1:3000/hooks/netdata",
            "/hooks/netdata",
        ),
        (
            "^/hooks/netdata http://127.0.0.1:3000/hooks/netdata",
            "/hooks/netdata/*",
        ),
        ("^/hooks/(.*)$ http://127.0.0.1:3000/hooks/$1", "/hooks/*"),
        ("^/hooks(/.*)?$ http://127.0.0.1:3000/hooks$1", "/hooks/*"),
    ] {
        // What follows is not looked at any more.
        let rules = format!("RewriteEngine on\nRewriteRule {rule} [P,L]\nRewriteRule ^ - [F]");
        let text = format!(
            "<VirtualHost *:443>\nSSLEngine on\nSSLVerifyClient require\n{rules}\n</VirtualHost>\n"
        );
        let found = from("apache", &text, &[]);
        assert!(
            found.config.contains(&format!("path = \"{path}\"\n"))
                && !found.config.contains(CLOSED),
            "{rule}"
        );
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
        (
            "h2c://127.0.0.1:3000/webhooks/netdata",
            "only HTTP upstreams with a fixed address are supported",
        ),
        (
            "http://${NOT_DEFINED_ANYWHERE}:3000/webhooks/netdata",
            "this variable is not defined here",
        ),
    ] {
        let error = refused("apache", &passing(url), &[]);
        assert!(
            error.contains(":8: ProxyPass /webhooks/netdata") && error.contains(said),
            "{error}"
        );
        assert!(
            error.lines().count() > 3 && error.contains("Carried over:"),
            "the report, too: {error}"
        );
    }
    let error = refused("apache", &apache_text(""), &["--server", "b.example.com"]);
    assert!(error.contains("there is no such server here: there are A.example.com"));
    from("apache", &apache_text(""), &["--server", "a.EXAMPLE.com"]);
    let error = refused("nginx", &nginx_text(""), &["--server", "b.example.com"]);
    assert!(
        error.contains("there is no such server here: there are a.example.com"),
        "{error}"
    );
    let error = refused(
        "nginx",
        &nginx_location("location /hook { fastcgi_pass unix:/run/php.sock; }"),
        &[],
    );
    assert!(
        error.contains(":5: fastcgi_pass unix:/run/php.sock does not speak HTTP"),
        "{error}"
    );
}

#[test]
fn the_report_is_whole_where_that_is_asked_for() {
    let headers: String = (0..40)
        .map(|number| format!("proxy_set_header X-{number} a;\nkeepalive_requests {number};\n"))
        .collect();
    let text = nginx_location(&format!(
        "location /hook {{ proxy_pass http://127.0.0.1:3000;\n{headers} }}"
    ));
    let short = from("nginx", &text, &[]).report;
    assert!(
        short.lines().count() <= 25 && short.contains("--verbose lists them"),
        "{short}"
    );
    let whole = from("nginx", &text, &["--verbose"]).report;
    assert!(
        whole.lines().count() > 85 && whole.contains("keepalive_requests 39"),
        "{whole}"
    );
}

/// The value of the header `X-A` of the first route.
fn header(config: &str) -> String {
    let root = toml::de::DeTable::parse(config).unwrap();
    let routes = root.get_ref()["routes"].get_ref().as_array().unwrap();
    let route = routes[0].get_ref().as_table().unwrap();
    let headers = route["set_headers"].get_ref().as_table().unwrap();
    headers["X-A"].get_ref().as_str().unwrap().to_owned()
}

#[test]
fn words_end_as_they_do_in_nginx() {
    for (words, expected) in [
        ("X-A b#c;", "b#c"),
        ("X-A # c\n#d;\n\tb;", "b"),
        ("X-A \"b ; { } # c\";", "b ; { } # c"),
        ("X-A 'd \"e';", "d \"e"),
        (r#"X-A "b\"c";"#, "b\"c"),
        (r"X-A 'd\'e';", "d'e"),
        (r"X-A f\ g;", r"f\ g"),
        (r"X-A h\;i;", r"h\;i"),
        (r"X-A ^/a\.b\\c;", r"^/a\.b\c"),
        ("X-A a}b;", "a}b"),
        ("X-A a\"b\"c;", "a\"b\"c"),
        ("X-A ${server_name}c;", "a.example.comc"),
        ("X-A\r\nb\r\n;", "b"),
    ] {
        let location = format!(
            "location /hook {{ proxy_set_header {words} proxy_pass http://127.0.0.1:3000; }}"
        );
        let found = from("nginx", &nginx_location(&location), &[]);
        assert_eq!(header(&found.config), expected, "{words}");
    }
}

#[test]
fn braces_in_lua_end_no_block() {
    for lua in [
        " return {a = {}} ",
        " local a = '}' .. \"\\\"}\" ",
        " -- }\n --[[ }\n ]] --[=[ } ]] ]=] ",
        " local a = [[ } ]] .. b[c[1]] ",
        "",
    ] {
        let location = format!(
            "location /hook {{ log_by_lua_block {{{lua}}} proxy_set_header X-A b; proxy_pass http://a; }}"
        );
        let found = from("nginx", &nginx_location(&location), &[]);
        assert_eq!(header(&found.config), "b", "{lua}");
    }
}

#[test]
fn conditions_of_apache_are_read_in_their_usual_forms_and_others_close_the_route() {
    let with = |rule: &str| {
        let usual = "Require expr \"%{SSL_CLIENT_S_DN_CN} == 'app.netdata.cloud'\"";
        from("apache", &apache_text("").replace(usual, rule), &[])
    };
    for rule in [
        "Require expr %{SSL_CLIENT_S_DN_CN} == 'a.example'",
        "SSLRequire %{SSL_CLIENT_S_DN_CN} eq \"a.example\"",
        "Require expr \"(%{SSL:SSL_CLIENT_S_DN_CN} = 'a.example')\"",
        "SSLRequire (%{SSL_CLIENT_VERIFY} eq \"SUCCESS\" and %{SSL_CLIENT_S_DN_CN} =~ m#^a\\.example$#)",
        "Require expr \"%{REQUEST_METHOD} -ne 'GET' && %{SSL_CLIENT_S_DN} =~ /CN=a\\.example/i\"",
    ] {
        let found = with(rule);
        assert!(
            found.config.contains("common_names = \"a.example\"\n")
                && !found.config.contains(CLOSED),
            "{rule}: {}",
            found.report
        );
    }
    for expression in [
        "%{SSL_CLIENT_S_DN_CN} == 'a' || %{SSL_CLIENT_S_DN_CN} == 'b'",
        "%{SSL_CLIENT_S_DN_CN} == 'a' b",
        "%{SSL_CLIENT_S_DN_CN} == '%{HTTP:X-Name}'",
        "%{SSL_CLIENT_S_DN_CN} == /a/",
        "%{SSL_CLIENT_S_DN_CN} =~ 'a'",
        "%{SSL_CLIENT_S_DN_CN} in {'a'}",
        "! (%{SSL_CLIENT_S_DN_CN} == 'a')",
        "%{SSL_CLIENT_S_DN_CN} != 'a'",
        "%{SSL_CLIENT_S_DN_CN}",
        "%{SSL_CLIENT_S_DN_CN} == ",
        "",
    ] {
        let found = with(&format!("Require expr \"{expression}\""));
        assert!(
            found.route("/webhooks/netdata/*").contains(CLOSED),
            "{expression}: {}",
            found.config
        );
    }
}

#[test]
fn a_pattern_adds_its_rules_to_those_of_the_path() {
    let pattern = "<LocationMatch \"^/webhooks/[a-z]+\">\nRequire all denied\n</LocationMatch>";
    let found = apache(pattern);
    assert!(
        found.route("/webhooks/netdata/*").contains(CLOSED),
        "{}",
        found.config
    );
    // A section that comes later replaces the rules, also if it demands nothing.
    let found = apache("<Location /webhooks>\nRequire all granted\n</Location>");
    assert!(!found.config.contains(CLOSED), "{}", found.config);
}

#[test]
fn lines_words_and_formats_of_apache_are_read_as_it_does() {
    let found = apache(
        "# RequestHeader set X-Not a\nDefine who netdata\n\
         RequestHeader \\\n  set X-Words \"a 'b' c\"\nRequestHeader set X-Defined ${who}\n\
         RequestHeader set X-Escaped 'f\\'g'\n\
         RequestHeader set X-Format \"CN=%{SSL_CLIENT_S_DN_CN}s;v=%{SSL_CLIENT_VERIFY}s 100%%\"\n\
         RequestHeader set X-Expression \"expr=%{REMOTE_ADDR}\"\n\
         RequestHeader set X-Unknown \"%{UNKNOWN}e\"\n\
         RequestHeader set X-Price \"5$ %{SSL_CLIENT_S_DN_CN}ss\"",
    );
    let route = found.route("/webhooks/netdata/*");
    for member in [
        "X-Words = \"a 'b' c\"",
        "X-Defined = \"netdata\"",
        "X-Escaped = \"f'g\"",
        "X-Format = \"CN=$client_cn;v=$client_verify 100%\"",
        "X-Expression = \"$remote_addr\"",
        "X-Unknown = \"\"",
        "X-Price = \"5$$ ${client_cn}s\"",
    ] {
        assert!(route.contains(member), "{member}: {route}");
    }
    assert!(!route.contains("X-Not"), "{route}");
}
