//! The server's certificate, and the versions of TLS.

use super::{Kit, doctor, localhost, rightly, scripted, url};
use crate::support::{Leaf, MisconfiguredServer, Pki};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa};
use time::OffsetDateTime;

#[test]
fn wrong_server_certificates_are_found() {
    let kit = Kit::new();
    let now = OffsetDateTime::now_utc();
    let days = time::Duration::days;
    let examine = |leaf: &Leaf| {
        kit.examine_whole(
            &url(MisconfiguredServer::new(&kit.pki)
                .shows(leaf)
                .answers(rightly)
                .spawn()),
            &[],
        )
    };

    let expired = kit.server(|params| params.not_after = now - days(1));
    let found = examine(&expired);
    found
        .has("certificate validity", "fail", "expired on")
        .not_passed(&["certificate validity", "idle timeout", "name"]);
    let early = kit.server(|params| params.not_before = now + days(1));
    examine(&early).has("certificate validity", "fail", "is not valid before");
    let soon = kit.server(|params| params.not_after = now + days(5) - time::Duration::hours(1));
    assert_eq!(
        examine(&soon)
            .has("certificate validity", "warn", "expires in 4 days")
            .code,
        0
    );

    let other = kit.server(|params| {
        params.subject_alt_names = CertificateParams::new(["other.example".to_owned()])
            .unwrap()
            .subject_alt_names;
    });
    let found = examine(&other);
    found.has(
        "certificate name",
        "fail",
        "it is for other.example, not for localhost",
    );
    found.not_passed(&["certificate name", "idle timeout", "name"]);
    let nameless = kit.server(|params| params.subject_alt_names.clear());
    examine(&nameless).has("certificate name", "fail", "it is for no host");

    let client =
        kit.server(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    examine(&client).has("chain", "fail", "it is not for server authentication");
    let authority = kit.server(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    examine(&authority).has("chain", "fail", "of an authority (CA:TRUE), which strict");
}

#[test]
fn what_nobody_needs_may_have_expired() {
    let kit = Kit::new();
    let mut leaf = kit.server(|_| {});
    let old = kit.pki.leaf(|params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = OffsetDateTime::now_utc() - time::Duration::days(1);
    });
    leaf.chain.extend(old.chain);
    let found = kit.examine(
        &url(MisconfiguredServer::new(&kit.pki).shows(&leaf).spawn()),
        &[],
    );
    found.has("chain", "pass", "2 certificates sent").has(
        "certificate validity",
        "warn",
        "sent but not needed",
    );
}

#[test]
fn a_scheme_that_is_not_that_of_the_port_is_found() {
    let kit = Kit::new();
    let tls = MisconfiguredServer::new(&kit.pki)
        .optional_client_cert()
        .spawn();
    let found = kit.examine(&format!("http://localhost:{}/", tls.port()), &[]);
    found.has("certificate", "fail", "this port speaks TLS");
    let plain = scripted(|_| b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec());
    let found = kit.examine(&url(plain), &[]);
    found.has(
        "chain",
        "fail",
        "does not speak TLS, but the URL begins with https://",
    );
    assert_eq!(
        found.checks.len(),
        3,
        "nothing else can be found out: {found:#?}"
    );
}

#[test]
fn a_chain_that_is_not_whole_is_found() {
    let kit = Kit::new();
    let whole = kit.pki.below_for(2, |params| {
        params.subject_alt_names = localhost();
        params.extended_key_usages.clear();
    });
    let examine = |leaf: &Leaf| {
        kit.examine(
            &url(MisconfiguredServer::new(&kit.pki).shows(leaf).spawn()),
            &[],
        )
    };
    examine(&whole).has("chain", "pass", "3 certificates sent");
    for length in [1, 2] {
        let mut cut = whole.clone();
        cut.chain.truncate(length);
        let missing = ["Intermediate 1", "Intermediate 0"][length - 1];
        let found = examine(&cut);
        found
            .has("chain", "fail", "is missing")
            .has("chain", "fail", missing);
    }
    // An authority that only its owner trusts, and one that is missing.
    let address = MisconfiguredServer::new(&kit.pki).spawn();
    let ca = kit.file("ca.pem");
    doctor(&[&url(address), "--client-ca", &ca]).has("chain", "fail", "Test Root CA");
    let own = kit.pki.self_signed();
    examine(&own).has("chain", "fail", "is self-signed");
    let impostor = MisconfiguredServer::new(&Pki::new()).spawn();
    kit.examine(&url(impostor), &[]).has(
        "chain",
        "fail",
        "it names a trusted authority as its issuer, but has the signature of another key",
    );
}

#[test]
fn wrong_versions_are_found() {
    let kit = Kit::new();
    let speaks = |versions: &[_]| {
        kit.examine(
            &url(MisconfiguredServer::new(&kit.pki).speaks(versions).spawn()),
            &[],
        )
    };
    speaks(&[&rustls::version::TLS13]).has("TLS versions", "pass", "1.3 only");
    speaks(&[&rustls::version::TLS12]).has("TLS versions", "warn", "1.2 without 1.3");
    speaks(rustls::ALL_VERSIONS)
        .has("TLS versions", "pass", "")
        .has("old TLS versions", "pass", "neither");
}

fn server_hello(version: [u8; 2]) -> Vec<u8> {
    let body = [&version[..], &[7; 32], &[0], &[0xc0, 0x14], &[0]].concat();
    let handshake = [&[2, 0, 0, u8::try_from(body.len()).unwrap()], &body[..]].concat();
    [
        &[22][..],
        &version,
        &[0, u8::try_from(handshake.len()).unwrap()],
        &handshake,
    ]
    .concat()
}

#[test]
fn a_server_of_the_old_days_is_found() {
    for (version, name) in [([3, 1], "TLS 1.0"), ([3, 2], "TLS 1.1")] {
        let address = scripted(move |hello| {
            // Record: type, version, length. Handshake: type, length, version, random, session,
            // cipher suite, compression.
            assert_eq!((hello[0], hello[5]), (22, 1));
            server_hello(version)
        });
        let found = Kit::new().examine(&url(address), &[]);
        found.has("old TLS versions", "warn", name).has(
            "TLS versions",
            "fail",
            "neither 1.2 nor 1.3",
        );
        found.has("chain", "fail", "no TLS handshake").has(
            "no certificate",
            "warn",
            "unclear whether",
        );
    }
    // A server that does not know the name may warn first.
    let address = scripted(|_| [&[21, 3, 1, 0, 2, 1, 112][..], &server_hello([3, 1])].concat());
    Kit::new()
        .examine(&url(address), &[])
        .has("old TLS versions", "warn", "TLS 1.0");
    let closes = scripted(|_| Vec::new());
    Kit::new()
        .examine(&url(closes), &[])
        .has("old TLS versions", "skip", "does not speak TLS");
}
