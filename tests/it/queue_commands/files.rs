//! The file: another one is left as it is, and how the configuration names it.

use super::{Scene, err, program, queue_of};
use crate::queue::alert;
use crate::support::Edit as _;
use rusqlite::Connection;
use std::fs;

const COMMANDS: [&[&str]; 4] = [
    &["list"],
    &["show", "1"],
    &["retry", "--all"],
    &["drop", "1"],
];

#[test]
fn a_file_that_is_not_there_is_not_made() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("queue.db");
    for command in COMMANDS {
        let output = queue_of(&missing, command);
        assert_eq!(output.status.code(), Some(1));
        assert!(err(&output).contains("No such file"), "{}", err(&output));
    }
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
}

#[test]
fn a_newer_file_is_refused_and_left_as_it_is() {
    let mut scene = Scene::waiting(&[alert("n", "critical")]);
    scene.end();
    let newer = Connection::open(scene.file()).unwrap();
    newer.pragma_update(None, "user_version", 2).unwrap();
    newer.pragma_update(None, "journal_mode", "delete").unwrap();
    drop(newer);
    let before = fs::read(scene.file()).unwrap();
    for command in COMMANDS {
        let output = scene.queue(command).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = err(&output);
        assert!(
            said.contains("written by a newer version of this program"),
            "{said}"
        );
    }
    assert_eq!(fs::read(scene.file()).unwrap(), before);
}

#[test]
fn a_file_of_something_else_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    for version in [0, 1] {
        let file = directory.path().join(format!("{version}.db"));
        let other = Connection::open(&file).unwrap();
        other.execute_batch("create table mine (it)").unwrap();
        other.pragma_update(None, "user_version", version).unwrap();
        drop(other);
        let before = fs::read(&file).unwrap();
        for command in COMMANDS {
            let output = queue_of(&file, command);
            assert_eq!(output.status.code(), Some(1));
            assert!(
                err(&output).contains("is not the file of a queue"),
                "{}",
                err(&output)
            );
        }
        assert_eq!(fs::read(&file).unwrap(), before);
    }
    let text = directory.path().join("notes.txt");
    fs::write(&text, "these are notes, and have never been a database").unwrap();
    let output = queue_of(&text, &["list"]);
    assert!(
        err(&output).contains("is not a database"),
        "{}",
        err(&output)
    );
}

#[test]
fn the_configuration_names_the_file_or_the_arguments_do() {
    let mut scene = Scene::waiting(&[alert("n", "critical")]);
    scene.end();
    let config = fs::read_to_string(&scene.proxy.config).unwrap();
    let path = format!("path = {:?}\n", scene.file());
    // What the rest of the configuration is does not matter.
    fs::write(&scene.proxy.config, config.edit("[tls]", "[nonsense]")).unwrap();
    assert_eq!(scene.ids(&[]), [1]);
    let without = config.edit(&format!("[queue]\n{path}"), "");
    fs::write(&scene.proxy.config, without).unwrap();
    let output = scene.queue(&["list"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("has no [queue]"), "{}", err(&output));
    // As in a service of systemd, and outside of it.
    fs::write(&scene.proxy.config, config.edit(&path, "")).unwrap();
    let mut in_service = scene.queue(&["list"]);
    in_service.env("STATE_DIRECTORY", scene.directory.path());
    assert!(in_service.output().unwrap().status.success());
    let output = scene
        .queue(&["list"])
        .env_remove("STATE_DIRECTORY")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = err(&output);
    assert!(
        said.contains("queue.path") && said.contains("--file"),
        "{said}"
    );
    let listed = queue_of(&scene.file(), &["list", "--json"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("n-critical"));
    for arguments in [
        ["queue", "-c", "/missing.toml", "list"],
        ["queue", "list", "-c", "/missing.toml"],
    ] {
        let missing = program().args(arguments).output().unwrap();
        assert_eq!(missing.status.code(), Some(2));
        assert!(
            err(&missing).contains("/missing.toml: "),
            "{}",
            err(&missing)
        );
    }
}
