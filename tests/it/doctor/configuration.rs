//! What a configuration says is expected.

use super::{Kit, doctor, run, url};
use crate::support::{Edit as _, Origin, Proxy, WEBHOOK};

/// A configuration that a running proxy has, with the port that it got.
fn with_port(kit: &Kit, proxy: &Proxy, config: &str) -> String {
    let config = config.edit("127.0.0.1:0", &proxy.address(0).to_string());
    kit.pki
        .write("running.toml", &config)
        .to_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_configuration_says_what_to_expect() {
    let (kit, origin) = (Kit::new(), Origin::spawn());
    let second = format!(
        "[[routes]]\npath = \"/second/*\"\nupstream = \"{}\"\n",
        origin.url
    );
    let config = Proxy::config(&origin, "require", &second);
    let proxy = Proxy::spawn(&kit.pki, &config);
    let path = with_port(&kit, &proxy, &config);
    let ca = kit.file("ca.pem");
    let (certificate, key) = (kit.file("netdata.pem"), kit.file("netdata.key"));
    let whole = [
        "--config",
        &path,
        "--server-ca",
        &ca,
        "--certificate",
        &certificate,
        "--key",
        &key,
    ];
    let output = run(&whole);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for url in [
        url(proxy.address(0)),
        url(proxy.address(0)).edit(WEBHOOK, "/second/"),
    ] {
        assert!(text.lines().any(|line| line == url), "{url} in {text}");
    }
    assert_eq!(
        text.matches("pass  chain").count(),
        1,
        "the listener is examined once: {text}"
    );
    assert_eq!(
        text.matches("no certificate").count(),
        2,
        "each path is: {text}"
    );
    assert!(
        text.contains("300 s, according to the configuration") && text.contains("right, after"),
        "{text}"
    );
    assert!(
        text.contains("this route has no challenge_secret"),
        "{text}"
    );
    // The system does not know the authority; a URL with a configuration is what is outside.
    let found = doctor(&["--config", &path]);
    assert_eq!(found.code, 1);
    let found = doctor(&[&[url(proxy.address(0)).as_str()][..], &whole].concat());
    found
        .has("challenge", "pass", "right")
        .has("client certificate", "pass", "Test Root CA");
    let elsewhere = url(proxy.address(0)) + "/elsewhere";
    assert_eq!(run(&[&elsewhere, "--config", &path]).status.code(), Some(2));
    origin.received_nothing();
}

#[test]
fn a_configuration_that_differs_from_the_running_process_is_found() {
    let (kit, origin) = (Kit::new(), Origin::spawn());
    let config = Proxy::config(&origin, "request", "");
    let proxy = Proxy::spawn(&kit.pki, &config);
    let ca = kit.file("ca.pem");
    let [certificate, key] = ["netdata.pem", "netdata.key"].map(|name| kit.file(name));
    let examine = |config: &str| {
        let path = with_port(&kit, &proxy, config);
        doctor(&[
            "--config",
            &path,
            "--server-ca",
            &ca,
            "--certificate",
            &certificate,
            "--key",
            &key,
        ])
    };
    examine(&config).not_passed(&["name"]);
    examine(&config.edit("\"ca.pem\"", "\"builtin:netdata\"")).has(
        "client certificate",
        "fail",
        "Netdata",
    );
    examine(&(config.clone() + "[limits]\nidle_timeout = \"60s\"\n")).has(
        "idle timeout",
        "fail",
        "60 s",
    );
    examine(&(config.clone() + "[limits]\nidle_timeout = \"90s\"\n")).has(
        "idle timeout",
        "fail",
        "90 s",
    );
    kit.pki.write("other.secret", "another secret than that\n");
    examine(&config.edit("challenge.secret", "other.secret")).has(
        "challenge",
        "fail",
        "another secret",
    );
    let off = config.edit("verify = \"request\"", "verify = \"off\"") + "auth = \"none\"\n";
    examine(&off)
        .has("client certificate", "warn", "not intended")
        .has("no credentials", "warn", "auth = \"none\"");
    drop(proxy);
    let path = kit.file("running.toml");
    doctor(&["--config", &path]).has("port", "fail", "Connection refused");
}

#[test]
fn a_listener_behind_a_balancer_is_examined_as_far_as_it_goes() {
    let (kit, origin) = (Kit::new(), Origin::spawn());
    let more = "[routes.auth]\nclient_certificate = false\nbearer = [{ token = { file = \"challenge.secret\" } }]\n";
    let plain = Proxy::config(&origin, "off", more).edit("https = ", "http = ");
    let proxy = Proxy::spawn(&kit.pki, &plain);
    let found = doctor(&["--config", &with_port(&kit, &proxy, &plain)]);
    found
        .has("certificate", "warn", "the URL is not encrypted")
        .has("challenge", "pass", "right")
        .has("clock", "pass", "");
    found.has("no credentials", "pass", "401");
    // A proxy that wants a PROXY protocol header gets one.
    let header =
        "https = \"127.0.0.1:0\"\nproxy_protocol = true\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let config = Proxy::config(&origin, "require", "").edit("https = \"127.0.0.1:0\"", header);
    let proxy = Proxy::spawn(&kit.pki, &config);
    let path = with_port(&kit, &proxy, &config);
    let found = doctor(&["--config", &path, "--server-ca", &kit.file("ca.pem")]);
    found
        .has("chain", "pass", "")
        .has("no certificate", "pass", "TLS alert")
        .has("old TLS versions", "pass", "");
}
