use super::*;
use rcgen::{CertificateParams, KeyPair};
use std::path::Path;
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
        (String::new(), None, "holds no private key"),
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
