//! NGINX and Apache, with mistakes that are easily made in their configurations.

use super::{Diagnosis, Kit};
use crate::support::{Peer, Pki, Stage, is_installed};
use std::fs;

/// What stands in a file of a site.
pub(super) fn stage(kit: &Kit, file: &str, text: &str) -> Stage {
    let sample = tempfile::tempdir().unwrap();
    let path = sample.path().join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    Stage::of(sample.path(), &kit.pki, &[])
}

fn nginx(kit: &Kit, servers: &str) -> Option<(Stage, Peer)> {
    const FILE: &str = "etc/nginx/conf.d/hooks.conf";
    is_installed("nginx", "nginx", "").then(|| {
        let stage = stage(kit, FILE, servers);
        let peer = Peer::nginx(&stage, FILE);
        (stage, peer)
    })
}

fn apache(kit: &Kit, site: &str) -> Option<(Stage, Peer)> {
    const FILE: &str = "etc/apache2/sites-enabled/hooks.conf";
    is_installed("apache2", "apache2", "/usr/lib/apache2/modules/mod_ssl.so").then(|| {
        let stage = stage(kit, FILE, site);
        let peer = Peer::apache(&stage, FILE);
        (stage, peer)
    })
}

pub(super) fn https(peer: &Peer) -> String {
    format!("https://{}/", peer.address(443))
}

/// A server of NGINX, with what differs.
fn nginx_server(more: &str) -> String {
    format!(
        "server {{\n    listen 443 ssl;\n    ssl_certificate /etc/nginx/tls/server.pem;\n    \
         ssl_certificate_key /etc/nginx/tls/server.key;\n    ssl_client_certificate /etc/nginx/tls/ca.pem;\n    {more}\n    \
         location / {{ return 200 \"accepted\"; }}\n}}\n"
    )
}

/// A site of Apache, with what differs.
fn apache_site(more: &str) -> String {
    format!(
        "<VirtualHost *:443>\n    SSLEngine on\n    SSLCertificateFile /etc/apache2/tls/server.pem\n    \
         SSLCertificateKeyFile /etc/apache2/tls/server.key\n    SSLCACertificateFile /etc/apache2/tls/ca.pem\n    {more}\n\
         </VirtualHost>\n"
    )
}

#[track_caller]
fn lets_strangers_in(found: &Diagnosis) {
    found.has("no certificate", "pass", "403").has(
        "forged certificate",
        "fail",
        "one of an unrelated authority",
    );
    found.has("forged certificate", "fail", "one that signed itself");
    // OpenSSL takes it for one whose issuer it does not know, though the issuer's name is right.
    found.has(
        "forged certificate",
        "fail",
        "one of an authority with the right name and another key identifier",
    );
}

#[test]
fn nginx_that_forgives_unknown_authorities_is_found() {
    let kit = Kit::new();
    let server = nginx_server(
        "ssl_verify_client optional_no_ca;\n    if ($ssl_client_s_dn !~ \"CN=app.netdata.cloud\") { return 403; }",
    );
    let Some((_stage, peer)) = nginx(&kit, &server) else {
        return;
    };
    lets_strangers_in(&kit.examine(&https(&peer), &[]));
}

#[test]
fn apache_that_forgives_unknown_authorities_is_found() {
    let kit = Kit::new();
    let site = apache_site(
        "SSLVerifyClient optional_no_ca\n    <Location \"/\">\n        Require expr %{SSL_CLIENT_S_DN_CN} == \
         'app.netdata.cloud'\n    </Location>",
    );
    let Some((_stage, peer)) = apache(&kit, &site) else {
        return;
    };
    lets_strangers_in(&kit.examine(&https(&peer), &[]));
}

#[test]
fn what_nginx_says_to_the_wrong_scheme_or_certificate_is_understood() {
    let kit = Kit::new();
    let server = nginx_server("ssl_verify_client on;\n    listen 80;");
    let Some((_stage, peer)) = nginx(&kit, &server) else {
        return;
    };
    kit.pki
        .write_leaf("netdata", &Pki::of("Other CA").netdata());
    let found = kit.examine_whole(&https(&peer), &[]);
    found
        .has("no certificate", "pass", "400")
        .has("forged certificate", "pass", "400");
    found.has(
        "challenge",
        "fail",
        "does not trust the given certificate: it responded with 400",
    );
    let found = kit.examine(&format!("http://{}/", peer.address(443)), &[]);
    found.has("certificate", "fail", "this port speaks TLS");
    kit.examine(&format!("https://{}/", peer.address(80)), &[])
        .has("chain", "fail", "does not speak TLS");
}

#[test]
fn apache_that_asks_in_a_location_is_told_where_to_ask() {
    let kit = Kit::new();
    let site = apache_site("<Location \"/\">\n        SSLVerifyClient require\n    </Location>");
    let Some((_stage, peer)) = apache(&kit, &site) else {
        return;
    };
    let found = kit.examine(&https(&peer), &[]);
    found.has("client certificate", "fail", "does not request one");
    assert!(
        found.checks["client certificate"].2.contains("VirtualHost"),
        "{found:#?}"
    );
}
