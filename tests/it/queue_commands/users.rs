//! Root beside a service that runs as another user: the files stay the service's.

use super::{Scene, program};
use crate::queue::{alert, receives};
use crate::support::{OTHER_USER, Proxy, as_other_user, give, is_root, skip};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// The service with the configuration at this path.
fn service(config: &Path) -> Proxy {
    let mut command = as_other_user(program().get_program());
    command.args(["run", "--config"]).arg(config);
    Proxy::run(command, config)
}

/// Every file of the queue is the user's, and for the user alone.
#[track_caller]
fn are_theirs(scene: &Scene) {
    for entry in fs::read_dir(scene.directory.path()).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        let found = (metadata.uid(), metadata.permissions().mode() & 0o777);
        assert_eq!(found, (OTHER_USER, 0o600), "{:?}", entry.file_name());
    }
}

#[test]
fn commands_of_root_leave_the_files_to_the_service() {
    if !is_root() {
        return skip("a service of another user, which only root can start");
    }
    let alerts = ["n", "m", "o", "p"].map(|node| alert(node, "critical"));
    let mut scene = Scene::waiting(&alerts);
    scene.end();
    // The service reads its configuration from a directory of its own.
    let own = tempfile::tempdir().unwrap();
    let from = scene.proxy.config.parent().unwrap();
    for name in ["server.pem", "server.key", "ca.pem", "challenge.secret"] {
        fs::copy(from.join(name), own.path().join(name)).unwrap();
    }
    let config = own.path().join("config.toml");
    fs::copy(&scene.proxy.config, &config).unwrap();
    give(own.path());
    give(scene.directory.path());

    // Without a running proxy, root makes the files that SQLite needs.
    scene.asks(&["park", "1"]);
    scene.asks(&["drop", "3"]);
    assert_eq!(scene.ids(&[]), [1, 2, 4]);
    are_theirs(&scene);

    scene.proxy = service(&config);
    scene.proxy.wait_for_event("ready");
    // Beside it, both write.
    assert_eq!(scene.ids(&["--parked"]), [1]);
    scene.asks(&["retry", "1"]);
    scene.asks(&["park", "2"]);
    scene.asks(&["drop", "4"]);
    are_theirs(&scene);
    scene.origin.start();
    receives(&scene.origin, &["n-critical"]);
    scene.end();
    scene.asks(&["retry", "2"]);
    are_theirs(&scene);
    scene.proxy = service(&config);
    receives(&scene.origin, &["n-critical", "m-critical"]);
}
