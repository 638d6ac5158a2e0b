//! The identity of `send`: credentials that are never shown, and a temporary certificate.

use super::{SECRET, Scene, command, run, said, url};
use crate::support::{Application, Origin, Pki, Proxy};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

#[test]
fn credentials_come_from_files_and_the_environment_and_are_shown_nowhere() {
    const PASSWORD: &str = "pa:ss wörd";
    const TOKEN: &str = "t0ken.t0ken-t0ken";
    let basic = "[routes.auth]\nbasic = [{ username = \"netdata\", password = { file = \"basic.secret\" } }]\n\
                 bearer = [{ token = { file = \"bearer.secret\" } }]\n";
    let (pki, origin) = (Pki::new(), Origin::spawn());
    pki.write_leaf("netdata", &pki.netdata());
    pki.write("basic.secret", &format!("{PASSWORD}\n"));
    pki.write("bearer.secret", TOKEN);
    pki.write("wrong.secret", "wr0ng-s3cret");
    let route = format!("forward_authorization = true\n{basic}");
    let proxy = Proxy::in_front_of(&origin, &pki, "require", &route);
    let scene = Scene { pki, origin, proxy };
    let [password, token, wrong, challenge] = [
        "basic.secret",
        "bearer.secret",
        "wrong.secret",
        "challenge.secret",
    ]
    .map(|name| scene.file(name));
    let send = |arguments: &[&str], code: i32| {
        let words = scene.arguments(arguments);
        for format in ["--json", "--timeout=9"] {
            let words: Vec<_> = words
                .iter()
                .map(|word| if word == "--json" { format } else { word })
                .collect();
            let mut command = command(&words);
            command
                .env("PASSWORD", PASSWORD)
                .env("TOKEN", TOKEN)
                .env("WRONG", "wr0ng-s3cret")
                .env("SECRET", SECRET);
            let said = said(command.output().unwrap()).ends_with(code);
            for secret in [
                PASSWORD,
                TOKEN,
                "wr0ng-s3cret",
                SECRET,
                "bmV0ZGF0YTpwYTpzcyB3w7ZyZA",
                "h1dden",
            ] {
                assert!(
                    !said.out.contains(secret) && !said.err.contains(secret),
                    "{arguments:?}: {said:?}"
                );
            }
        }
    };
    send(
        &["alert", "--basic", "netdata", "--password-file", &password],
        0,
    );
    assert_eq!(
        scene.last().header("Authorization"),
        "Basic bmV0ZGF0YTpwYTpzcyB3w7ZyZA=="
    );
    send(
        &["alert", "--basic", "netdata", "--password-env", "PASSWORD"],
        0,
    );
    send(&["alert", "--bearer-file", &token], 0);
    assert_eq!(
        scene.last().header("Authorization"),
        format!("Bearer {TOKEN}")
    );
    send(
        &["alert", "--bearer-env", "TOKEN", "-H", "X-Key: h1dden"],
        0,
    );
    assert_eq!(scene.last().header("X-Key"), "h1dden");
    assert_eq!(scene.origin.received().len(), 8);
    send(&["alert", "--bearer-file", &wrong], 1);
    send(&["alert", "--bearer-env", "WRONG"], 1);
    send(
        &["alert", "--basic", "netdata", "--password-env", "WRONG"],
        1,
    );
    send(&["challenge", "--secret-file", &challenge], 0);
    send(&["challenge", "--secret-env", "SECRET"], 0);
    send(&["challenge", "--secret-file", &wrong], 1);
    // What cannot be sent is not shown either.
    for wrong in ["wr0ng-s3cret\nX: y", "wr0ng-s3cret\u{1}"] {
        scene.pki.write("wrong.secret", wrong);
        send(&["alert", "--bearer-file", &scene.file("wrong.secret")], 2);
    }
    send(&["alert", "-H", "Authorization: Bearer h1dden"], 2);
    send(&["alert", "-H", "X-Key: h1dden\r\nY: z"], 2);
    assert_eq!(scene.origin.received().len(), 8);
    let refused = scene
        .send(&["alert"])
        .ends_with(1)
        .all("refused", "authorization_missing", 1);
    assert!(
        refused["advice"]
            .as_str()
            .unwrap()
            .contains("--bearer-file"),
        "{refused:#}"
    );
}

#[test]
fn headers_go_before_what_is_usual() {
    let origin = Origin::spawn();
    let headers = [
        "-H",
        "user-agent: mine",
        "-H",
        "X-A: 1",
        "-H",
        "X-A:2",
        "-H",
        "Content-Type: text/json",
    ];
    run(&[&["alert", &origin.url][..], &headers].concat()).ends_with(0);
    let received = origin.received_one();
    assert_eq!(
        (
            received.header("User-Agent"),
            received.header("Content-Type")
        ),
        ("mine", "text/json")
    );
    assert_eq!(received.all("X-A"), ["1", "2"]);
}

#[test]
fn a_server_that_sends_credentials_back_has_them_shown_to_nobody() {
    let application = Application::listen();
    let url = application.url.clone();
    let sender = std::thread::spawn(move || {
        let arguments = [
            "alert",
            &url,
            "--bearer-env",
            "TOKEN",
            "-H",
            "X-Key: h1dden-key",
            "--json",
        ];
        said(
            command(&arguments)
                .env("TOKEN", "t0ken-t0ken")
                .output()
                .unwrap(),
        )
    });
    let mut visit = application.accept();
    let head = visit.head();
    visit.rest().unwrap();
    assert!(
        head.contains("t0ken-t0ken") && head.contains("h1dden-key"),
        "{head}"
    );
    visit.answer(&head);
    let said = sender.join().unwrap().ends_with(0);
    assert!(
        said.out.contains("Bearer ***")
            && !said.out.contains("t0ken")
            && !said.out.contains("h1dden"),
        "{said:?}"
    );
}

#[test]
fn a_throw_away_certificate_works_where_it_is_trusted_and_nowhere_else() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let config = Proxy::config(&origin, "require", "");
    let proxy = Proxy::spawn(&pki, &config);
    let directory = pki.path().join("throw away");
    let made = run(&["certificate", directory.to_str().unwrap()]).ends_with(0);
    let file = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let mut files: Vec<_> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    files.sort();
    assert_eq!(
        files,
        ["ca.pem", "netdata.key", "netdata.pem"],
        "the authority's key is not kept"
    );
    assert!(!made.out.contains("PRIVATE"), "{made:?}");

    let (address, ca) = (url(proxy.address(0)), pki.path().join("ca.pem"));
    let send = |name: &str| {
        let (cert, key) = (file(&format!("{name}.pem")), file(&format!("{name}.key")));
        run(&[
            "alert",
            &address,
            "--ca",
            ca.to_str().unwrap(),
            "--cert",
            &cert,
            "--key",
            &key,
            "--json",
        ])
    };
    let refused = send("netdata")
        .ends_with(1)
        .all("refused", "tls_unknown_ca", 1);
    assert!(
        refused["advice"]
            .as_str()
            .unwrap()
            .contains("tls.client.ca"),
        "{refused:#}"
    );
    origin.received_nothing();
    // What it says is to be done is what works.
    let say = |what: &str| {
        made.out
            .lines()
            .find(|line| line.contains(what))
            .unwrap()
            .trim()
    };
    let install =
        say("install ").replace("/etc/netdata-webhook-proxy", pki.path().to_str().unwrap());
    assert!(
        Command::new("sh")
            .args(["-c", &install])
            .status()
            .unwrap()
            .success(),
        "{install}"
    );
    let line = say("ca = [");
    proxy.reload(&config.replace("ca = \"ca.pem\"", line));
    send("netdata").ends_with(0);
    assert_eq!(
        origin.received_one().header("X-Netdata-Client-CN"),
        "app.netdata.cloud"
    );

    let again = run(&["certificate", directory.to_str().unwrap()]).ends_with(2);
    assert!(again.err.contains("ca.pem exists already"), "{again:?}");
    let other = pki.path().join("other");
    run(&[
        "certificate",
        other.to_str().unwrap(),
        "--common-name",
        "evil.example",
    ])
    .ends_with(0);
    let line = format!("ca = [{:?}]", other.join("ca.pem"));
    proxy.reload(&config.replace("ca = \"ca.pem\"", &line));
    for name in ["netdata.pem", "netdata.key"] {
        std::fs::rename(
            other.join(name),
            directory.join(name.replace("netdata", "evil")),
        )
        .unwrap();
    }
    send("evil")
        .ends_with(1)
        .all("refused", "common_name_mismatch", 1);
    send("netdata")
        .ends_with(1)
        .all("refused", "tls_decrypt_error", 1);
    assert_eq!(origin.received().len(), 1);
}

#[test]
fn the_user_of_a_proxy_can_read_an_authority_and_nobody_else_a_key() {
    let directory = tempfile::tempdir().unwrap();
    let mode = |name: &str| {
        std::fs::metadata(directory.path().join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    for umask in ["077", "000"] {
        let sender = format!("a/{umask}");
        let mut shell = Command::new("sh");
        let script = format!("umask {umask}; exec \"$0\" send certificate {sender}");
        shell.current_dir(&directory).args([
            "-c",
            &script,
            env!("CARGO_BIN_EXE_netdata-webhook-proxy"),
        ]);
        said(shell.output().unwrap()).ends_with(0);
        let modes = ["", "/ca.pem", "/netdata.pem", "/netdata.key"]
            .map(|name| mode(&format!("{sender}{name}")));
        assert_eq!(
            (mode("a"), modes),
            (0o755, [0o755, 0o644, 0o644, 0o600]),
            "{umask}"
        );
    }
}
