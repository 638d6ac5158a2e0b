//! What the operator might do about a refusal.

/// A sentence, where there is something to be said beyond the reason.
pub(super) fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "not_found" => {
            "Compare the URL in Netdata Cloud with the path of the route, down to the last slash."
        }
        "crc_token_missing" => {
            "A browser or a health check, most likely: Netdata Cloud sends a token."
        }
        "challenge_disabled" => "Give the route the challenge_secret that Netdata Cloud shows.",
        "authorization_missing" | "authorization_invalid" => {
            "Compare the credentials of the integration in Netdata Cloud with those of the route."
        }
        "client_certificate_missing" | "certificate_missing" => {
            "Not Netdata Cloud, which always presents one; or TLS ends before this program."
        }
        "client_certificate_invalid" | "certificate_untrusted" => {
            "Not Netdata Cloud, unless it has a new authority: see tls.client.ca."
        }
        "common_name_mismatch" => {
            "A forgery, or Netdata Cloud has a new name: see tls.client.common_names."
        }
        "space_not_allowed" => "Somebody else's space, or one that is missing from spaces.",
        "schema_mismatch" => {
            "If Netdata changed what decides in its format, schema = \"warn\" lets it pass."
        }
        "body_too_large" => "If it was Netdata Cloud, raise max_body.",
        "overloaded" => {
            "Give it more memory, or raise limits.max_buffered; see whether the application is slow."
        }
        "rate_limited" => {
            "If it was Netdata Cloud, raise limits.requests_per_second or limits.burst."
        }
        "upstream_unreachable" => "See whether the application runs, and where it listens.",
        "upstream_unavailable" => "See why the names of its servers cannot be resolved.",
        "upstream_timeout" => "See what keeps the application busy.",
        "revocation_unknown" => {
            "If it was Netdata Cloud, see tls.client.crl and crl_coverage: a list of an authority is missing."
        }
        "certificate_chain_too_long" => {
            "Not Netdata Cloud, which sends one certificate or a few: an attack, most likely."
        }
        "certificate_key_usage" => {
            "Not Netdata Cloud, or its authority makes mistakes: ask Netdata."
        }
        "not_allowed" => "If it was Netdata Cloud, add the address to listen.allow.",
        "max_connections" | "max_connections_per_address" => {
            "If it was Netdata Cloud, raise the limit."
        }
        "proxy_protocol" => {
            "A trusted proxy has to send a PROXY protocol header before anything else."
        }
        "tls_error" => "A scanner, or a client that does not speak TLS as this server does.",
        "closed" => "A scanner or a load balancer's check, most likely.",
        _ => return None,
    })
}
