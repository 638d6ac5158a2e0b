//! Reads PEM (RFC 7468) whole or not at all.
//!
//! Most readers skip what they do not know: of two sections on one line, or of an indented one,
//! nothing is left and nothing is said, and an authority or a revocation list is missing. Here
//! whatever looks like the beginning or the end of a section is one, or an error with its line. No
//! error repeats what the file holds, which may be a key.

use rustls::pki_types::pem::{PemObject as _, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// Some editors put it at the beginning of a file, from where it gets into the middle of others.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Sections that often stand beside a certificate or a key, and of which neither is made.
const BESIDE: [&str; 4] = [
    "PUBLIC KEY",
    "CERTIFICATE REQUEST",
    "EC PARAMETERS",
    "DH PARAMETERS",
];

/// Private keys that can be used.
const KEYS: [&str; 3] = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];

/// Private keys that cannot.
const OTHER_KEYS: [&str; 3] = [
    "ENCRYPTED PRIVATE KEY",
    "OPENSSH PRIVATE KEY",
    "DSA PRIVATE KEY",
];

/// The fault of a file, and its line if it is in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    line: Option<usize>,
    what: String,
}

impl Fault {
    pub(super) fn at(line: usize, what: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            what: what.into(),
        }
    }

    fn whole(what: impl Into<String>) -> Self {
        Self {
            line: None,
            what: what.into(),
        }
    }

    /// Returns a sentence about the file at `path`.
    pub(super) fn in_file(&self, path: &Path) -> String {
        match self.line {
            Some(line) => format!("{}:{line}: {}", path.display(), self.what),
            None => format!("{} {}", path.display(), self.what),
        }
    }
}

/// A part of a file, and the line where it began.
pub(super) struct AtLine<T> {
    pub(super) line: usize,
    pub(super) value: T,
}

/// Returns the certificates of a file, of which there is at least one. Keys and the like may stand
/// beside them.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<AtLine<CertificateDer<'static>>>, Fault> {
    let mut certificates = Vec::new();
    let mut holds_key = false;
    for section in sections(pem)? {
        match section.label {
            "CERTIFICATE" => certificates.push(section.certificate()?),
            "TRUSTED CERTIFICATE" => {
                return Err(section.fault(
                    "a TRUSTED CERTIFICATE has settings of OpenSSL's own behind it: make a plain one of it with \
                     \"openssl x509 -in FILE -out FILE\"",
                ));
            }
            "X509 CERTIFICATE" => {
                return Err(section
                    .fault("an old label: write CERTIFICATE in place of X509 CERTIFICATE, twice"));
            }
            "X509 CRL" => return Err(section.fault("holds a revocation list, not a certificate")),
            "PKCS7" | "CMS" => {
                return Err(section
                    .fault("a PKCS #7 bundle: take it apart with \"openssl pkcs7 -print_certs\""));
            }
            label if KEYS.contains(&label) || OTHER_KEYS.contains(&label) => holds_key = true,
            label if BESIDE.contains(&label) => {}
            _ => {
                return Err(
                    section.fault("a section of another kind, where certificates are expected")
                );
            }
        }
    }
    if !certificates.is_empty() {
        return Ok(certificates);
    }
    Err(Fault::whole(match holds_key {
        true => "holds a private key and no certificate",
        false if pem.trim_ascii().is_empty() => "is empty",
        false if x509_parser::parse_x509_certificate(pem).is_ok() => {
            "is in DER, not in PEM: convert it with \"openssl x509 -inform DER\""
        }
        false => "holds no certificate in PEM (\"-----BEGIN CERTIFICATE-----\")",
    }))
}

/// Returns the revocation lists of a file, of which there is at least one, and nothing else.
pub(super) fn revocation_lists(pem: &[u8]) -> Result<Vec<AtLine<Vec<u8>>>, Fault> {
    let lists = sections(pem)?
        .into_iter()
        .map(|section| match section.label {
            "X509 CRL" => Ok(AtLine {
                line: section.line,
                value: section.decode()?.1,
            }),
            "CERTIFICATE" => Err(section.fault("holds a certificate, not a revocation list")),
            _ => {
                Err(section.fault("a section of another kind, where revocation lists are expected"))
            }
        });
    let lists = lists.collect::<Result<Vec<_>, Fault>>()?;
    match lists.is_empty() {
        true => Err(Fault::whole(
            "holds no revocation list in DER or PEM (\"-----BEGIN X509 CRL-----\")",
        )),
        false => Ok(lists),
    }
}

/// Returns the one private key of a file. Certificates and the like may stand beside it.
pub(super) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Fault> {
    let mut key = None;
    let mut holds_certificate = false;
    for section in sections(pem)? {
        match section.label {
            label if KEYS.contains(&label) => {
                if key.is_some() {
                    return Err(
                        section.fault("a second private key: keep only the one of the certificate")
                    );
                }
                key = Some(section.private_key()?);
            }
            "ENCRYPTED PRIVATE KEY" => return Err(section.fault(ENCRYPTED)),
            "OPENSSH PRIVATE KEY" => {
                return Err(section.fault(
                    "a key in OpenSSH's form: convert it with \"ssh-keygen -p -m PEM -f FILE\"",
                ));
            }
            "CERTIFICATE" => holds_certificate = true,
            label if BESIDE.contains(&label) => {}
            _ => {
                return Err(
                    section.fault("a section of another kind, where a private key is expected")
                );
            }
        }
    }
    key.ok_or_else(|| {
        Fault::whole(match holds_certificate {
            true => "holds a certificate and no private key",
            false if pem.trim_ascii().is_empty() => "is empty",
            false => "holds no private key in PEM (\"-----BEGIN PRIVATE KEY-----\")",
        })
    })
}

/// The parser's own words are names of its types.
pub(super) const UNREADABLE: &str =
    "the certificate cannot be read: it is damaged, or not an X.509 certificate";

const ENCRYPTED: &str = "the key is encrypted; store it decrypted, readable by this program alone";

/// The lines from one with dashes to the next, both included.
struct PemSection<'p> {
    line: usize,
    label: &'p str,
    /// The text as it is in the file, both lines with dashes included.
    text: &'p [u8],
    /// `true` if lines such as `Proc-Type: 4,ENCRYPTED` stand before its contents.
    has_headers: bool,
}

impl PemSection<'_> {
    fn fault(&self, what: impl Into<String>) -> Fault {
        Fault::at(self.line, what)
    }

    fn decode(&self) -> Result<(SectionKind, Vec<u8>), Fault> {
        if self.has_headers {
            let is_key = self.label.ends_with("PRIVATE KEY");
            return Err(self.fault(if is_key {
                ENCRYPTED
            } else {
                "the section has headers, which are not supported"
            }));
        }
        // The error may hold what could not be read.
        <(SectionKind, Vec<u8>)>::from_pem_slice(self.text)
            .map_err(|_| self.fault("the section is not Base64"))
    }

    fn certificate(&self) -> Result<AtLine<CertificateDer<'static>>, Fault> {
        let (_, der) = self.decode()?;
        match x509_parser::parse_x509_certificate(&der) {
            Ok(([], _)) => Ok(AtLine {
                line: self.line,
                value: der.into(),
            }),
            Ok(_) => Err(self.fault(
                "the certificate is followed by other data, such as OpenSSL's trust settings",
            )),
            Err(_) => Err(self.fault(UNREADABLE)),
        }
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, Fault> {
        let (kind, der) = self.decode()?;
        PrivateKeyDer::from_pem(kind, der).ok_or_else(|| self.fault("the key cannot be read"))
    }
}

/// Returns every section. Text between them, as tools write it, is none of them, unless it looks
/// like one.
fn sections(pem: &[u8]) -> Result<Vec<PemSection<'_>>, Fault> {
    if pem.starts_with(b"\xff\xfe") || pem.starts_with(b"\xfe\xff") {
        return Err(Fault::whole("is UTF-16: save it as UTF-8 or ASCII"));
    }
    let mut sections = Vec::new();
    let mut open: Option<PemSection<'_>> = None;
    for Line {
        number,
        start,
        text,
    } in lines(pem)
    {
        let is_open = open.is_some();
        match (Marker::of(text, is_open, number)?, open.take()) {
            (None, None) => {}
            (None, Some(mut section)) => {
                section.has_headers |= text.contains(&b':');
                if !section.has_headers && !text.iter().all(|byte| is_base64(*byte)) {
                    return Err(Fault::at(
                        number,
                        "not Base64, which is expected up to the END line",
                    ));
                }
                open = Some(section);
            }
            (Some(Marker::Begin(label)), None) => {
                let start = start + text.len() - without_mark(text).len();
                open = Some(PemSection {
                    line: number,
                    label,
                    text: &pem[start..],
                    has_headers: false,
                });
            }
            (Some(Marker::Begin(_)), Some(section)) => {
                return Err(section.fault(format!(
                    "the section has no END line before the next begins in line {number}"
                )));
            }
            (Some(Marker::End(label)), Some(section)) if section.label == label => {
                let before = pem.len() - section.text.len();
                sections.push(PemSection {
                    text: &section.text[..start + text.len() - before],
                    ..section
                });
            }
            (Some(Marker::End(_)), Some(section)) => {
                return Err(Fault::at(
                    number,
                    format!("ends another section than began in line {}", section.line),
                ));
            }
            (Some(Marker::End(_)), None) => {
                return Err(Fault::at(number, "ends a section that has not begun"));
            }
        }
    }
    match open {
        Some(section) => Err(section.fault("the section has no END line")),
        None => Ok(sections),
    }
}

fn without_mark(line: &[u8]) -> &[u8] {
    line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=".contains(&byte) || byte.is_ascii_whitespace()
}

struct Line<'p> {
    /// Number of the line, from 1.
    number: usize,
    /// Offset of the line in the file.
    start: usize,
    text: &'p [u8],
}

/// Returns the lines, whether they end with LF, CR LF or CR.
fn lines(pem: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let (mut number, mut start) = (0, 0);
    std::iter::from_fn(move || {
        let rest = pem.get(start..).filter(|rest| !rest.is_empty())?;
        let length = rest
            .iter()
            .position(|byte| matches!(byte, b'\n' | b'\r'))
            .unwrap_or(rest.len());
        let line = Line {
            number: number + 1,
            start,
            text: &rest[..length],
        };
        let ending = if rest[length..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        (number, start) = (number + 1, start + length + ending);
        Some(line)
    })
}

/// A line with dashes.
enum Marker<'p> {
    Begin(&'p str),
    End(&'p str),
}

impl<'p> Marker<'p> {
    /// `None` for a line that does not look like one.
    fn of(line: &'p [u8], is_open: bool, number: usize) -> Result<Option<Self>, Fault> {
        let line = without_mark(line).trim_ascii_end();
        let label = |prefix| {
            line.strip_prefix(prefix)
                .and_then(|rest| rest.strip_suffix(DASHES))
                .and_then(as_label)
        };
        if let Some(label) = label(BEGIN) {
            return Ok(Some(Self::Begin(label)));
        }
        if let Some(label) = label(END) {
            return Ok(Some(Self::End(label)));
        }
        let is_comment = !is_open && line.trim_ascii_start().starts_with(b"#");
        if is_comment || !looks_like_marker(line) {
            return Ok(None);
        }
        let is_indented = line.first().is_some_and(u8::is_ascii_whitespace);
        Err(Fault::at(
            number,
            match is_indented {
                true => {
                    "an indented BEGIN or END line: its dashes must be the first characters of the line"
                }
                false => {
                    "looks like a BEGIN or END line but is not one: it must have five dashes on each side, on a line \
                     of its own"
                }
            },
        ))
    }
}

fn as_label(label: &[u8]) -> Option<&str> {
    let is_plain =
        |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b" #".contains(byte);
    std::str::from_utf8(label)
        .ok()
        .filter(|label| label.as_bytes().iter().all(is_plain))
}

/// Returns `true` if there is `BEGIN` or `END` behind dashes, of whatever kind: word processors
/// make long ones of two.
fn looks_like_marker(line: &[u8]) -> bool {
    let line = String::from_utf8_lossy(line);
    let is_dash = |c: char| c == '-' || matches!(c, '\u{2010}'..='\u{2015}' | '\u{2212}');
    let words = line
        .match_indices(is_dash)
        .map(|(at, dash)| (&line[..at + dash.len()], &line[at + dash.len()..]));
    words
        .filter(|(before, _)| before.chars().rev().take_while(|c| is_dash(*c)).count() >= 2)
        .any(|(_, behind)| {
            let word: String = behind
                .trim_start()
                .chars()
                .take_while(char::is_ascii_alphabetic)
                .take(6)
                .collect();
            word.eq_ignore_ascii_case("begin") || word.eq_ignore_ascii_case("end")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use std::sync::LazyLock;

    static PEM: LazyLock<(String, String)> = LazyLock::new(|| {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["a.example".to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        (
            certificate.pem().replace("\r\n", "\n"),
            key.serialize_pem().replace("\r\n", "\n"),
        )
    });

    /// Returns the number of certificates that are read, or the fault.
    fn read(pem: &str) -> Result<usize, String> {
        certificates(pem.as_bytes())
            .map(|them| them.len())
            .map_err(|fault| fault.in_file(Path::new("f")))
    }

    #[test]
    fn what_can_be_understood_is_read() {
        let (certificate, key) = &*PEM;
        let wide = certificate.replace('\n', "");
        let (head, body) = wide.split_at("-----BEGIN CERTIFICATE-----".len());
        let (body, tail) = body.split_at(body.find("-----END").unwrap());
        for (pem, count) in [
            (certificate.clone(), 1),
            (certificate.repeat(3), 3),
            (certificate.replace('\n', "\r\n"), 1),
            (certificate.repeat(2).replace('\n', "\r"), 2),
            (certificate.trim_end().to_owned(), 1),
            (format!("{head}\n{body}\n{tail}"), 1),
            (format!("\u{feff}{certificate}"), 1),
            (format!("{certificate}\u{feff}{certificate}"), 2),
            (certificate.replace("-----\n", "-----  \n"), 1),
            (
                format!(
                    "# of -----BEGIN CERTIFICATE-----\nsubject=CN = Back-End CA\n\n{certificate}-----\n"
                ),
                1,
            ),
            (
                format!(
                    "# {}\n{certificate}",
                    certificate.trim_end().replace('\n', "\n# ")
                ),
                1,
            ),
            (format!("{key}{certificate}{key}"), 1),
        ] {
            assert_eq!(read(&pem), Ok(count), "{pem}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_an_error_with_its_line() {
        let (certificate, key) = &*PEM;
        let lines = certificate.lines().count();
        let second = lines + 1;
        let check = |changed: String, line: usize, what: &str| {
            let said = read(&format!("{certificate}{changed}")).unwrap_err();
            assert!(
                said.starts_with(&format!("f:{line}: ")) && said.contains(what),
                "{said}\n{changed}"
            );
        };
        let relabelled = |label: &str| certificate.replace("CERTIFICATE", label);
        check(
            format!("{}{certificate}", certificate.trim_end()),
            lines + lines,
            "line of its own",
        );
        check(
            certificate.replace("-----BEGIN", " -----BEGIN"),
            second,
            "indented",
        );
        check(
            certificate
                .replace('\n', "\n  ")
                .replacen("---", "  ---", 1),
            second,
            "indented",
        );
        check(
            certificate.replace("-----END", "\t-----END"),
            lines + lines,
            "indented",
        );
        check(relabelled("TRUSTED CERTIFICATE"), second, "openssl x509");
        check(relabelled("X509 CERTIFICATE"), second, "an old label");
        check(relabelled("X509 CRL"), second, "a revocation list");
        check(relabelled("PKCS7"), second, "openssl pkcs7");
        check(relabelled("SOMETHING"), second, "another kind");
        check(
            certificate.replace("-----END CERTIFICATE-----", ""),
            second,
            "no END line",
        );
        check(
            certificate.replace("-----END CERTIFICATE-----", certificate),
            second,
            "no END line",
        );
        check(
            certificate.replace("-----BEGIN CERTIFICATE-----", ""),
            lines + lines,
            "has not begun",
        );
        check(
            certificate.replace("END CERTIFICATE", "END X509 CRL"),
            lines + lines,
            "another section",
        );
        for wrong in [
            "----BEGIN",
            "------BEGIN",
            "–––BEGIN",
            "——-BEGIN",
            "-----Begin",
            "-----BEGIN:",
            "x-----BEGIN",
        ] {
            check(
                certificate.replace("-----BEGIN", wrong),
                second,
                "looks like a BEGIN or END line",
            );
        }
        check(
            certificate.replace("CERTIFICATE-----", "CERTIFICATE----"),
            second,
            "looks like",
        );
        check(certificate.replace('M', "*"), second + 1, "not Base64");
        check(certificate.replace("MII", "AII"), second, "cannot be read");
        check(
            "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".into(),
            second,
            "cannot be read",
        );
        check("-----BEGIN CERTIFICATE-----".into(), second, "no END line");
        assert_eq!(read(""), Err("f is empty".into()));
        assert_eq!(
            read(key),
            Err("f holds a private key and no certificate".into())
        );
    }

    #[test]
    fn a_key_is_read_whole_and_never_shown() {
        let (certificate, key) = &*PEM;
        assert!(private_key(format!("{certificate}{key}").as_bytes()).is_ok());
        let secret = key.lines().nth(1).unwrap();
        let flat = key.replace('\n', "");
        for (wrong, line, what) in [
            (
                key.repeat(2),
                Some(key.lines().count() + 1),
                "a second private key",
            ),
            (key.replace('\n', "\\n"), Some(1), "looks like"),
            (key.replace('\n', " "), Some(1), "looks like"),
            (flat, Some(1), "looks like"),
            (
                key.replace("-----END PRIVATE KEY-----", ""),
                Some(1),
                "no END line",
            ),
            (
                key.replace(secret, &format!("{secret}!")),
                Some(2),
                "not Base64",
            ),
            (
                key.replace(secret, &format!("{secret}=")),
                Some(1),
                "not Base64",
            ),
            (
                key.replace(secret, &format!("Proc-Type: 4,ENCRYPTED\n\n{secret}")),
                Some(1),
                "encrypted",
            ),
            (
                key.replace("PRIVATE", "ENCRYPTED PRIVATE"),
                Some(1),
                "encrypted",
            ),
            (
                key.replace("PRIVATE", "OPENSSH PRIVATE"),
                Some(1),
                "ssh-keygen",
            ),
            (
                key.replace("PRIVATE KEY", "SECRET"),
                Some(1),
                "another kind",
            ),
            (
                certificate.clone(),
                None,
                "holds a certificate and no private key",
            ),
            (secret.to_owned(), None, "holds no private key"),
            (String::new(), None, "is empty"),
        ] {
            let fault = private_key(wrong.as_bytes()).map(drop).unwrap_err();
            assert_eq!(fault.line, line, "{fault:?}\n{wrong}");
            assert!(fault.what.contains(what), "{fault:?}\n{wrong}");
            assert!(!fault.what.contains(&secret[..8]), "{fault:?}");
        }
    }

    proptest::proptest! {
        /// However a file of three certificates is cut and glued, none of them is missed in
        /// silence.
        #[test]
        fn no_section_is_dropped_in_silence(
            at in proptest::prelude::any::<proptest::sample::Index>(),
            change in "[ -~\\n\\r\\t\u{feff}]{0,3}",
            removed in 0..3_usize,
        ) {
            let whole = PEM.0.repeat(3);
            let at = at.index(whole.len() - 3);
            let changed = format!("{}{change}{}", &whole[..at], &whole[at + removed..]);
            if let Ok(them) = certificates(changed.as_bytes()) {
                proptest::prop_assert!(them.len() == 3 || changed.contains('#'), "{changed}");
            }
        }
    }

    /// A section with this label and the contents of the certificate.
    fn labelled(label: &str) -> String {
        PEM.0.replace("CERTIFICATE", label)
    }

    /// Every label that a file may have beside its certificate, or beside its key.
    #[test]
    fn each_kind_of_section_stands_where_it_may_and_nowhere_else() {
        let (certificate, key) = &*PEM;
        // What may stand beside a certificate, and beside a key.
        for (label, by_certificate, by_key) in [
            ("PUBLIC KEY", true, true),
            ("CERTIFICATE REQUEST", true, true),
            ("EC PARAMETERS", true, true),
            ("DH PARAMETERS", true, true),
            ("CERTIFICATE", true, true),
            ("PRIVATE KEY", true, false),
            ("RSA PRIVATE KEY", true, false),
            ("EC PRIVATE KEY", true, false),
            ("ENCRYPTED PRIVATE KEY", true, false),
            ("OPENSSH PRIVATE KEY", true, false),
            ("DSA PRIVATE KEY", true, false),
            ("TRUSTED CERTIFICATE", false, false),
            ("X509 CERTIFICATE", false, false),
            ("X509 CRL", false, false),
            ("PKCS7", false, false),
            ("CMS", false, false),
            ("SOMETHING ELSE", false, false),
        ] {
            let section = labelled(label);
            let beside = certificates(format!("{certificate}{section}").as_bytes());
            assert_eq!(beside.is_ok(), by_certificate, "{label}");
            let beside = private_key(format!("{key}{section}").as_bytes());
            assert_eq!(beside.is_ok(), by_key, "{label}");
            let is_key = label.ends_with("PRIVATE KEY");
            let expected = match is_key {
                true => "f holds a private key and no certificate",
                false => "f holds no certificate in PEM (\"-----BEGIN CERTIFICATE-----\")",
            };
            if by_certificate && label != "CERTIFICATE" {
                assert_eq!(read(&section), Err(expected.into()), "{label}");
            }
        }
        for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
            let relabelled = key.replace("PRIVATE KEY", label);
            assert!(private_key(relabelled.as_bytes()).is_ok(), "{label}");
        }
        for label in [
            "X509 CERTIFICATE",
            "PKCS7",
            "CMS",
            "CERTIFICATE",
            "PRIVATE KEY",
        ] {
            assert!(
                revocation_lists(labelled(label).as_bytes()).is_err(),
                "{label}"
            );
        }
    }

    /// Every dash that a word processor makes of two.
    #[test]
    fn each_dash_looks_like_one() {
        let certificate = &PEM.0;
        for dash in "-\u{2010}\u{2011}\u{2012}\u{2013}\u{2014}\u{2015}\u{2212}".chars() {
            for word in ["BEGIN", "END"] {
                let wrong = format!("{dash}{dash}{word} CERTIFICATE");
                let changed = certificate.replace(&format!("-----{word} CERTIFICATE"), &wrong);
                let said = read(&format!("{certificate}{changed}")).unwrap_err();
                assert!(
                    said.contains("looks like a BEGIN or END line"),
                    "{wrong}: {said}"
                );
            }
        }
    }

    #[test]
    fn each_byte_is_base64_or_an_error() {
        let (head, body) = PEM.0.split_at(PEM.0.find('\n').unwrap() + 1);
        for byte in (0..=255_u8).filter(|byte| !b"\r\n:".contains(byte)) {
            let changed = [head.as_bytes(), &[byte], body.as_bytes()].concat();
            let said = match certificates(&changed) {
                Ok(_) => String::new(),
                Err(fault) => fault.what,
            };
            let is_base64 = byte.is_ascii_alphanumeric() || b"+/= \t\x0c".contains(&byte);
            assert_eq!(
                !said.contains("not Base64, which is expected"),
                is_base64,
                "{byte:#x}: {said}"
            );
        }
    }

    #[test]
    fn utf_16_is_named_whichever_end_comes_first() {
        for mark in [b"\xff\xfe", b"\xfe\xff"] {
            let fault = certificates(&[&mark[..], PEM.0.as_bytes()].concat())
                .map(drop)
                .unwrap_err();
            assert!(fault.what.contains("UTF-16"), "{fault:?}");
        }
    }
}
