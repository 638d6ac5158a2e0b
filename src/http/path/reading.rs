//! The ways in which applications may read a path.
//!
//! Express ignores case and a slash at the end, servlet containers cut off `;parameters`, IIS
//! treats `\` as `/` and drops dots and spaces at the end of a name, Rails drops `.json`; most undo
//! percent-encoding, some do so twice; and the effect of `..` depends on when it is applied. A path
//! that can be read in several ways is read in all of them.

use std::borrow::Cow;
use std::iter;

/// The number of times that percent-encoding is undone.
const DECODINGS: usize = 2;

/// Each `..` may be followed or taken for a name, so that each multiplies the readings.
const MAX_UPS: usize = 3;

/// The largest number of segments of a path with `..`.
const MAX_SEGMENTS: usize = 256;

/// A slash, and what may be taken for one.
const SLASHES: [char; 2] = ['/', '\\'];

/// One way to read a path.
pub(super) struct Reading<'t> {
    pub(super) segments: &'t [&'t str],
    /// The last one has lost its extension.
    pub(super) lacks_extension: bool,
}

impl<'t> Reading<'t> {
    fn new(segments: &'t [&'t str], lacks_extension: bool) -> Self {
        Self {
            segments,
            lacks_extension,
        }
    }
}

/// Returns `true` if `is` holds for any way to read `path`. It is assumed to hold for a path that
/// can be read in too many ways.
pub(super) fn is_any(path: &str, is: impl Fn(&Reading<'_>) -> bool) -> bool {
    let is_either = |segments: &[&str]| {
        is(&Reading::new(segments, false))
            || without_extension(segments).is_some_and(|it| is(&Reading::new(&it, true)))
    };
    texts(path).iter().any(|text| match readings(&parts(text)) {
        Some(readings) => readings.iter().any(|segments| is_either(segments)),
        None => true,
    })
}

/// Returns the segments of a path of the configuration, which is to be found by every way to read it.
pub(super) fn normalize_path(path: &str) -> Vec<String> {
    let mut segments: Vec<String> = Vec::new();
    let text = texts(path).pop().unwrap_or_default();
    for part in parts(&text) {
        match part {
            PathPart::Name(name) => segments.push(name.into_owned()),
            PathPart::Up { .. } => drop(segments.pop()),
        }
    }
    segments
}

/// Returns the path with its encoding undone and its parameters cut off, in every order in which
/// that can be done.
fn texts(path: &str) -> Vec<Cow<'_, str>> {
    let decode = |text: &Cow<'_, str>| decoded(text).map(Cow::Owned);
    let levels = iter::successors(Some(Cow::Borrowed(path)), decode);
    let mut levels: Vec<Cow<'_, str>> = levels.take(1 + DECODINGS).collect();
    if !levels.iter().any(|text| text.contains([';', '?', '#'])) {
        return levels.pop().into_iter().collect();
    }
    let mut texts = Vec::new();
    for (done, level) in levels.iter().enumerate() {
        for slashes in [&SLASHES[..1], &SLASHES[..]] {
            let text = cut_and_decoded(level, slashes, DECODINGS - done);
            // A reader that decodes before it looks for the query finds another one.
            let end = text.find(['?', '#']).unwrap_or(text.len());
            texts.push(Cow::Owned(text[..end].to_owned()));
            texts.push(Cow::Owned(text));
        }
    }
    texts
}

/// Cuts the parameters off, undoes the encoding as often as said, and cuts off what parameters that
/// has laid open.
fn cut_and_decoded(text: &str, slashes: &[char], decodings: usize) -> String {
    let mut text = without_parameters(text, slashes);
    for _ in 0..decodings {
        text = decoded(&text).unwrap_or(text);
    }
    without_parameters(&text, slashes)
}

/// Undoes the percent-encoding of a text, including `%uXXXX`, which IIS decodes; returns `None` if
/// there is nothing to undo.
fn decoded(text: &str) -> Option<String> {
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    let mut is_changed = false;
    while let [first, after @ ..] = rest {
        if let Some(length) = unescape(rest, &mut bytes) {
            is_changed = true;
            rest = &rest[length..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    is_changed.then(|| String::from_utf8_lossy(&bytes).into_owned())
}

/// Appends the character that an escape at the beginning of `text` encodes, and returns the length
/// of the escape.
fn unescape(text: &[u8], bytes: &mut Vec<u8>) -> Option<usize> {
    match text {
        [b'%', b'u' | b'U', digits @ ..] => {
            let character = char::from_u32(number(digits.get(..4)?)?);
            let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            Some(6)
        }
        [b'%', digits @ ..] => {
            bytes.push(u8::try_from(number(digits.get(..2)?)?).ok()?);
            Some(3)
        }
        _ => None,
    }
}

/// Parses hexadecimal digits, and no sign.
fn number(digits: &[u8]) -> Option<u32> {
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Removes everything between a `;` and the next slash.
fn without_parameters(text: &str, slashes: &[char]) -> String {
    let segments = text.split_inclusive(slashes);
    let cut = |segment: &str| match segment.find(';') {
        Some(start) => {
            segment[..start].to_owned() + if segment.ends_with(slashes) { "/" } else { "" }
        }
        None => segment.to_owned(),
    };
    segments.map(cut).collect()
}

/// A part of a path between slashes.
enum PathPart<'t> {
    /// A name as it is compared: in one case, without the characters that may be dropped at its
    /// end.
    Name(Cow<'t, str>),
    /// `..`, and whether an empty segment or a `.` precedes it, which it may remove instead of a
    /// name.
    Up { is_after_gap: bool },
}

impl PathPart<'_> {
    fn is_up(&self) -> bool {
        matches!(self, Self::Up { .. })
    }
}

fn parts(text: &str) -> Vec<PathPart<'_>> {
    let is_blank = |sign: char| sign.is_whitespace() || sign.is_control();
    let mut is_after_gap = false;
    let mut parts = Vec::new();
    for segment in text.split(SLASHES).skip(1) {
        let segment = segment.trim_matches(is_blank);
        let name = segment.trim_end_matches(|sign| sign == '.' || is_blank(sign));
        match (segment, name) {
            ("..", _) => parts.push(PathPart::Up { is_after_gap }),
            (_, "") => {}
            (_, name) => parts.push(PathPart::Name(folded(name))),
        }
        is_after_gap = segment != ".." && name.is_empty();
    }
    parts
}

/// Returns a name in one case: names that differ in case alone become equal.
fn folded(name: &str) -> Cow<'_, str> {
    if name
        .bytes()
        .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
    {
        return Cow::Borrowed(name);
    }
    // Some letters have no other case of their own, such as the long s, whose upper case is an S.
    Cow::Owned(
        name.chars()
            .flat_map(char::to_uppercase)
            .flat_map(char::to_lowercase)
            .collect(),
    )
}

/// Returns every reading of the parts, with each `..` followed or taken for a name; `None` if there
/// are too many.
fn readings<'t>(parts: &'t [PathPart<'_>]) -> Option<Vec<Vec<&'t str>>> {
    let ups = parts.iter().filter(|part| part.is_up()).count();
    if ups > MAX_UPS || (ups > 0 && parts.len() > MAX_SEGMENTS) {
        return None;
    }
    let mut readings: Vec<Vec<&str>> = vec![Vec::with_capacity(parts.len())];
    for part in parts {
        match part {
            PathPart::Name(name) => readings.iter_mut().for_each(|reading| reading.push(name)),
            PathPart::Up { is_after_gap } => go_up(&mut readings, *is_after_gap),
        }
    }
    Some(readings)
}

/// Adds the readings in which `..` is followed to those in which it is taken for a name.
fn go_up(readings: &mut Vec<Vec<&str>>, is_after_gap: bool) {
    let above = |reading: &Vec<_>| reading[..reading.len().saturating_sub(1)].to_vec();
    let mut followed: Vec<_> = readings.iter().map(above).collect();
    if is_after_gap {
        followed.extend(readings.iter().cloned());
    }
    readings.iter_mut().for_each(|reading| reading.push(".."));
    readings.extend(followed);
}

/// Removes the extension of the last name.
fn without_extension<'t>(segments: &[&'t str]) -> Option<Vec<&'t str>> {
    let (last, above) = segments.split_last()?;
    let (name, extension) = last.rsplit_once('.')?;
    let has_both = !name.is_empty() && !extension.is_empty() && *last != "..";
    has_both.then(|| above.iter().copied().chain([name]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks whether `path` can be read as `expected`.
    fn reads(path: &str, expected: &str) -> bool {
        is_any(path, |reading| {
            format!("/{}", reading.segments.join("/")) == expected
        })
    }

    #[test]
    fn a_path_is_read_in_every_way_that_an_application_might() {
        for path in [
            "/a/b",
            "/A/b",
            "/a/B",
            "/a/b/",
            "/a/b//",
            "/a//b",
            "//a/b",
            "/a/b;x",
            "/a/b;x=y;z",
            "/a;x/b",
            "/a;/b",
            "/a/b%3bx",
            "/a/b%3Bx",
            "/a/b%253bx",
            "/a\\b",
            "\\a\\b",
            "/a%5cb",
            "/a%5Cb",
            "/a%2fb",
            "/a%2Fb",
            "/a%252fb",
            "/a/b%2f",
            "/a/b\\",
            "/a/b.",
            "/a/b..",
            "/a/b%2e",
            "/a/b%20",
            "/a/b%20.%20",
            "/a./b",
            "/a%20/b",
            "/a/%20b",
            "/a/b%09",
            "/a/b%0a",
            "/a/b%c2%a0",
            "/a/b%01",
            "/a/%01b",
            "/a/b%7f",
            "/a/./b",
            "/./a/b",
            "/a/b/.",
            "/a/b/..;/b",
            "/a/x/../b",
            "/a/x/%2e%2e/b",
            "/a/x/.%2e/b",
            "/a/x/..;y/b",
            "/a/x/..%20/b",
            "/a/x%2f..%2fb",
            "/a/x/..\\b",
            "/../a/b",
            "/a//../b",
            "/a/.../../b",
            "/a/./../b",
            "/x/y/../../a/b",
            "/%61/b",
            "/%41/b",
            "/a/%62",
            "/%2561/b",
            "/%u0061/b",
            "/%U0041/b",
            "/a%u002fb",
            "/a/b%3fx",
            "/a/b%23x",
            "/a/b.json",
            "/a/B.JSON/",
            "/a;x%2fy/b",
            "/a/b;x\\y",
        ] {
            assert!(reads(path, "/a/b"), "{path}");
        }
        for path in [
            "/a",
            "/a/bb",
            "/ab",
            "/a/b/c",
            "/b/a",
            "/x/a/b",
            "/a/b.json.gz",
            "/a/.b",
            "/a/b%",
            "/a/b%zz",
            "/a-b",
            "/%252561/b",
        ] {
            assert!(!reads(path, "/a/b"), "{path}");
        }
    }

    #[test]
    fn letters_are_equal_in_every_case() {
        for path in ["/\u{17f}", "/%c5%bf", "/%C5%BF", "/S", "/%53"] {
            assert!(reads(path, "/s"), "{path}");
        }
        assert!(reads("/%e2%84%aa", "/k"), "the sign of the kelvin");
        assert!(reads("/%c4%b1", "/i"), "an i without its dot");
        assert!(reads("/C%C3%89", "/c\u{e9}"));
    }

    #[test]
    fn parameters_end_before_and_after_decoding() {
        assert!(reads("/a;x%2fb/c", "/a/c") && reads("/a;x%2fb/c", "/a/b/c"));
        assert!(reads("/a;x\\b", "/a") && reads("/a;x\\b", "/a/b"));
    }

    #[test]
    fn what_goes_up_may_be_a_name() {
        assert!(reads("/a/../b", "/b") && reads("/a/../b", "/a/../b"));
        assert!(reads("/a//../b", "/b") && reads("/a//../b", "/a/b"));
        assert!(!reads("/a/../b", "/a/b"));
        assert!(is_any("/a/../../../../b", |_| false), "too many ways");
        assert!(!is_any("/a/../../../b", |_| false));
        assert!(is_any(&format!("/..{}", "/a".repeat(MAX_SEGMENTS)), |_| {
            false
        }));
        assert!(!is_any(
            &format!("/..{}", "/a".repeat(MAX_SEGMENTS - 1)),
            |_| false
        ));
        assert!(!is_any(&"/a".repeat(MAX_SEGMENTS + 1), |_| false));
    }

    #[test]
    fn a_path_of_the_configuration_is_read_as_all_others_are() {
        for (path, expected) in [
            ("/", ""),
            ("", ""),
            ("/A/b/", "a/b"),
            ("/a%20b", "a b"),
            ("/c%C3%A9", "c\u{e9}"),
            ("/a/../b;c", "b"),
            ("/a.json", "a.json"),
        ] {
            assert_eq!(normalize_path(path).join("/"), expected, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_path_makes_it_panic(path in "/?([a-zA-Z./%;\\\\?#u0-9]|\\PC){0,40}") {
            is_any(&path, |reading| {
                assert!(reading.segments.iter().all(|segment| !segment.is_empty() && !segment.contains(SLASHES)));
                false
            });
            normalize_path(&path);
        }

        #[test]
        fn a_path_reads_as_what_it_is(path in "(/[a-z0-9_-]{1,5}){1,5}") {
            proptest::prop_assert!(reads(&path, &path));
        }
    }
}
