//! The program from outside: the built binary, real sockets, and an application that records what
//! it receives.
//!
//! What went wrong in other programs of this field is tested here by name:
//!
//! | elsewhere | here |
//! |---|---|
//! | nginx CVE-2025-23419, Apache CVE-2025-23048, Go CVE-2025-68121, HAProxy, Envoy CVE-2022-21654: a resumed session or an open connection escapes a newer policy | `reload` |
//! | Traefik CVE-2026-32305, Caddy: SNI or Host selects a laxer policy | `client_certificate::asked::no_server_name_and_no_host_changes_the_verdict` |
//! | a fragmented ClientHello falls to a default | `hostile::a_client_hello_in_single_bytes_changes_nothing` |
//! | Caddy CVE-2026-27586: a missing CA file means the system's authorities | `cli::files::files_that_are_not_what_they_should_be_are_errors` |
//! | Zentinel: client authentication configured, logged, never applied | `server::self_test`, and each setting's own test |
//! | Envoy CVE-2022-21657, -21656: extended key usage not enforced; odd chains panic | `client_certificate` |
//! | Pingora CVE-2026-2833, -2835, -2836, CVE-2025-4366: upgrades, HTTP/1.0 framing, bodies left on the connection | `hostile`, and `proxy_routes` for what is passed on |
//! | Traefik CVE-2026-22045: a validation by ACME is waited for without end | `acme::attacks::a_thousand_stalled_hellos_harm_no_ordinary_client` |
//! | HTTP/2 MadeYouReset CVE-2025-8671 | `hostile::resets_without_end_do_not_stop_others` |
//! | oauth2-proxy CVE-2025-64484, Caddy, Fabio CVE-2025-48865: forged identity headers | `header_names` |
//! | HAProxy CVE-2025-11230: numbers that burn CPU | `notification::refused::hostile_json_is_refused_quickly` |
//! | receivers of Netdata's webhooks: wrong query parameter, encoded twice, 200 on failure | `challenge`, `notification` |

// A test that cannot be set up fails where it stands, and says what it knows.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod acme;
mod admin;
mod authorization;
mod benchmarks;
mod body;
mod challenge;
mod check;
mod cli;
mod client_certificate;
mod compose;
mod container;
mod demo;
mod django;
mod doctor;
mod documentation;
mod exposure;
mod first_steps;
mod forwarding;
mod header_names;
mod health;
mod hostile;
mod http1;
mod http2;
mod import;
mod kubernetes;
mod limits;
mod logs;
mod manual;
mod memory;
mod middleware;
mod mistakes;
mod notification;
mod output;
mod packages;
mod paths;
mod plugin;
mod protocol_switch;
mod proxy_bodies;
mod proxy_routes;
mod queue;
mod queue_commands;
mod receivers;
mod reload;
mod replicas;
mod revocation;
mod secrets;
mod send;
mod server_certificate;
mod setup;
mod shutdown;
mod signatures;
mod stalls;
mod standstill;
mod status_page;
mod storage;
mod support;
mod surroundings;
mod systemd;
mod trust_files;
mod undelivered;
mod upgrade;
mod upstream;
mod upstream_answers;
mod upstream_config;
mod upstream_delivery;
mod upstream_groups;
mod upstream_health;
mod upstream_names;
mod upstream_patience;
mod upstream_tls;
mod wrong_protocol;
