//! The samples of NGINX: what is written for each, and how NGINX and this program treat the same
//! requests.
//!
//! The faults: configurations as they are found in the wild gave no result, or one with which the
//! legitimate client got another status, or the application another path or other headers; and
//! reports that filled several screens.

use super::sample::{Sample, are_all, carry_over, compare};
use super::side_by_side::Scene;
use crate::support::{Peer, is_installed};

/// Forgeries that a search for the name in the subject lets in.
const ALL: &[&str] = &[
    "suffix",
    "lookalike",
    "unit",
    "organisation",
    "nul",
    "space",
    "two names",
    "two names, reversed",
];

/// Every certificate of the authority, whatever its name.
const EVERY: &[&str] = &[
    "suffix",
    "lookalike",
    "unit",
    "organisation",
    "nul",
    "space",
    "two names",
    "two names, reversed",
    "any other",
];

fn samples() -> Vec<Sample> {
    let site = |name, entry, scene| Sample {
        name,
        entry,
        scene,
        ..Sample::default()
    };
    vec![
        Sample {
            name: "documented",
            scene: Scene {
                let_in: ALL,
                ..Scene::default()
            },
            ..Sample::default()
        },
        Sample {
            name: "certbot",
            scene: Scene {
                let_in: &[
                    "suffix",
                    "unit",
                    "organisation",
                    "nul",
                    "space",
                    "two names",
                    "two names, reversed",
                ],
                ..Scene::default()
            },
            ..Sample::default()
        },
        Sample {
            name: "several_servers",
            scene: Scene {
                webhook: "/netdata",
                let_in: ALL,
                closed: &["/nothing"],
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
                    closed: &["/nothing"],
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
                differs: &["X-Forwarded-Port"],
                ..Scene::default()
            },
            ..Sample::default()
        },
        Sample {
            origins: 2,
            ..site(
                "upstream_group",
                "etc/nginx/conf.d/app.conf",
                Scene {
                    webhook: "/api/v1/webhook",
                    let_in: ALL,
                    ..Scene::default()
                },
            )
        },
        Sample {
            origins: 0,
            socket: "run/gunicorn.sock",
            ..site(
                "unix_socket",
                "etc/nginx/sites-available/gunicorn",
                Scene::default(),
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
            port: 9443,
            ..site(
                "positive",
                "etc/nginx/conf.d/hooks.conf",
                Scene {
                    webhook: "/hooks/netdata",
                    let_in: &[
                        "suffix",
                        "nul",
                        "space",
                        "two names, reversed",
                        "another authority",
                    ],
                    ..Scene::default()
                },
            )
        },
        Sample {
            name: "proxy_manager",
            scene: Scene {
                let_in: ALL,
                ..Scene::default()
            },
            ..Sample::default()
        },
        site(
            "pix",
            "etc/nginx/conf.d/pix.conf",
            Scene {
                webhook: "/webhook/pix",
                let_in: EVERY,
                ..Scene::default()
            },
        ),
        site(
            "pagerduty",
            "etc/nginx/conf.d/webhooks.conf",
            Scene {
                let_in: &["two names, reversed"],
                closed: &["/health"],
                ..Scene::default()
            },
        ),
        Sample {
            name: "cpanel",
            origins: 2,
            scene: Scene {
                let_in: &["organisation", "two names", "two names, reversed"],
                differs: &["X-Forwarded-Port"],
                closed: &["/", "/cpanelwebcall"],
                ..Scene::default()
            },
            ..Sample::default()
        },
        Sample {
            origins: 2,
            ..site(
                "multi_tenant",
                "etc/nginx/sites-enabled/tenants",
                Scene {
                    webhook: "/hooks/netdata",
                    let_in: &["two names, reversed"],
                    closed: &["/", "/app/x"],
                    ..Scene::default()
                },
            )
        },
    ]
}

#[test]
fn each_sample_is_carried_over_as_expected_and_passes_check() {
    samples()
        .iter()
        .for_each(|sample| carry_over("nginx", sample));
}

#[test]
fn nginx_and_this_program_treat_the_same_requests_alike_but_for_forgeries() {
    if is_installed("nginx", "nginx", "") {
        samples()
            .iter()
            .for_each(|sample| compare("nginx", sample, Peer::nginx));
    }
}

#[test]
fn no_sample_is_forgotten() {
    are_all("nginx", &samples());
}
