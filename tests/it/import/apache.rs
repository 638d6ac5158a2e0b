//! The samples of Apache: what is written for each, and how Apache and this program treat the same
//! requests.
//!
//! The faults: as for NGINX; and three hundred lines about Debian's own files around one virtual
//! host.

use super::sample::{Sample, are_all, carry_over, compare};
use super::side_by_side::Scene;
use crate::support::{Peer, is_installed};

/// Every certificate of the authority, whatever its name.
const ALL: &[&str] = &[
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
        site(
            "documented",
            "etc/apache2/sites-enabled/webhook.conf",
            Scene {
                let_in: ALL,
                ..Scene::default()
            },
        ),
        site(
            "debian",
            "etc/apache2/apache2.conf",
            Scene {
                let_in: &["suffix", "nul", "space", "two names"],
                closed: &["/admin", "/admin/x"],
                ..Scene::default()
            },
        ),
        Sample {
            origins: 2,
            ..site(
                "balancer",
                "etc/httpd/conf/httpd.conf",
                Scene {
                    proxied: "PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r\n",
                    differs: &["Host"],
                    let_in: &["two names"],
                    ..Scene::default()
                },
            )
        },
        Sample {
            origins: 0,
            socket: "run/app.sock",
            port: 8080,
            secrets: &["3q2-7wAAAAA_example"],
            ..site(
                "bearer",
                "etc/apache2/sites-enabled/hooks.conf",
                Scene {
                    credentials: "Authorization: Bearer 3q2-7wAAAAA_example\r\n",
                    wrong: "Authorization: Bearer 3q2-7wAAAAA_examplf\r\n",
                    refused_with: 403,
                    verifies: false,
                    is_plain: true,
                    strips_authorization: true,
                    closed: &["/", "/other"],
                    ..Scene::default()
                },
            )
        },
        site(
            "conditions",
            "etc/apache2/sites-enabled/hooks.conf",
            Scene {
                let_in: &[
                    "suffix",
                    "lookalike",
                    "unit",
                    "organisation",
                    "nul",
                    "space",
                    "two names",
                    "two names, reversed",
                    "another authority",
                ],
                differs: &["X-Client-Verify"],
                ..Scene::default()
            },
        ),
        site(
            "debian_stock",
            "etc/apache2/apache2.conf",
            Scene {
                let_in: &["two names"],
                closed: &["/", "/server-status"],
                ..Scene::default()
            },
        ),
    ]
}

#[test]
fn each_sample_is_carried_over_as_expected_and_passes_check() {
    samples()
        .iter()
        .for_each(|sample| carry_over("apache", sample));
}

#[test]
fn apache_and_this_program_treat_the_same_requests_alike_but_for_forgeries() {
    if is_installed("apache2", "apache2-bin", "") {
        samples()
            .iter()
            .for_each(|sample| compare("apache", sample, Peer::apache));
    }
}

#[test]
fn no_sample_is_forgotten() {
    are_all("apache", &samples());
}
