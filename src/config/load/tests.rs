//! The bounds of values, and the keys that have them.

use crate::config::Config;
use std::path::Path;

/// A file with this in `[listen]`, at its end, and what is wrong with it.
fn problems(listen: &str, more: &str) -> Vec<String> {
    let text = format!(
        "[listen]\nhttp = \"127.0.0.1:0\"\n{listen}\n[[routes]]\npath = \"/a\"\n\
         upstream = \"http://127.0.0.1:1\"\nauth = \"none\"\n{more}\n"
    );
    match Config::from_toml(&text, Path::new("")) {
        Ok(_) => Vec::new(),
        Err(error) => error.0.iter().map(ToString::to_string).collect(),
    }
}

#[track_caller]
fn check(listen: &str, more: &str, expected: Option<&str>) {
    let found = problems(listen, more);
    let is_expected = match expected {
        None => found.is_empty(),
        Some(key) => found.len() == 1 && found[0].contains(&format!(" {key}: ")),
    };
    assert!(is_expected, "{expected:?} {listen} {more}: {found:?}");
}

/// The values at both sides of every bound.
#[test]
fn bounds_are_where_they_are_said_to_be() {
    let group = "[upstreams.a]\nservers = \"http://127.0.0.1:1\"\n";
    for (table, key, good, bad) in [
        ("[limits]", "limits.max_header_size", "1024", "1023"),
        ("[limits]", "limits.max_header_size", "\"1MiB\"", "1048577"),
        ("[limits]", "limits.max_buffered", "1048576", "0"),
        ("[limits]", "limits.max_connections", "1", "0"),
        (
            "[limits]",
            "limits.max_connections",
            "1000000000",
            "1000000001",
        ),
        (
            "[limits]",
            "limits.max_connections_per_address",
            "1000000000",
            "1000000001",
        ),
        (
            "[limits]",
            "limits.requests_per_second",
            "1000000000",
            "1000000001",
        ),
        ("[limits]", "limits.burst", "1000000000", "1000000001"),
        ("[server]", "server.threads", "1024", "1025"),
        (group, "upstreams.a.keepalive", "65536", "65537"),
        (
            "[server]",
            "server.upgrade_socket",
            &format!("\"/{}\"", "a".repeat(106)),
            &format!("\"/{}\"", "a".repeat(107)),
        ),
    ] {
        let name = key.rsplit('.').next().unwrap_or_default();
        check("", &format!("{table}\n{name} = {good}"), None);
        check("", &format!("{table}\n{name} = {bad}"), Some(key));
    }
    check("", "max_body = 1", None);
    check("", "max_body = 0", Some("routes[0].max_body"));
    check("", "kind = \"proxy\"\nmax_body = 0", None);
    for (status, passes) in [
        ("199", false),
        ("200", true),
        ("599", true),
        ("600", false),
        ("1xx", false),
        ("2xx", true),
        ("5xx", true),
        ("6xx", false),
        ("xx", false),
        ("+20", false),
        ("2000", false),
    ] {
        let more =
            format!("{group}[upstreams.a.health_check]\npath = \"/\"\nstatus = [\"{status}\"]");
        check(
            "",
            &more,
            (!passes).then_some("upstreams.a.health_check.status[0]"),
        );
    }
}

/// Every key that only one kind of route, or of check, has a use for.
#[test]
fn keys_are_for_what_has_a_use_for_them() {
    for (key, value) in [
        ("challenge_secret", "{ env = \"PATH\" }"),
        ("challenge_requires_authorization", "true"),
        ("schema", "\"strict\""),
        ("spaces", "[\"a\"]"),
        ("tests", "\"answer\""),
    ] {
        check("", &format!("{key} = {value}"), None);
        let more = format!("kind = \"proxy\"\n{key} = {value}");
        check("", &more, Some(&format!("routes[0].{key}")));
    }
    check("", "kind = \"proxy\"\nbuffer_body = 1", None);
    check("", "buffer_body = 1", Some("routes[0].buffer_body"));
    let group = "[upstreams.a]\nservers = \"http://127.0.0.1:1\"\n";
    for key in [
        "ca",
        "server_name",
        "client_certificate",
        "client_private_key",
    ] {
        let more = format!("{group}{key} = \"a\"");
        check("", &more, Some(&format!("upstreams.a.{key}")));
    }
    for (key, value) in [
        ("host", "\"a\""),
        ("headers", "{ X-A = \"a\" }"),
        ("status", "\"200\""),
    ] {
        let more = format!("{group}[upstreams.a.health_check]\n{key} = {value}");
        check("", &format!("{more}\npath = \"/\""), None);
        check("", &more, Some(&format!("upstreams.a.health_check.{key}")));
    }
}

/// What may stand in a name or a value, sign by sign.
#[test]
fn each_sign_is_taken_where_it_may_stand() {
    for sign in (1..=127).map(char::from) {
        let quoted = format!("\"a\\u{:04x}b\"", u32::from(sign));
        let is_plain = sign.is_ascii_alphanumeric() || "-_.".contains(sign);
        let server = "servers = \"http://127.0.0.1:1\"";
        let found = problems("", &format!("[upstreams.{quoted}]\n{server}"));
        assert_eq!(found.is_empty(), is_plain, "{sign:?}: {found:?}");
        let found = problems("", &format!("set_headers = {{ X-A = {quoted} }}"));
        assert_eq!(
            found.is_empty(),
            !sign.is_control() && sign != '$',
            "{sign:?}: {found:?}"
        );
        let path = format!(
            "[upstreams.a]\n{server}\n[upstreams.a.health_check]\npath = \"/\\u{:04x}\"",
            u32::from(sign)
        );
        let found = problems("", &path);
        assert_eq!(
            found.is_empty(),
            sign.is_ascii_graphic(),
            "{sign:?}: {found:?}"
        );
    }
    for name in ["", "..", "a/b", "/a"] {
        let token = format!("auth.bearer = [{{ token = {{ credential = \"{name}\" }} }}]");
        let text = format!(
            "[listen]\nhttp = \"127.0.0.1:0\"\n[[routes]]\npath = \"/a\"\nupstream = \"http://127.0.0.1:1\"\n{token}\n"
        );
        let error = Config::from_toml(&text, Path::new("")).unwrap_err();
        assert!(
            error.to_string().contains("the name of a credential"),
            "{name}: {error}"
        );
    }
    check("trusted_proxies = [\"10.0.0.0/8\", \"::1\"]", "", None);
    for network in ["10.0.0.0/33", "10.0.0", "a", ""] {
        let listen = format!("allow = [\"{network}\"]");
        check(&listen, "", Some("listen.allow[0]"));
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(\\[\\[?(listen|tls|tls.client|routes|routes.auth|limits)\\]\\]?\\n|[a-z_]{1,12} = (\"[ -~]{0,9}\"|[0-9]{1,22}|\\[\\]|\\{\\}|true)\\n|\\PC){0,30}") {
        let _ = Config::from_toml(&text, Path::new(""));
    }

    #[test]
    fn no_change_to_a_good_file_makes_it_panic(at in 0..3000_usize, byte in "\\PC") {
        let mut text = include_str!("../../../conf/example.toml").to_owned();
        let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.insert_str(at, &byte);
        let _ = Config::from_toml(&text, Path::new(""));
    }
}
