//! Configurations of any kind: whatever is read, `import` ends, soon, and does not panic.
//!
//! The faults: conditions on variables that depend on conditions, patterns that stand for very many
//! paths, and sections by the thousand took minutes; and half a directive where a whole one was
//! expected was a panic.

use netdata_webhook_proxy::commands::import::{ImportSource, Options, run};
use proptest::prelude::*;
use std::time::Duration;

fn import(server: fn(Options) -> ImportSource, text: &str) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("server.conf");
    std::fs::write(&file, text).unwrap();
    let _ = run(&server(Options {
        file,
        ..Options::default()
    }));
}

/// The processor time of this thread: other processes of the machine do not count.
fn processor_time() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds = statistics.split(' ').next().unwrap();
    Duration::from_nanos(nanoseconds.parse().unwrap())
}

fn ends_soon(server: fn(Options) -> ImportSource, text: &str) {
    let started = processor_time();
    import(server, text);
    let taken = processor_time() - started;
    let head: String = text.chars().take(160).collect();
    assert!(taken < Duration::from_secs(10), "{taken:?}: {head}");
}

#[test]
fn no_configuration_of_nginx_takes_long() {
    let sets = "if ($a = 1) { set $a 1; } ".repeat(400);
    let headers = "proxy_set_header X-A $a$b; ".repeat(20_000);
    let locations: String = (0..2500)
        .map(|number| format!("location /{number} {{ proxy_pass http://a; }} "))
        .collect();
    let doubling: String = (0..100)
        .map(|number| format!("set $v{} $v{number}$v{number}; ", number + 1))
        .collect();
    for body in [
        format!("{sets} location / {{ if ($a = 1) {{ return 403; }} proxy_pass http://a; }}"),
        format!("location / {{ {headers} proxy_pass http://a; }}"),
        format!("{doubling} location / {{ proxy_set_header X $v99; proxy_pass http://$v99; }}"),
        locations,
        "location / { ".repeat(60) + "proxy_pass http://a;" + &" }".repeat(60),
        format!(
            "location ~ ^/{}$ {{ proxy_pass http://a; }}",
            "(a|b)".repeat(500)
        ),
        format!(
            "location / {{ if ($ssl_client_s_dn !~ \"({}\") {{ return 403; }} proxy_pass http://a; }}",
            "a|".repeat(50_000)
        ),
    ] {
        ends_soon(
            ImportSource::Nginx,
            &format!("server {{ listen 443 ssl; ssl_verify_client on; {body} }}"),
        );
    }
}

#[test]
fn no_configuration_of_apache_takes_long() {
    let sections: String = (0..2000)
        .map(|number| format!("<Location /{number}>\nRequire valid-user\n</Location>\n"))
        .collect();
    let conditions = "RewriteCond %{SSL_CLIENT_S_DN_CN} !=a [OR]\n".repeat(20_000);
    let requires = "Require expr \"%{A} == 'b'\"\n".repeat(5000);
    for body in [
        format!("ProxyPass / http://a/\n{sections}"),
        format!("{conditions}RewriteRule ^ - [F]\nProxyPass / http://a/\n"),
        format!(
            "{}ProxyPass / http://a/\n",
            "RequestHeader set X-A %{REMOTE_ADDR}s\n".repeat(20_000)
        ),
        format!("{}ProxyPass / http://a/\n", "Listen 443\n".repeat(20_000)),
        (0..3000)
            .map(|number| format!("ProxyPass /{number} http://a/{number}\n"))
            .collect(),
        format!("ProxyPass / http://a/\n<Location />\n{requires}\n</Location>"),
    ] {
        let host = "<VirtualHost *:443>\nSSLEngine on\nSSLVerifyClient require\n";
        ends_soon(
            ImportSource::Apache,
            &format!("{host}{body}\n</VirtualHost>\n"),
        );
    }
}

const NGINX_WORDS: &str = "server|location|if|map|set|upstream|listen|return|proxy_pass|proxy_set_header|include|allow|\
    deny|all|ssl_verify_client|on|optional|443|ssl|/netdata|=|~|!~|\\(|\\)|\\$ssl_client_s_dn|\\$a|CN=app|http://a|\
    http://\\$a|\\{|\\}|\\{|\\}|;|;|;|;|\"|'|\\\\|#|limit_req|zone=a|rate=1r/s|auth_basic|@a|try_files|0|1m|403|\\n";

const APACHE_LINES: &str = "<VirtualHost \\*:443>|</VirtualHost>|<Location /(a|hook)?>|</Location>|\
    <LocationMatch \\^/a\\$>|</LocationMatch>|<Directory />|</Directory>|<If \"%\\{SSL_CLIENT_S_DN\\} !~ /CN=a/\">|</If>|\
    <RequireAll>|</RequireAll>|ProxyPass /?(hook)? (!|http://a/|balancer://b)|ProxyPass http://a|\
    ProxyPassMatch \\^/(.\\*)\\$ http://a/\\$1|SSLVerifyClient (require|optional)|SSLEngine on|\
    Require (all denied|valid-user|expr %\\{A\\} == 'b')|RewriteCond %\\{A\\} !b \\[OR\\]|RewriteRule \\^ - \\[F\\]|\
    RequestHeader (set|unset) X-A %\\{A\\}s|Listen 443|<IfVersion >= 2>|</IfVersion>|[A-Z][a-z]{1,4} \\PC{0,5}";

/// `text` without what includes other files, and with `new` in the place of some of it.
fn changed(text: &str, at: usize, length: usize, new: &str) -> String {
    let mut text = text.replace("nclude", "#");
    let boundary = |at: usize, text: &str| {
        (0..=at.min(text.len()))
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0)
    };
    let (start, end) = (boundary(at, &text), boundary(at + length, &text));
    text.replace_range(start..end, new);
    text
}

proptest! {
    #[test]
    fn no_words_make_it_panic(words in proptest::collection::vec(NGINX_WORDS, 0..80)) {
        import(ImportSource::Nginx, &format!("server {{ {} }}", words.join(" ")));
    }

    #[test]
    fn no_lines_make_it_panic(lines in proptest::collection::vec(APACHE_LINES, 0..30)) {
        let lines = lines.join("\n");
        import(ImportSource::Apache, &lines);
        import(ImportSource::Apache, &format!("SSLVerifyClient require\nProxyPass /hook http://a/hook\n{lines}"));
    }

    #[test]
    fn no_change_to_a_good_file_makes_it_panic(
        at in 0..9000_usize, length in 0..40_usize, new in "\\PC{0,3}|[;{}()$~=<>\"'%]"
    ) {
        let text = include_str!("nginx/ingress/etc/nginx/nginx.conf");
        import(ImportSource::Nginx, &changed(text, at, length, &new));
        let text = include_str!("apache/debian/etc/apache2/sites-enabled/hooks-le-ssl.conf");
        import(ImportSource::Apache, &changed(text, at % 1500, length, &new));
    }
}
