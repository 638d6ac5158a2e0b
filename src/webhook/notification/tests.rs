use super::*;

const FLAT_ALERT: &str = r#"{"message":"m","alert":"ram_in_use","info":"i","chart":"c","context":"x",
    "space":"Acme","Rooms":{"a":{"all":"https://x"},"b":"https://y","c":null},"family":"f","class":"Error",
    "severity":"CRITICAL","date":"2026-03-01T10:00:00Z","duration":"1m","additional_active_critical_alerts":1,
    "additional_active_warning_alerts":0.0,"alert_url":"https://app.netdata.cloud/x#a=1&transition=t-1","new":[1]}"#;
const NESTED_ALERT: &str = r#"{"message":"Critical, x","space":{"id":"s-1","name":"Acme \u0026 Co","slug":"acme"},
    "node":{"id":"n","hostname":"h","rooms":[{"id":"r","name":"All","slug":"all","url":"u"}]},
    "alert":{"name":"n","context":"c","url":"u?transition=t-3","transition_id":"t-2","chart":{"id":"i","name":"n"},
    "state":{"status":"Warning","value":1,"value_str":"1"},"prev_state":null,"triggered_at":"t",
    "duration":{"value":1,"non_clear":0,"value_str":"1s"},"location":{"timezone":"UTC","utc_offset":-3600},
    "config":{"hash":"h","line":1,"centralisation_point":{"hostname":"p"}},"rendered":{"info":"i","summary":"s"},
    "log":{"total":{"critical":1,"warning":2},"entries":[{"name":"n","status":"Critical","triggered_at":"t"}]}}}"#;
const FLAT_REACHABILITY: &str = r#"{"message":"m","url":"u","host":"h","severity":"critical","status":{"reachable":false,"text":"unreachable"}}"#;
const NESTED_REACHABILITY: &str = r#"{"message":"m","url":"u","space":{"id":"s-1","slug":"acme","nodes_stats":
    {"total":3,"live":2}},"centralisation_point":{"id":"i","hostname":"h"},"nodes":[{"id":"i","hostname":"h"}],
    "severity":"info","status":"reachable","reachable":true}"#;
const TEST: &str = r#"{"message":"m","title":"Test Notification","token":"4dfa1e0c"}"#;

fn verify(body: &str) -> Result<Notification, Rejection> {
    Notification::verify(body.as_bytes(), SchemaPolicy::Enforce, &[])
}

#[test]
fn every_known_body_is_recognised() {
    let check = |body, kind, shape, severity: Option<&str>| {
        let notification = verify(body).unwrap();
        assert_eq!(
            (notification.kind, notification.shape),
            (kind, shape),
            "{body}"
        );
        assert_eq!(notification.severity.as_deref(), severity, "{body}");
    };
    check(FLAT_ALERT, Kind::Alert, Some(Shape::Flat), Some("critical"));
    check(
        NESTED_ALERT,
        Kind::Alert,
        Some(Shape::Nested),
        Some("warning"),
    );
    check(
        FLAT_REACHABILITY,
        Kind::Reachability,
        Some(Shape::Flat),
        Some("critical"),
    );
    check(
        NESTED_REACHABILITY,
        Kind::Reachability,
        Some(Shape::Nested),
        Some("info"),
    );
    check(TEST, Kind::Test, None, None);
    check(
        r#"{"alarm":"x","alarm_url":"u"}"#,
        Kind::Alert,
        Some(Shape::Flat),
        None,
    );
    check(
        r#"{"alert":null,"nodes":[]}"#,
        Kind::Reachability,
        Some(Shape::Nested),
        None,
    );
    check(
        r#"{"token":"x","alert":"y"}"#,
        Kind::Alert,
        Some(Shape::Flat),
        None,
    );
}

#[test]
fn a_link_leads_to_netdata_cloud_and_nowhere_else() {
    let long = "x".repeat(MAX_URL + 1);
    for (url, is_kept) in [
        ("https://app.netdata.cloud/a?b=c&d#e:::f%20", true),
        ("https://app.netdata.cloud/", true),
        ("https://app.netdata.cloud", false),
        ("http://app.netdata.cloud/a", false),
        ("HTTPS://app.netdata.cloud/a", false),
        ("https://app.netdata.cloud:443/a", false),
        ("https://app.netdata.cloud.evil.example/a", false),
        ("https://app.netdata.cloud@evil.example/a", false),
        ("https://evil.example/https://app.netdata.cloud/", false),
        ("https://app.netdata.cloud\\\\@evil.example/", false),
        ("javascript:alert(1)//https://app.netdata.cloud/", false),
        ("https://app.netdata.cloud/a\\u0020b", false),
        ("https://app.netdata.cloud/\\u202e", false),
        ("https://app.netdata.cloud/<b>", false),
        (&*format!("https://app.netdata.cloud/{long}"), false),
    ] {
        for body in [
            format!("{{\"alert\":{{\"url\":\"{url}\"}}}}"),
            format!("{{\"alert\":\"x\",\"alert_url\":\"{url}\"}}"),
            format!("{{\"alarm\":\"x\",\"alarm_url\":\"{url}\"}}"),
            format!("{{\"nodes\":[],\"url\":\"{url}\"}}"),
        ] {
            let url = verify(&body).unwrap().url;
            assert_eq!(url.is_some(), is_kept, "{body}: {url:?}");
        }
    }
}

#[track_caller]
fn refuses(verdict: Result<Notification, Rejection>, expected: &str, body: &str) {
    match verdict {
        Err(Rejection::SchemaMismatch { pointer, .. }) => {
            assert_eq!(pointer, expected, "{body}")
        }
        other => panic!("{body}: {other:?}"),
    }
}

/// What is strict has always been so; all else lets these pass, unless it has to decide by
/// them.
#[test]
fn strictly_a_field_of_another_type_is_refused_by_its_pointer() {
    for (body, expected, is_deciding) in [
        (r#"{"alert":"x","info":1}"#, "/info", false),
        (r#"{"alert":"x","space":{}}"#, "/space", false),
        (r#"{"alert":"x","Rooms":[]}"#, "/Rooms", false),
        (r#"{"alert":"x","Rooms":{"a":1}}"#, "/Rooms", false),
        (
            r#"{"alert":"x","critical_count":"1"}"#,
            "/critical_count",
            false,
        ),
        (
            r#"{"alert":"x","critical_count":1.5}"#,
            "/critical_count",
            false,
        ),
        (r#"{"alert":{},"space":"x"}"#, "/space", false),
        (
            r#"{"alert":{"config":{"line":"12"}}}"#,
            "/alert/config/line",
            false,
        ),
        (
            r#"{"alert":{"log":{"entries":[1]}}}"#,
            "/alert/log/entries/0",
            false,
        ),
        (
            r#"{"alert":{"log":{"entries":{}}}}"#,
            "/alert/log/entries",
            false,
        ),
        (r#"{"nodes":[{},1]}"#, "/nodes/1", false),
        (r#"{"nodes":[],"status":{}}"#, "/status", false),
        (r#"{"token":"x","title":1}"#, "/title", false),
        (r#"{"alert":"x","alarm":1}"#, "/alarm", false),
        (r#"{"alert":"x","severity":1}"#, "/severity", true),
        (r#"{"alert":"x","space":1}"#, "/space", true),
        (r#"{"alert":{},"space":{"id":1}}"#, "/space/id", true),
        (r#"{"alert":{},"space":{"slug":[]}}"#, "/space/slug", true),
        (r#"{"alert":{"state":"Critical"}}"#, "/alert/state", true),
        (
            r#"{"alert":{"state":{"status":1}}}"#,
            "/alert/state/status",
            true,
        ),
        (
            r#"{"alert":{"transition_id":7}}"#,
            "/alert/transition_id",
            true,
        ),
        (
            r#"{"status":{"reachable":"no"}}"#,
            "/status/reachable",
            true,
        ),
        (r#"{"status":{},"severity":{}}"#, "/severity", true),
        (
            r#"{"status":"reachable","space":{"name":true}}"#,
            "/space/name",
            true,
        ),
        (r#"{"reachable":1}"#, "/reachable", true),
        (r#"{"nodes":{}}"#, "/nodes", true),
        (r#"{"nodes":[],"status":5}"#, "/status", true),
        (r#"{"token":""}"#, "/token", true),
        (r#"{"token":"t","space":[]}"#, "/space", true),
        (r#"{"alert":1}"#, "", true),
        ("{}", "", true),
    ] {
        let verdict = |schema| Notification::verify(body.as_bytes(), schema, &[]);
        refuses(verdict(SchemaPolicy::Strict), expected, body);
        match verdict(SchemaPolicy::Enforce) {
            Ok(notification) if !is_deciding => {
                assert_eq!(notification.drift, [expected], "{body}")
            }
            other => {
                assert!(is_deciding, "{body}: {other:?}");
                refuses(other, expected, body);
            }
        }
        let warned = verdict(SchemaPolicy::Warn).unwrap();
        assert_eq!(
            (warned.mismatch.is_some(), &warned.drift[0]),
            (is_deciding, &expected.to_owned()),
            "{body}"
        );
    }
}

#[test]
fn null_missing_and_new_is_tolerated_even_strictly() {
    for (body, drift) in [
        (r#"{"alert":{},"space":null,"node":null}"#, &[][..]),
        (
            r#"{"alert":{"state":null,"transition_id":null,"log":{"entries":[null]}}}"#,
            &[],
        ),
        (
            r#"{"alert":"x","severity":null,"space":null,"alarm":null}"#,
            &[],
        ),
        (r#"{"status":{"reachable":null},"severity":null}"#, &[]),
        (
            r#"{"nodes":null,"status":"reachable","reachable":null}"#,
            &[],
        ),
        (
            r#"{"alert":"x","new":{"a":[1]},"newer":null}"#,
            &["/new", "/newer"],
        ),
        (
            r#"{"alert":"x","critical_count":0.0}"#,
            &["/critical_count"],
        ),
        (r#"{"token":"a\nb"}"#, &["/token"]),
    ] {
        for schema in [SchemaPolicy::Strict, SchemaPolicy::Enforce] {
            let verdict = Notification::verify(body.as_bytes(), schema, &[]);
            assert_eq!(
                verdict
                    .unwrap_or_else(|rejection| panic!("{rejection}: {body}"))
                    .drift,
                drift,
                "{body}"
            );
        }
    }
}

#[test]
fn an_unknown_kind_with_a_message_is_forwarded_as_unknown() {
    for (body, drift, severity) in [
        (r#"{"message":"m"}"#, &[""][..], None),
        (r#"{"message":"m","alert":5}"#, &["/alert"], None),
        (
            r#"{"message":"m","token":5,"title":"Test Notification"}"#,
            &["/token", "/title"],
            None,
        ),
        (
            r#"{"message":"m","Alert":{},"status":true}"#,
            &["/Alert", "/status"],
            None,
        ),
        (
            r#"{"message":"m","severity":"FATAL","space":5}"#,
            &["/severity", "/space"],
            Some("fatal"),
        ),
        (
            r#"{"message":"m","a":1,"b":1,"c":1,"d":1,"e":1,"f":1}"#,
            &["/a", "/b", "/c", "/d", "/e"],
            None,
        ),
    ] {
        let found = verify(body).unwrap();
        assert_eq!(
            (found.kind, found.shape, found.severity.as_deref()),
            (Kind::Unknown, None, severity),
            "{body}"
        );
        assert_eq!(found.drift, drift, "{body}");
        refuses(
            Notification::verify(body.as_bytes(), SchemaPolicy::Strict, &[]),
            "",
            body,
        );
    }
    for (body, pointer) in [
        ("{}", ""),
        (r#"{"alert":5}"#, ""),
        (r#"{"message":""}"#, "/message"),
        (r#"{"message":5}"#, "/message"),
    ] {
        refuses(verify(body), pointer, body);
    }
}

#[test]
fn the_schema_can_warn_or_be_off() {
    let warned = Notification::verify(b"{\"x\":1}", SchemaPolicy::Warn, &[]).unwrap();
    assert_eq!(
        (warned.kind, warned.mismatch.is_some()),
        (Kind::Unknown, true)
    );
    assert!(matches!(
        Notification::verify(b"[1]", SchemaPolicy::Warn, &[]),
        Err(Rejection::InvalidJson(_))
    ));
    for body in [
        NESTED_ALERT.as_bytes(),
        TEST.as_bytes(),
        b"\xef\xbb\xbf{}",
        b"\"\\ud800\"",
        b"",
        b"{\"a\":1,\"a\":2}",
    ] {
        let unread = Notification::verify(body, SchemaPolicy::Off, &[]).unwrap();
        assert_eq!(
            (unread.kind, unread.severity, unread.test_token),
            (Kind::Unknown, None, None)
        );
        assert_eq!(
            (unread.idempotency_key, unread.drift.len()),
            (sha256_hex(body), 0)
        );
    }
}

#[test]
fn a_space_that_not_everybody_reads_alike_is_none_of_those_that_are_wanted() {
    for (body, passes) in [
        (r#"{"alert":{},"space":{"slug":"acme"}}"#, true),
        (r#"{"alert":{},"space":"acme"}"#, true),
        (
            r#"{"alert":{},"space":{"slug":"acme","id":null,"new":1}}"#,
            true,
        ),
        (r#"{"message":"m","space":{"slug":"acme"}}"#, true),
        (r#"{"alert":{},"space":{"slug":"acme","id":5}}"#, false),
        (r#"{"alert":{},"space":{"slug":"acme","ID":"evil"}}"#, false),
        (r#"{"alert":{},"Space":{"slug":"acme"}}"#, false),
        (r#"{"alert":{},"space":["acme"]}"#, false),
        (r#"{"alert":{},"space":{}}"#, false),
        (r#"{"alert":{},"space":null}"#, false),
        (r#"{"message":"m","space":5}"#, false),
        (r#"{"message":"acme"}"#, false),
        (r#"{"token":"t","space":5}"#, false),
        (r#"{"token":"t","Space":"acme"}"#, false),
    ] {
        for schema in [SchemaPolicy::Enforce, SchemaPolicy::Warn, SchemaPolicy::Off] {
            let verdict = Notification::verify(body.as_bytes(), schema, &["acme".into()]);
            assert_eq!(
                verdict.as_ref().err(),
                (!passes).then_some(&Rejection::SpaceNotAllowed),
                "{schema:?} {body}"
            );
        }
    }
    for body in [
        "",
        "{",
        "[]",
        "\u{feff}{\"space\":\"acme\"}",
        r#"{"space":"evil","space":"acme"}"#,
        TEST,
    ] {
        let verdict = Notification::verify(body.as_bytes(), SchemaPolicy::Off, &["acme".into()]);
        assert_eq!(verdict, Err(Rejection::SpaceNotAllowed), "{body}");
    }
}

#[test]
fn only_the_wanted_spaces_pass() {
    let check = |body: &str, spaces: &[&str], passes: bool| {
        let spaces: Vec<String> = spaces.iter().map(ToString::to_string).collect();
        let verdict = Notification::verify(body.as_bytes(), SchemaPolicy::Enforce, &spaces);
        assert_eq!(verdict.is_ok(), passes, "{spaces:?} {verdict:?}");
    };
    check(NESTED_ALERT, &["s-1"], true);
    check(NESTED_ALERT, &["other", "acme"], true);
    check(NESTED_ALERT, &["Acme & Co"], true);
    check(NESTED_ALERT, &["Acme"], false);
    check(FLAT_ALERT, &["Acme"], true);
    check(FLAT_ALERT, &["acme"], false);
    check(NESTED_REACHABILITY, &["acme"], true);
    check(FLAT_REACHABILITY, &["acme"], false);
    check(TEST, &["acme"], true);
    check(
        r#"{"message":"m","token":"t","space":"other"}"#,
        &["acme"],
        false,
    );
    check(
        r#"{"message":"m","token":"t","space":{"slug":"acme"}}"#,
        &["acme"],
        true,
    );
}

#[test]
fn what_it_is_about_is_read_from_every_shape() {
    let check = |body: &str, title: &str, node: Option<&str>| {
        let notification = verify(body).unwrap();
        assert_eq!(
            (notification.title.as_deref(), notification.node.as_deref()),
            (Some(title), node),
            "{body}"
        );
    };
    check(FLAT_ALERT, "ram_in_use", None);
    check(NESTED_ALERT, "n", Some("h"));
    check(FLAT_REACHABILITY, "m", Some("h"));
    check(NESTED_REACHABILITY, "m", None);
    check(TEST, "m", None);
    check(r#"{"alarm":"x"}"#, "x", None);
    let long = format!(r#"{{"alert":"{}"}}"#, "ä".repeat(100_000));
    check(&long, &"ä".repeat(MAX_TITLE), None);
}

#[test]
fn equal_notifications_have_equal_keys() {
    let key = |body| verify(body).unwrap().idempotency_key;
    assert_eq!(key(NESTED_ALERT), "t-2");
    assert_eq!(key(FLAT_ALERT), "t-1");
    assert_eq!(key(r#"{"alert":{"url":"u?transition=t-3&x"}}"#), "t-3");
    assert_eq!(key(TEST), sha256_hex(TEST.as_bytes()));
    assert_ne!(key(TEST), key(FLAT_REACHABILITY));
    let dotted = r#"{"alert":{"transition_id":"t-1.2"}}"#;
    assert_eq!(key(dotted), sha256_hex(dotted.as_bytes()));
    let hostile =
        "{\"alert\":{\"transition_id\":\"a\\r\\nX-Evil: 1\",\"state\":{\"status\":\"a b\"}}}";
    assert_eq!(
        key(hostile),
        sha256_hex(hostile.as_bytes()),
        "what cannot stand in a header is not used"
    );
    assert_eq!(verify(hostile).unwrap().severity, None);
}

proptest::proptest! {
    #[test]
    fn no_mutation_of_a_body_makes_it_panic(
        cut in 0..400_usize, byte in proptest::prelude::any::<u8>(), insert in proptest::prelude::any::<bool>()
    ) {
        for body in [FLAT_ALERT, NESTED_ALERT, FLAT_REACHABILITY, NESTED_REACHABILITY, TEST] {
            let mut body = body.as_bytes().to_vec();
            let cut = cut.min(body.len() - 1);
            if insert { body.insert(cut, byte) } else { body[cut] = byte }
            for schema in [SchemaPolicy::Enforce, SchemaPolicy::Strict, SchemaPolicy::Warn, SchemaPolicy::Off] {
                let _ = Notification::verify(&body, schema, &["acme".into()]);
            }
        }
    }
}

#[test]
fn a_word_for_a_header_is_of_harmless_signs_and_short() {
    for sign in (0..=255).map(char::from) {
        let passes = sign.is_ascii_alphanumeric() || "-_.:".contains(sign);
        assert_eq!(is_token(&format!("a{sign}b")), passes, "{sign:?}");
    }
    for (length, passes) in [(0, false), (1, true), (128, true), (129, false)] {
        assert_eq!(is_token(&"a".repeat(length)), passes, "{length}");
    }
}

/// What makes a kind, each alone, and what a Test notification may not have beside its token.
#[test]
fn each_sign_of_a_kind_counts() {
    for (body, kind, shape) in [
        (r#"{"token":"t"}"#, Kind::Test, None),
        (
            r#"{"token":"t","alert":null,"status":null,"nodes":null}"#,
            Kind::Test,
            None,
        ),
        (
            r#"{"token":"t","alert":{}}"#,
            Kind::Alert,
            Some(Shape::Nested),
        ),
        (r#"{"token":"t","alert":5}"#, Kind::Unknown, None),
        (
            r#"{"token":"t","status":"s"}"#,
            Kind::Reachability,
            Some(Shape::Nested),
        ),
        (
            r#"{"token":"t","status":{}}"#,
            Kind::Reachability,
            Some(Shape::Flat),
        ),
        (
            r#"{"token":"t","nodes":[]}"#,
            Kind::Reachability,
            Some(Shape::Nested),
        ),
        (r#"{"token":5}"#, Kind::Unknown, None),
        (r#"{"alert":{}}"#, Kind::Alert, Some(Shape::Nested)),
        (r#"{"alert":"a"}"#, Kind::Alert, Some(Shape::Flat)),
        (r#"{"alarm":"a"}"#, Kind::Alert, Some(Shape::Flat)),
        (r#"{"status":"s"}"#, Kind::Reachability, Some(Shape::Nested)),
        (r#"{"nodes":5}"#, Kind::Reachability, Some(Shape::Nested)),
        (
            r#"{"reachable":true}"#,
            Kind::Reachability,
            Some(Shape::Nested),
        ),
        (r#"{"status":{}}"#, Kind::Reachability, Some(Shape::Flat)),
        (r#"{"status":true}"#, Kind::Unknown, None),
    ] {
        let json = json::parse(body.as_bytes()).unwrap();
        assert_eq!(shape::recognise(json.root()), (kind, shape), "{body}");
    }
}

/// Every place from which something is read, each alone.
#[test]
fn each_place_that_is_read_counts() {
    let read = |body: &str| Notification::verify(body.as_bytes(), SchemaPolicy::Warn, &[]).unwrap();
    for body in [
        r#"{"alert":{"state":{"status":"a"}}}"#,
        r#"{"alert":"x","severity":"A"}"#,
    ] {
        assert_eq!(read(body).severity.as_deref(), Some("a"), "{body}");
    }
    for body in [
        r#"{"alert":{"name":"a"}}"#,
        r#"{"alert":"a"}"#,
        r#"{"alarm":"a"}"#,
        r#"{"message":"a"}"#,
    ] {
        assert_eq!(read(body).title.as_deref(), Some("a"), "{body}");
    }
    for body in [
        r#"{"alert":{},"node":{"hostname":"a"}}"#,
        r#"{"status":{},"host":"a"}"#,
    ] {
        assert_eq!(read(body).node.as_deref(), Some("a"), "{body}");
    }
    for body in [
        r#"{"alert":{"transition_id":"a"}}"#,
        r#"{"alert":{"url":"u?transition=a"}}"#,
        r#"{"alert":"x","alert_url":"u#transition=a"}"#,
        r#"{"alarm":"x","alarm_url":"u?b&transition=a"}"#,
        r#"{"alarm":"x","alarm_url":"u?b;transition=a;c"}"#,
    ] {
        assert_eq!(read(body).transition_id.as_deref(), Some("a"), "{body}");
    }
    for body in [
        r#"{"alert":"x","alert_url":"u/transition=a"}"#,
        r#"{"alert":"x","alert_url":"u?transition="}"#,
    ] {
        assert_eq!(read(body).transition_id, None, "{body}");
    }
}
