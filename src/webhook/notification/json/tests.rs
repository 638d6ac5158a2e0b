use super::reference::{self, Tree};
use super::*;
use crate::webhook::notification::wire::tests::CAPTURED;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

fn nested(depth: usize) -> String {
    format!(
        "{{\"a\":{}{}}}",
        "[".repeat(depth - 1),
        "]".repeat(depth - 1)
    )
}

#[test]
fn one_object_is_accepted() {
    for body in [
        "{}",
        " {\"a\":1}\n",
        "{\"a\":null,\"b\":[1.5e3,true],\"c\":{\"a\":\"\\u0026\"}}",
        &nested(64),
    ] {
        assert!(parse(body.as_bytes()).is_ok(), "{body}");
    }
}

#[test]
fn whatever_could_be_read_in_two_ways_is_refused() {
    let many = format!(
        "{{{}\"k3\":0}}",
        (0..40).map(|i| format!("\"k{i}\":0,")).collect::<String>()
    );
    for body in [
        "",
        "null",
        "[]",
        "\"x\"",
        "{",
        "{}{}",
        "{} x",
        "{\"a\":1,}",
        "{'a':1}",
        "{\"a\":01}",
        "{\"a\":NaN}",
        "{\"a\":1,\"a\":1}",
        "{\"a\":{\"b\":1,\"\\u0062\":2}}",
        "[{\"a\":1,\"a\":1}]",
        "{\"a\":[{\"b\":1,\"b\":1}]}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\u{1}\"}",
        "{\"a\":1e999999999}",
        "\u{feff}{}",
        &nested(65),
        &many,
        &"[".repeat(100_000),
        &"{\"a\":".repeat(100_000),
    ] {
        assert!(parse(body.as_bytes()).is_err(), "{body:.60}");
    }
    assert!(parse(b"{\"a\":\"\xff\"}").is_err());
}

#[test]
fn a_known_key_that_is_repeated_is_found_however_it_is_spelled() {
    for (_, key) in Key::ALL {
        let escaped = format!("\\u{:04x}{}", key.as_bytes()[0], &key[1..]);
        for again in [*key, &escaped] {
            let body = |between: &str| format!("{{\"{key}\":0,{between}\"{again}\":0}}");
            assert!(parse(body("").as_bytes()).is_err(), "{again}");
            assert!(parse(body("\"k\":0,").as_bytes()).is_err(), "{again}");
        }
        let inside = format!("{{\"{key}\":{{\"{key}\":0}},\"k\":{{\"{key}\":0}}}}");
        assert!(parse(inside.as_bytes()).is_ok(), "{key}");
    }
}

/// Up to sixteen keys are compared with each other, and more are looked up: every pair counts
/// on both sides of that.
#[test]
fn a_key_that_is_repeated_is_found_wherever_it_is() {
    let object = |keys: &[usize]| {
        let members: Vec<_> = keys.iter().map(|key| format!("\"k{key}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    for count in 1..=20 {
        let keys: Vec<_> = (0..count).collect();
        assert!(parse(object(&keys).as_bytes()).is_ok(), "{count}");
        for (first, again) in
            (1..count).flat_map(|again| (0..again).map(move |first| (first, again)))
        {
            let mut keys = keys.clone();
            keys[again] = first;
            assert!(
                parse(object(&keys).as_bytes()).is_err(),
                "{count}: {first} again at {again}"
            );
        }
    }
}

#[test]
fn errors_do_not_repeat_the_body() {
    for body in [
        "{\"hunter2\":hunter2}",
        "{\"hunter2\":1,\"hunter2\":2}",
        "\"hunter2\"",
        "{\"a\":\"hunter2",
    ] {
        let error = parse(body.as_bytes()).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
}

/// Checks that the reader accepts `text` if `serde_json` does, and finds the same in it.
fn agrees(text: &[u8]) -> Result<(), TestCaseError> {
    let expected = reference::read(text).ok();
    let expected = expected.filter(|tree| matches!(tree, Tree::Object(_)));
    let found = parse(text).ok();
    prop_assert_eq!(found.as_ref().map(Tree::of), expected);
    Ok(())
}

#[test]
fn every_body_is_read_as_serde_json_reads_it_at_the_edges_and_beyond() {
    let open = |count: usize| "[".repeat(count) + &"]".repeat(count);
    let objects = |count: usize| "{\"a\":".repeat(count) + "0" + &"}".repeat(count);
    let deep = [
        MAX_DEPTH - 2,
        MAX_DEPTH - 1,
        MAX_DEPTH,
        MAX_DEPTH + 1,
        127,
        128,
    ];
    let arrays = deep.map(open).into_iter();
    let objects = deep.map(objects).into_iter();
    let numbers = NUMBERS.into_iter().map(str::to_owned);
    let strings = STRINGS.into_iter().map(|text| format!("\"{text}\""));
    for value in arrays.chain(objects).chain(numbers).chain(strings) {
        for text in [
            value.clone(),
            format!("{{\"a\":{value}}}"),
            format!(" {{ \"a\" :\t{value}\r\n}} "),
            format!("{{\"a\":[{value},{value}]}}"),
            format!("{{\"a\":{value}"),
            format!("{{\"a\":{value} 1}}"),
            format!("{{{value}:0}}"),
            format!("{{{value}:0,{value}:0}}"),
        ] {
            agrees(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }
}

/// Numbers, and what is none.
const NUMBERS: [&str; 56] = [
    "0",
    "-0",
    "00",
    "01",
    "-01",
    "1",
    "-1",
    "+1",
    "-",
    "--1",
    "1-2",
    "1+2",
    "9007199254740993",
    "999999999999999999",
    "9999999999999999999",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "340282366920938463463374607431768211456",
    "1.",
    ".5",
    "1.5",
    "1.0",
    "-1.0",
    "1.50",
    "1.00000000000000000000000000001",
    "0.0",
    "-0.0",
    "1e",
    "1e+",
    "1e5",
    "1E+5",
    "1e-5",
    "1e-0",
    "12e-1",
    "120e-1",
    "1.5e1",
    "1e308",
    "1e309",
    "-1e309",
    "1e999999999",
    "1e-999999999",
    "0e999999999",
    "1e99999999999999999999",
    "1e-99999999999999999999",
    "1.7976931348623157e308",
    "1.7976931348623158e308",
    "1.7976931348623159e308",
    "17976931348623159e292",
    "5e-324",
    "2e-324",
    "NaN",
    "Infinity",
];

/// The insides of strings, and what cannot be inside of one.
const STRINGS: [&str; 45] = [
    "",
    "a",
    "ä",
    "\u{10ffff}",
    "\u{7f}",
    "\u{1}",
    "\u{1f}",
    "\n",
    "\t",
    "\0",
    "\\\"",
    "\\\\",
    "\\/",
    "\\b\\f\\n\\r\\t",
    "\\a",
    "\\",
    "\\u",
    "\\u0",
    "\\u00",
    "\\u000",
    "\\u0000",
    "\\u00e4",
    "\\u00E4",
    "\\U00e4",
    "\\u00g0",
    "\\u+0e4",
    "\\u 0e4",
    "\\ud800",
    "\\udc00",
    "\\ud83d\\ude00",
    "\\uD83D\\uDE00x",
    "\\ud83d\\ud83d",
    "\\ude00\\ud83d",
    "\\ud83dx",
    "\\ud83d\\n",
    "\\ud83d\\u",
    "\\ud83d\\u0041",
    "\\ud83d\\ude0",
    "\\udbff\\udfff",
    "\\udbff\\ue000",
    "\\ud7ff",
    "\\ue000",
    "1234567\"",
    "12345678\\u0041",
    "\u{feff}",
];

/// A value of a text that is JSON most of the time: keys are few, so that they are repeated, in
/// several spellings.
fn almost_json() -> impl Strategy<Value = String> {
    let key = select(vec![
        "a", "b", "\\u0061", "ab", "\\u0041", "", "a\\nb", "ſpace", "space",
    ]);
    let space = || select(vec!["", "", "", " ", "\n", "\t\r ", "\u{b}"]);
    let text = select(STRINGS.to_vec()).prop_map(|text| format!("\"{text}\""));
    let word = select(vec!["true", "false", "null", "nul", "True", "{", "]", ","]);
    let leaf = prop_oneof![
        6 => "[0-9]{1,3}",
        2 => "\"[a-zä\\\\u0-9 ]{0,20}\"",
        2 => text,
        1 => select(NUMBERS.to_vec()).prop_map(str::to_owned),
        1 => word.prop_map(str::to_owned),
    ];
    leaf.prop_recursive(5, 64, 20, move |inner| {
        let element = (space(), inner.clone(), space())
            .prop_map(|(before, value, after)| format!("{before}{value}{after}"));
        let member = (space(), key.clone(), 0..40, space(), inner).prop_map(
            |(before, key, number, after, value)| match number {
                0..4 => format!("{before}\"{key}\"{after}:{value}"),
                _ => format!("{before}\"{key}{number}\"{after}:{value}"),
            },
        );
        prop_oneof![
            vec(element, 0..6).prop_map(|elements| format!("[{}]", elements.join(","))),
            vec(member, 0..20).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_almost_json_is_read_as_serde_json_reads_it(value in almost_json()) {
        agrees(value.as_bytes())?;
        agrees(format!("{{\"a\":{value}}}").as_bytes())?;
    }

    #[test]
    fn an_alert_with_another_byte_is_read_as_serde_json_reads_it(
        body in select(CAPTURED.to_vec()), place in any::<Index>(), byte in any::<u8>(), kind in 0..3
    ) {
        let mut body = body.as_bytes().to_vec();
        let place = place.index(body.len());
        match kind {
            0 => body[place] = byte,
            1 => body.insert(place, byte),
            _ => body.truncate(place),
        }
        agrees(&body)?;
    }

    #[test]
    fn a_text_of_the_signs_of_json_is_read_as_serde_json_reads_it(
        text in "\\{[\\[\\]{}:,\"a0-9.eE\\\\u +\n\t-]{0,40}\\}?"
    ) {
        agrees(text.as_bytes())?;
    }

    #[test]
    fn any_bytes_are_read_as_serde_json_reads_them(bytes in vec(any::<u8>(), 0..200)) {
        agrees(&bytes)?;
        agrees(&[b"{\"a\":\"", &bytes[..], b"\"}"].concat())?;
    }

    #[test]
    fn any_string_is_found_whatever_its_length(text in "\\PC{0,40}", escaped in any::<bool>()) {
        let value = serde_json::Value::from(&*text).to_string();
        let value = if escaped { value.replace('a', "\\u0061") } else { value };
        agrees(format!("{{\"a\":{value},{value}:1}}").as_bytes())?;
    }
}
