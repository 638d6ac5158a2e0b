//! The variables of `set_headers` beside those of NGINX and Apache: an application is told the
//! same, to the letter.
//!
//! The faults: `$client_dn` had another form and order than `$ssl_client_s_dn`, `$client_serial`
//! another case than `$ssl_client_serial`, and `$host` the port that NGINX takes away; so what an
//! application compared failed. And a subject is of its holder's making: no line break in it may
//! begin a header.

use super::sample::{Imported, serve};
use crate::support::{
    Leaf, NETDATA, Origin, Peer, Pki, Received, Sender, Stage, is_installed, subject,
};
use rcgen::string::{BmpString, Ia5String, PrintableString, TeletexString, UniversalString};
use rcgen::{CertificateParams, DnType, DnValue, date_time_ymd};
use std::net::SocketAddr;

const ALERT: &str = include_str!("../bodies/nested-critical.json");

/// Variables of this program, of NGINX and of Apache, which is asked for those that it has.
const SAME: [(&str, &str, &str); 12] = [
    ("client_dn", "ssl_client_s_dn", "SSL_CLIENT_S_DN"),
    ("client_dn_legacy", "ssl_client_s_dn_legacy", ""),
    ("client_issuer_dn", "ssl_client_i_dn", "SSL_CLIENT_I_DN"),
    ("client_issuer_dn_legacy", "ssl_client_i_dn_legacy", ""),
    ("client_serial", "ssl_client_serial", "SSL_CLIENT_M_SERIAL"),
    ("client_cert", "ssl_client_escaped_cert", ""),
    ("client_not_after", "ssl_client_v_end", "SSL_CLIENT_V_END"),
    (
        "client_days_left",
        "ssl_client_v_remain",
        "SSL_CLIENT_V_REMAIN",
    ),
    ("client_verify", "ssl_client_verify", "SSL_CLIENT_VERIFY"),
    ("remote_addr", "remote_addr", "REMOTE_ADDR"),
    ("host", "host", ""),
    ("http_host", "http_host", "HTTP_HOST"),
];

/// Subjects of Netdata Cloud's name, with what else a certificate may hold.
fn subjects() -> Vec<Vec<(DnType, DnValue)>> {
    let utf8 = |text: &str| DnValue::Utf8String(text.into());
    let custom = |identifier: &[u64]| DnType::CustomDnType(identifier.to_vec());
    let own = || (DnType::CommonName, utf8(NETDATA));
    vec![
        vec![
            (DnType::CountryName, utf8("US")),
            (DnType::OrganizationName, utf8("Netdata")),
            own(),
        ],
        vec![
            own(),
            (
                DnType::OrganizationalUnitName,
                utf8(r#"a,b+c"d\e<f>g;h=i/j#k"#),
            ),
        ],
        vec![
            own(),
            (DnType::OrganizationName, utf8("#first")),
            (DnType::LocalityName, utf8(" blanks ")),
        ],
        vec![
            own(),
            (DnType::OrganizationName, utf8(" ")),
            (DnType::StateOrProvinceName, utf8("")),
        ],
        vec![
            own(),
            (
                DnType::OrganizationName,
                utf8("x\r\nX-Evil: 1\r\n\r\nGET / HTTP/1.1\0\t\x7f"),
            ),
        ],
        vec![
            (
                custom(&[0, 9, 2342, 19_200_300, 100, 1, 25]),
                DnValue::Ia5String(Ia5String::try_from("cloud").unwrap()),
            ),
            (
                custom(&[1, 2, 840, 113_549, 1, 9, 1]),
                DnValue::Ia5String(Ia5String::try_from("a@b.c").unwrap()),
            ),
            (
                custom(&[2, 5, 4, 5]),
                DnValue::PrintableString(PrintableString::try_from("0815").unwrap()),
            ),
            (custom(&[2, 5, 4, 4]), utf8("Surname")),
            (custom(&[2, 5, 4, 9]), utf8("Street 1")),
            (custom(&[2, 5, 4, 15]), utf8("Private Organization")),
            (custom(&[1, 3, 6, 1, 4, 1, 311, 60, 2, 1, 3]), utf8("US")),
            (custom(&[1, 3, 6, 1, 4, 1, 99_999, 7]), utf8("unknown")),
            own(),
        ],
        vec![
            own(),
            (
                DnType::OrganizationName,
                DnValue::TeletexString(TeletexString::try_from("Teletex").unwrap()),
            ),
            (
                DnType::LocalityName,
                DnValue::UniversalString(UniversalString::try_from("Universal, Inc.").unwrap()),
            ),
            (
                DnType::OrganizationalUnitName,
                DnValue::BmpString(BmpString::try_from("Bmp, Inc.").unwrap()),
            ),
        ],
    ]
}

/// What the application got.
fn told(origin: &Origin, address: SocketAddr, leaf: &Leaf) -> Received {
    let before = origin.received().len();
    let config = std::sync::Arc::new(crate::support::client_config(
        Some(leaf),
        rustls::ALL_VERSIONS,
    ));
    let mut connection = Sender { address, config }.connect().unwrap();
    let length = ALERT.len();
    let head = "POST /webhooks/netdata HTTP/1.1\r\nHost: LocalHost:8443\r\nContent-Type: application/json\r\n";
    connection
        .write(format!("{head}Content-Length: {length}\r\n\r\n{ALERT}").as_bytes())
        .unwrap();
    assert_eq!(connection.read().unwrap().status, 200);
    let received = origin.received().split_off(before);
    assert_eq!(
        received.len(),
        1,
        "one request, and no other that stood in a header"
    );
    received[0].clone()
}

/// The program and another server in front of one application, each of which tells it everything in
/// `X-` headers.
fn compare(
    origin: &Origin,
    theirs: SocketAddr,
    subjects: Vec<Vec<(DnType, DnValue)>>,
    has: impl Fn(&(&str, &str, &str)) -> bool,
) {
    let members: Vec<_> = SAME
        .iter()
        .map(|(own, ..)| format!("\"X-{}\" = \"${own}\"", own.replace('_', "-")))
        .collect();
    let ca = Pki::shared().path().join("ca.pem");
    let [certificate, key] =
        ["server.pem", "server.key"].map(|name| Pki::shared().path().join(name));
    let config = format!(
        "[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\ncertificate = {certificate:?}\nprivate_key = {key:?}\n[tls.client]\n\
         ca = {ca:?}\n[[routes]]\npath = \"/webhooks/netdata\"\nupstream = \"{}\"\nset_headers = {{ {} }}\n",
        origin.url,
        members.join(", ")
    );
    let stage = Stage::of(tempfile::tempdir().unwrap().path(), Pki::shared(), &[]);
    let ours = serve(
        &stage,
        &Imported {
            config,
            report: String::new(),
        },
    );
    for (number, attributes) in subjects.into_iter().enumerate() {
        let serial: &[u8] = [&[0x80, 0x0a, 0xff][..], &[0x0a, 0xbc], &[7]][number % 3];
        let change = |params: &mut CertificateParams| {
            params.distinguished_name = subject(&attributes);
            params.serial_number = Some(serial.to_vec().into());
            params.not_after = date_time_ymd(2049, 1, 5);
        };
        let leaf = Pki::shared().leaf(change);
        let [left, right] = [theirs, ours.address(0)].map(|address| told(origin, address, &leaf));
        for (own, ..) in SAME.iter().filter(|it| has(it)) {
            let name = format!("X-{}", own.replace('_', "-"));
            assert_eq!(right.all(&name), left.all(&name), "{own}: {attributes:?}");
        }
        assert!(right.all("X-Evil").is_empty() && left.all("X-Evil").is_empty());
        assert!(
            right.header("X-client-dn").contains("CN=app.netdata.cloud"),
            "{right:?}"
        );
        assert!(
            right
                .header("X-client-dn-legacy")
                .contains("/CN=app.netdata.cloud"),
            "{right:?}"
        );
    }
}

#[test]
fn an_application_is_told_what_nginx_told_it() {
    if !is_installed("nginx", "nginx", "") {
        return;
    }
    let origin = Origin::spawn().lenient();
    let set = |(own, theirs, _): &(&str, &str, &str)| {
        format!("proxy_set_header X-{} ${theirs};\n", own.replace('_', "-"))
    };
    let site = format!(
        "server {{\nlisten 443 ssl;\nssl_certificate a.pem;\nssl_certificate_key a.key;\nssl_client_certificate ca.pem;\n\
         ssl_verify_client on;\nlarge_client_header_buffers 8 32k;\nlocation / {{\nproxy_pass {};\n{}}}\n}}\n",
        origin.url,
        SAME.iter().map(set).collect::<String>()
    );
    let source = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(source.path().join("etc/nginx/conf.d")).unwrap();
    std::fs::write(source.path().join("etc/nginx/conf.d/site.conf"), site).unwrap();
    let stage = Stage::of(source.path(), Pki::shared(), &[]);
    let nginx = Peer::nginx(&stage, "etc/nginx/conf.d/site.conf");
    let mut subjects = subjects();
    // Apache leaves what is not ASCII as it is.
    subjects.push(vec![
        (DnType::CommonName, DnValue::Utf8String(NETDATA.into())),
        (
            DnType::LocalityName,
            DnValue::Utf8String("Zürich \u{1f514}".into()),
        ),
    ]);
    compare(&origin, nginx.address(443), subjects, |_| true);
}

#[test]
fn an_application_is_told_what_apache_told_it() {
    if !is_installed("apache2", "apache2-bin", "") {
        return;
    }
    let origin = Origin::spawn().lenient();
    let set = |(own, _, theirs): &(&str, &str, &str)| match *theirs {
        "" => String::new(),
        "REMOTE_ADDR" | "HTTP_HOST" => {
            format!(
                "RequestHeader set X-{} \"expr=%{{{theirs}}}\"\n",
                own.replace('_', "-")
            )
        }
        _ => format!(
            "RequestHeader set X-{} \"%{{{theirs}}}s\"\n",
            own.replace('_', "-")
        ),
    };
    let site = format!(
        "<VirtualHost *:443>\nServerName localhost\nSSLEngine on\nSSLCertificateFile a.pem\nSSLCertificateKeyFile a.key\n\
         SSLCACertificateFile ca.pem\nSSLVerifyClient require\nProxyPass / {}/\n{}</VirtualHost>\n",
        origin.url,
        SAME.iter().map(set).collect::<String>()
    );
    let source = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(source.path().join("etc/apache2/sites-enabled")).unwrap();
    std::fs::write(
        source.path().join("etc/apache2/sites-enabled/site.conf"),
        site,
    )
    .unwrap();
    let stage = Stage::of(source.path(), Pki::shared(), &[]);
    // Unlike those of NGINX, they stand below Apache's root.
    for name in ["a.pem", "a.key", "ca.pem"] {
        let from = match name {
            "a.pem" => "server.pem",
            "a.key" => "server.key",
            _ => name,
        };
        std::fs::copy(
            Pki::shared().path().join(from),
            stage.root().join("etc/apache2").join(name),
        )
        .unwrap();
    }
    let apache = Peer::apache(&stage, "etc/apache2/sites-enabled/site.conf");
    compare(&origin, apache.address(443), subjects(), |(.., theirs)| {
        !theirs.is_empty()
    });
}

#[test]
fn the_port_is_that_of_the_connection_and_the_host_has_none() {
    let origin = Origin::spawn().lenient();
    let members = "set_headers = { X-Port = \"$server_port\", X-Host = \"$host|$http_host\" }";
    let proxy = crate::support::Proxy::in_front_of(&origin, Pki::shared(), "require", members);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    for (host, expected) in [
        ("Hooks.Example:8443", "hooks.example|Hooks.Example:8443"),
        ("hooks.example.", "hooks.example|hooks.example."),
        ("[::1]:443", "[::1]|[::1]:443"),
        ("[::1]", "[::1]|[::1]"),
    ] {
        let mut connection = sender.connect().unwrap();
        let head = format!(
            "POST /webhooks/netdata HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n",
            ALERT.len()
        );
        connection
            .write(format!("{head}{ALERT}").as_bytes())
            .unwrap();
        assert_eq!(connection.read().unwrap().status, 200);
        let received = origin.received().pop().unwrap();
        assert_eq!(received.header("X-Host"), expected);
        assert_eq!(
            received.header("X-Port"),
            proxy.address(0).port().to_string()
        );
    }
}
