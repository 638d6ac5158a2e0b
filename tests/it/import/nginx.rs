//! The samples of NGINX: what is written for each, and how NGINX and this program treat the same requests.

use super::sample::{Sample, are_all, carry_over, compare};
use super::side_by_side::Scene;
use crate::support::{Peer, is_installed};

/// Forgeries that a search for the name in the subject lets in.
const ALL: &[&str] =
    &["suffix", "lookalike", "unit", "organisation", "nul", "space", "two names", "two names, reversed"];

fn samples() -> Vec<Sample> {
    let site = |name, entry, scene| Sample { name, entry, scene, ..Sample::default() };
    vec![
        Sample { name: "documented", scene: Scene { let_in: ALL, ..Scene::default() }, ..Sample::default() },
        Sample {
            name: "certbot",
            scene: Scene {
                let_in: &["suffix", "unit", "organisation", "nul", "space", "two names", "two names, reversed"],
                ..Scene::default()
            },
            ..Sample::default()
        },
        Sample {
            name: "several_servers",
            scene: Scene {
                webhook: "/netdata",
                let_in: ALL,
                others: &[("GET", "/status/x?y=z", 200), ("GET", "/nothing", 404)],
                ..Scene::default()
            },
            ..Sample::default()
        },
        Sample {
            port: 8443,
            secrets: &["old-token-2f6c1e90", "new-token-77a0c3d4"],
            ..site(
                "maps",
                "etc/nginx/conf.d/netdata.conf",
                Scene {
                    webhook: "/hooks/netdata",
                    credentials: "Authorization: Bearer new-token-77a0c3d4\r\n",
                    wrong: "Authorization: Bearer new-token-77a0c3d5\r\n",
                    let_in: &["organisation", "two names", "two names, reversed"],
                    others: &[("GET", "/nothing", 404)],
                    strips_authorization: true,
                    ..Scene::default()
                },
            )
        },
        Sample {
            name: "ingress",
            scene: Scene {
                webhook: "/netdata/x",
                let_in: ALL,
                differs: &["ssl-client-subject-dn", "ssl-client-issuer-dn", "X-Forwarded-Port"],
                ..Scene::default()
            },
            ..Sample::default()
        },
        Sample {
            origins: 2,
            ..site(
                "upstream_group",
                "etc/nginx/conf.d/app.conf",
                Scene { webhook: "/api/v1/webhook", let_in: ALL, ..Scene::default() },
            )
        },
        Sample {
            origins: 0,
            socket: "run/gunicorn.sock",
            ..site(
                "unix_socket",
                "etc/nginx/sites-available/gunicorn",
                Scene {
                    others: &[("GET", "/app/x?y", 200), ("POST", "/", 200)],
                    for_everybody: &["/app/x"],
                    ..Scene::default()
                },
            )
        },
        Sample {
            name: "balancer",
            scene: Scene {
                proxied: "PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r\n",
                let_in: &["lookalike", "two names, reversed"],
                ..Scene::default()
            },
            ..Sample::default()
        },
        Sample {
            secrets: &["p4ssword"],
            ..site(
                "basic",
                "etc/nginx/sites-enabled/webhook",
                Scene {
                    credentials: "Authorization: Basic bmV0ZGF0YTpwNHNzd29yZA==\r\n",
                    wrong: "Authorization: Basic bmV0ZGF0YTpwNHNzd29yeA==\r\n",
                    verifies: false,
                    others: &[("GET", "/public/a", 200)],
                    for_everybody: &["/public/a"],
                    strips_authorization: true,
                    ..Scene::default()
                },
            )
        },
        Sample {
            port: 8080,
            secrets: &["3q2-7wAAAAA_example"],
            ..site(
                "limits",
                "etc/nginx/conf.d/default.conf",
                Scene {
                    credentials: "Authorization: Bearer 3q2-7wAAAAA_example\r\n",
                    wrong: "Authorization: Bearer 3q2-7wAAAAA_examplf\r\n",
                    verifies: false,
                    is_plain: true,
                    strips_authorization: true,
                    ..Scene::default()
                },
            )
        },
        Sample {
            name: "challenge",
            scene: Scene { let_in: ALL, answers_challenge: true, ..Scene::default() },
            ..Sample::default()
        },
        Sample {
            port: 9443,
            ..site(
                "positive",
                "etc/nginx/conf.d/hooks.conf",
                Scene {
                    webhook: "/hooks/netdata",
                    let_in: &["suffix", "nul", "space", "two names, reversed", "another authority"],
                    ..Scene::default()
                },
            )
        },
        site(
            "restricted",
            "etc/nginx/conf.d/site.conf",
            Scene {
                let_in: &["organisation", "two names", "two names, reversed"],
                others: &[("GET", "/app", 200)],
                for_everybody: &["/", "/app/x"],
                closed: &["/office/x", "/keys/x", "/static/x", "/old/x", "/auth"],
                ..Scene::default()
            },
        ),
        site(
            "demands",
            "etc/nginx/sites-enabled/hooks",
            Scene {
                let_in: &["lookalike", "organisation", "two names", "two names, reversed"],
                others: &[("GET", "/issuer/x", 200)],
                for_everybody: &["/", "/app/x"],
                closed: &[
                    "/named/x",
                    "/admin/x",
                    "/admin/assets/x",
                    "/admin/pub/x",
                    "/methods/x",
                    "/types/x",
                    "/diverted/x",
                    "/versions/v2/x",
                    "/with%20blanks/x",
                ],
                differs: &["X-Client-Verify"],
                ..Scene::default()
            },
        ),
    ]
}

#[test]
fn each_sample_is_carried_over_as_expected_and_passes_check() {
    samples().iter().for_each(|sample| carry_over("nginx", sample));
}

#[test]
fn nginx_and_this_program_treat_the_same_requests_alike_but_for_forgeries() {
    const NJS: &str = "/usr/lib/nginx/modules/ngx_http_js_module.so";
    for sample in samples() {
        let (package, file) = match sample.scene.answers_challenge {
            true => ("libnginx-mod-http-js", NJS),
            false => ("nginx", ""),
        };
        if is_installed("nginx", package, file) {
            compare("nginx", &sample, Peer::nginx);
        }
    }
}

#[test]
fn no_sample_is_forgotten() {
    are_all("nginx", &samples());
}
