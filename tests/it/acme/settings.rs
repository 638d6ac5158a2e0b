//! What `check` and the start say about the settings, and about the folder of the state.

use super::{
    ALERT, NOWHERE, authority_folder, config_without_authority, keep, keep_certificate, state,
};
use crate::support::{Edit as _, Origin, Pki, Proxy, Sender};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

fn check(pki: &Pki, config: &str) -> (Option<i32>, String, String) {
    let path = Proxy::write(pki, config);
    let output = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .args(["check", "--config"])
        .arg(path)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn check_says_what_will_be_ordered_and_orders_nothing() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let (code, said, warned) = check(&pki, &config_without_authority(&origin));
    assert_eq!(code, Some(0), "{warned}");
    assert!(
        said.contains(
            "for hooks.example, other.example, by ACME from https://127.0.0.1:1/directory"
        ),
        "{said}"
    );
    // Authorities connect to port 443 alone.
    assert!(warned.contains("port 443"), "{warned}");
    assert!(!state(&pki).exists());
    let (_, _, warned) = check(
        &pki,
        &config_without_authority(&origin).edit("127.0.0.1:0", "127.0.0.1:443"),
    );
    assert!(!warned.contains("port 443"), "{warned}");
}

#[test]
fn a_folder_that_others_can_use_is_not_used() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let config = config_without_authority(&origin);
    keep(&pki, "x", b"");
    std::fs::set_permissions(state(&pki), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (code, _, said) = check(&pki, &config);
    assert_eq!(code, Some(0));
    assert!(
        said.contains("is open to other users") && said.contains("chmod 700"),
        "{said}"
    );
    let mut proxy = Proxy::start(&pki, &config);
    assert_eq!(proxy.wait().code(), Some(1));
    proxy.wait_for_log("is open to other users");
    std::fs::set_permissions(state(&pki), std::fs::Permissions::from_mode(0o700)).unwrap();
    let proxy = Proxy::spawn(&pki, &config);
    // A reload that would use such a folder is not applied.
    std::fs::create_dir_all(pki.path().join("open/acme")).unwrap();
    let line = proxy.refuses_to_reload(&config.edit("state = \"state\"", "state = \"open\""));
    assert!(line.contains("is open to other users"), "{line}");
}

#[test]
fn a_certificate_that_is_kept_is_presented_whatever_the_authority_does() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    keep_certificate(&pki);
    let proxy = Proxy::spawn(&pki, &config_without_authority(&origin));
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    assert_eq!(sender.post(ALERT).status, 200);
    drop(proxy);
    // A file that is broken: the one before it.
    let [broken, previous] = ["certificate", "previous"]
        .map(|name| format!("{}/hooks.example/{name}.pem", authority_folder(NOWHERE)));
    let file = std::fs::read(state(&pki).join(&broken)).unwrap();
    keep(&pki, &broken, b"broken");
    keep(&pki, &previous, &file);
    let proxy = Proxy::spawn(&pki, &config_without_authority(&origin));
    proxy.wait_for_event("acme_state_unreadable");
    assert_eq!(
        Sender::to(&proxy, Some(&pki.netdata())).post(ALERT).status,
        200
    );
}
