//! The folder of the state when it cannot be written, or will not last.

use super::{ALERT, config};
use crate::support::{
    Disk, Edit as _, Operator, Origin, Pebble, Pki, Proxy, Sender, eventually, skip,
};
use std::fs;
use std::io::Write as _;

const PROGRAM: &str = env!("CARGO_BIN_EXE_netdata-webhook-proxy");

#[test]
fn a_full_disk_orders_nothing_and_says_so() {
    let (pki, origin) = (Pki::new(), Origin::spawn_apart());
    let disk = match Disk::tmpfs(1) {
        Ok(disk) => disk,
        Err(error) => return skip(&format!("there can be no small disk here: {error}")),
    };
    let Some(pebble) = Pebble::start(&pki) else {
        return;
    };
    let config = config(&pebble, &origin)
        .edit(
            "state = \"state\"",
            &format!("state = {:?}", disk.path("state")),
        )
        .edit("[tls]", "[admin]\nlisten = \"127.0.0.1:0\"\n[tls]");
    let filler = disk.path_from_here("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    let path = Proxy::write(&pki, &config);
    let mut command = disk.command(PROGRAM);
    command.args(["run", "--config"]).arg(&path);
    let proxy = Proxy::run(command, &path);
    let line = proxy.wait_for_event("acme_state_failed");
    assert!(line.contains("No space left on device"), "{line}");
    let operator = Operator::of(&proxy);
    let told = |text: &str| operator.get("/").body.contains(text);
    eventually("the finding", || {
        told("nothing is ordered: No space left on device").then_some(())
    });
    assert!(
        told("is lost with the container"),
        "{}",
        operator.get("/").body
    );
    assert_eq!(pebble.requests(""), 0);
    // There is room again, and a reload says so.
    drop(file);
    fs::remove_file(filler).unwrap();
    proxy.signal("HUP");
    proxy.wait_for_event("acme_certificate_installed");
    assert_eq!(
        Sender::to(&proxy, Some(&pki.netdata())).post(ALERT).status,
        200
    );
    eventually("the end of the finding", || {
        (!told("No space left")).then_some(())
    });
    let checked = disk
        .command(PROGRAM)
        .arg("check")
        .arg(&path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(said.contains("put it on a volume"), "{said}");
}
