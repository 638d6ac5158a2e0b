//! The manifest for Kubernetes agrees with the image, with the configuration beside it, and with
//! what Kubernetes defines.

use crate::container::{array, instructions, state};
use crate::replicas;
use crate::support::{Edit as _, Origin, skip, skip_unless_required};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

const MANIFEST: &str = include_str!("../../conf/kubernetes/manifest.yaml");
const CONFIG: &str = include_str!("../../conf/kubernetes/config.toml");
const CUSTOMIZATION: &str = include_str!("../../conf/kubernetes/kustomization.yaml");
const REPLICAS_CONFIG: &str = include_str!("../../conf/kubernetes/replicas/config.toml");

/// The values of a key, wherever it is.
fn values(key: &str) -> Vec<&'static str> {
    let lines = MANIFEST
        .lines()
        .map(|line| line.trim_start_matches(['-', ' ']));
    lines
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
        .collect()
}

/// The one value of a key.
#[track_caller]
fn value(key: &str) -> &'static str {
    let [value] = values(key)[..] else {
        panic!("{key}: {:?}", values(key))
    };
    value
}

fn number(key: &str) -> u32 {
    value(key).parse().unwrap()
}

#[test]
fn the_pod_is_the_container_of_the_image() {
    let instructions = instructions();
    let (user, directory) = state(&instructions);
    let ids = format!("{}:{}", value("runAsUser"), value("runAsGroup"));
    assert_eq!(
        (ids.as_str(), value("fsGroup")),
        (&*user, value("runAsUser"))
    );
    assert_eq!(
        values("mountPath"),
        ["/etc/netdata-webhook-proxy", &directory]
    );
    let health = array(&instructions, "HEALTHCHECK").join(", ");
    assert_eq!(
        values("command"),
        [format!("[{health}, --ready]"), format!("[{health}]")]
    );
    let port = value("containerPort");
    assert!(instructions.contains(&format!("EXPOSE {port}")));
    assert!(CONFIG.contains(&format!("\nhttps = \"0.0.0.0:{port}\"\n")));
    assert!(CONFIG.contains(&format!("\npath = \"{directory}/queue.db\"\n")));
}

#[test]
fn the_pod_may_do_no_more_than_it_needs() {
    for (key, setting) in [
        ("runAsNonRoot", "true"),
        ("readOnlyRootFilesystem", "true"),
        ("allowPrivilegeEscalation", "false"),
        ("automountServiceAccountToken", "false"),
        ("drop", "[ALL]"),
    ] {
        assert!(values(key).contains(&setting), "{key}");
    }
    // Otherwise the keys of ACME are opened to the group at each start, and refused for that.
    assert_eq!(value("fsGroupChangePolicy"), "OnRootMismatch");
    // The default of server.shutdown_timeout.
    assert!(number("terminationGracePeriodSeconds") > number("seconds") + 30);
}

/// A pod's directory with the configuration, as Kubernetes makes it.
fn projected(config: &str, database: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let version = directory.path().join("..2026_11_29");
    std::fs::create_dir(&version).unwrap();
    symlink("..2026_11_29", directory.path().join("..data")).unwrap();
    for (name, text) in [
        ("config.toml", config),
        ("challenge.secret", "YOUR_CHALLENGE_SECRET\n"),
        ("database.url", database),
    ] {
        std::fs::write(version.join(name), text).unwrap();
        symlink(format!("..data/{name}"), directory.path().join(name)).unwrap();
    }
    directory
}

fn check(directory: &Path) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .arg("check")
        .arg(directory.join("config.toml"))
        .env("STATE_DIRECTORY", directory)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.success(), said)
}

#[test]
fn its_configuration_is_complete_once_it_has_a_domain() {
    let origin = Origin::spawn();
    let state = tempfile::tempdir().unwrap();
    let config = CONFIG.edit("http://app:3000", &origin.url).edit(
        "/var/lib/netdata-webhook-proxy",
        state.path().to_str().unwrap(),
    );
    complete_once_it_has_a_domain(&config, "");
}

fn complete_once_it_has_a_domain(config: &str, database: &str) {
    let (passes, said) = check(projected(config, database).path());
    assert!(
        !passes && said.contains("tls.acme.domains: missing"),
        "{said}"
    );
    let config = config.edit("domains = []", "domains = [\"hooks.example\"]");
    let (passes, said) = check(projected(&config, database).path());
    assert!(passes, "{said}");
}

/// The tool that knows what Kubernetes defines, where `.ci/run` has put it, or anywhere.
fn validator() -> Command {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/kubernetes/bin");
    let own = own.join("kubernetes-validate");
    Command::new(match own.exists() {
        true => own,
        false => PathBuf::from("kubernetes-validate"),
    })
}

#[test]
fn it_has_only_what_kubernetes_defines() {
    let directory = tempfile::tempdir().unwrap();
    let validate = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        validator().arg("--strict").arg(path).output()
    };
    let Ok(output) = validate("manifest.yaml", MANIFEST) else {
        return skip_unless_required(
            "NWP_REQUIRE_KUBERNETES",
            "kubernetes-validate (of PyPI) is not installed",
        );
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert_eq!(
        said.matches(" passed ").count(),
        MANIFEST.matches("\nkind: ").count(),
        "{said}"
    );
    // It would say so.
    let misspelt = MANIFEST.edit("fsGroupChangePolicy", "fsGroupPolicy");
    let output = validate("misspelt.yaml", &misspelt).unwrap();
    assert!(!output.status.success());
    // The same of what the replicas' folder makes of it.
    let Some(rendered) = rendered_replicas() else {
        return;
    };
    let output = validate("replicas.yaml", &rendered).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert_eq!(said.matches(" passed ").count(), 4, "{said}");
}

/// What `kubectl apply -k` applies of a folder. `None` where there is no kubectl.
fn rendered(folder: &Path) -> Option<String> {
    let output = Command::new("kubectl")
        .arg("kustomize")
        .arg(folder)
        .output();
    let Ok(output) = output else {
        skip("kubectl is not installed");
        return None;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// What `kubectl apply -k` applies with the folder of replicas taken in, as its kustomization.yaml
/// says. `None` where there is no kubectl.
fn rendered_replicas() -> Option<String> {
    let directory = tempfile::tempdir().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/kubernetes");
    fs::create_dir(directory.path().join("replicas")).unwrap();
    for part in [&folder, &folder.join("replicas")] {
        for entry in fs::read_dir(part).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&folder).unwrap();
            if path.is_file() {
                fs::copy(&path, directory.path().join(name)).unwrap();
            }
        }
    }
    let with = CUSTOMIZATION.edit(
        "#components:\n#  - replicas\n",
        "components:\n  - replicas\n",
    );
    fs::write(directory.path().join("kustomization.yaml"), with).unwrap();
    rendered(directory.path())
}

#[test]
fn replicas_are_two_pods_on_two_nodes_without_a_volume() {
    let Some(rendered) = rendered_replicas() else {
        return;
    };
    for part in [
        "\n  replicas: 2\n",
        "\n      maxUnavailable: 0\n",
        "\nkind: PodDisruptionBudget\n",
        "\n        topologyKey: kubernetes.io/hostname\n",
        "url = { file = \"database.url\" }",
    ] {
        assert!(rendered.contains(part), "{part} in {rendered}");
    }
    for part in [
        "PersistentVolumeClaim",
        "podAffinity",
        "queue.db",
        "name: state",
    ] {
        assert!(!rendered.contains(part), "{part} in {rendered}");
    }
}

#[test]
fn the_configuration_of_replicas_is_complete_once_it_has_a_domain() {
    let Some(server) = replicas::server() else {
        return;
    };
    let origin = Origin::spawn();
    let config = REPLICAS_CONFIG.edit("http://app:3000", &origin.url);
    complete_once_it_has_a_domain(&config, &server.create_database("UTF8"));
}

#[test]
fn a_changed_configuration_is_another_one() {
    let Some(rendered) = rendered(Path::new("conf/kubernetes")) else {
        return;
    };
    assert!(CUSTOMIZATION.contains("\nconfigMapGenerator:\n"));
    let (_, rest) = rendered
        .split_once("kind: ConfigMap\nmetadata:\n  name: ")
        .unwrap();
    let name = rest.lines().next().unwrap();
    // The one that the pod mounts.
    assert!(name.starts_with("netdata-webhook-proxy-"));
    assert_eq!(rendered.matches(name).count(), 2, "{rendered}");
}
