//! The commands of the manual's page about delivery: each of them works as it stands there.

use super::{Scene, program};
use crate::queue::alert;
use crate::support::{Origin, page};
use regex::Regex;
use rusqlite::Connection;
use std::path::Path;
use std::process::Command;

/// The ids of the page: two that wait, and one that is parked.
const IDS: [i64; 3] = [17, 18, 21];

/// The commands of the page, in its order: lines of blocks, and code in sentences.
fn documented() -> Vec<String> {
    let command = r"(?m)^ *netdata-webhook-proxy ((?:queue|send) .*)$|`(?:netdata-webhook-proxy |podman exec netdata-webhook-proxy )*(queue [a-z][^`\n]*)`";
    let found = Regex::new(command).unwrap();
    let found = found.captures_iter(page("delivery"));
    let texts = found.filter_map(|found| found.get(1).or(found.get(2)));
    let mut commands: Vec<String> = Vec::new();
    for text in texts {
        let text = text.as_str().replace("ID…", "17 18").replace("ID", "17");
        // `storage::recovery` tries what recovers a file.
        if !commands.contains(&text) && !text.contains("recovered") {
            commands.push(text);
        }
    }
    commands
}

/// Copies the file of a queue that no process uses, with the ids of the page.
fn template(scene: &Scene) -> String {
    let path = scene.directory.path().join("template.db");
    // A process that ends may leave its latest changes in the log beside the file.
    let original = Connection::open(scene.file()).unwrap();
    original.execute("vacuum into ?", [path.to_str()]).unwrap();
    let database = Connection::open(&path).unwrap();
    for (from, to) in (1..).zip(IDS) {
        let change = "update notification set id = ? where id = ?";
        assert_eq!(database.execute(change, [to, from]), Ok(1));
    }
    let park = "update notification set parked = 'poison' where id = 21";
    assert_eq!(database.execute(park, []), Ok(1));
    path.to_str().unwrap().to_owned()
}

/// Makes the contents of the file those of the template.
fn reset(file: &Path, template: &str) {
    let database = Connection::open(file).unwrap();
    database
        .busy_timeout(std::time::Duration::from_secs(5))
        .unwrap();
    database
        .execute("attach ? as template", [template])
        .unwrap();
    let contents = "begin immediate; delete from notification;
        insert into notification select * from template.notification; commit";
    database.execute_batch(contents).unwrap();
}

#[test]
fn every_command_of_the_manual_works_beside_a_proxy_and_without_one() {
    let commands = documented();
    for verb in ["list", "show", "retry", "park", "drop", "export"] {
        let prefix = format!("queue {verb}");
        assert!(
            commands.iter().any(|command| command.starts_with(&prefix)),
            "{verb}"
        );
    }
    let mut scene =
        Scene::waiting(&["critical", "clear", "warning"].map(|state| alert("n", state)));
    scene.end();
    let (template, receiver) = (template(&scene), Origin::spawn());
    for is_running in [false, true] {
        if is_running {
            scene.start();
        }
        for command in &commands {
            reset(&scene.file(), &template);
            let command = command.replace("http://127.0.0.1:4000", &receiver.url);
            let output = Command::new("sh")
                .args(["-euc", &format!("\"$0\" {command}")])
                .arg(program().get_program())
                .env("NETDATA_WEBHOOK_PROXY_CONFIG", &scene.proxy.config)
                .current_dir(&scene.directory)
                .output()
                .unwrap();
            assert!(output.status.success(), "{command}: {output:?}");
        }
        let exported = "send file notifications.jsonl";
        assert!(commands.iter().any(|command| command.starts_with(exported)));
        assert_eq!(
            receiver.received().len(),
            IDS.len() * (1 + usize::from(is_running))
        );
    }
    scene.origin.received_nothing();
}
