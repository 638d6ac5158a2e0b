//! The table of refusals: what does not depend on the single request, and advice on each.

use http::StatusCode;

/// A row of the table of refusals: everything that does not depend on the single request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefusalRow {
    /// The name of the refusal in responses, logs and metrics.
    pub(crate) code: &'static str,
    pub(super) status: StatusCode,
    pub(super) title: &'static str,
    /// The description of a single refusal, empty where each has one of its own.
    pub(super) detail: &'static str,
    operator_advice: Option<&'static str>,
    client_advice: Option<&'static str>,
}

impl RefusalRow {
    const fn new(code: &'static str, status: StatusCode, title: &'static str) -> Self {
        Self {
            code,
            status,
            title,
            detail: "",
            operator_advice: None,
            client_advice: None,
        }
    }

    /// Adds what is the matter with each request that is refused for this reason.
    const fn with_detail(mut self, detail: &'static str) -> Self {
        self.detail = detail;
        self
    }

    /// Adds a sentence about what the operator of this proxy can do, where the reason alone does
    /// not say it.
    const fn for_operator(mut self, advice: &'static str) -> Self {
        self.operator_advice = Some(advice);
        self
    }

    /// Adds an imperative about what the user of a client, such as `send`, can do.
    const fn for_client(mut self, advice: &'static str) -> Self {
        self.client_advice = Some(advice);
        self
    }

    fn find(code: &str) -> Option<Self> {
        REFUSALS.into_iter().find(|refusal| refusal.code == code)
    }
}

pub(super) const MALFORMED_REQUEST: RefusalRow = RefusalRow::new(
    "malformed_request",
    StatusCode::BAD_REQUEST,
    "The request is malformed",
);

pub(super) const HEADER_TOO_LARGE: RefusalRow = RefusalRow::new(
    "header_too_large",
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "The request's head is too large",
)
.for_client("send fewer or shorter headers, or raise limits.max_header_size");

pub(super) const TIMEOUT: RefusalRow = RefusalRow::new(
    "timeout",
    StatusCode::REQUEST_TIMEOUT,
    "The request came too slowly",
)
.for_client("see what is slow in between, or raise limits.body_timeout");

pub(super) const NOT_FOUND: RefusalRow =
    RefusalRow::new("not_found", StatusCode::NOT_FOUND, "There is nothing here")
        .with_detail("No route has this path.")
        .for_operator(
            "Compare the URL in Netdata Cloud with the path of the route, down to the last slash.",
        )
        .for_client("compare the URL with the path of the route, down to the last slash");

pub(super) const RATE_LIMITED: RefusalRow = RefusalRow::new(
    "rate_limited",
    StatusCode::TOO_MANY_REQUESTS,
    "There are too many requests",
)
.for_operator("If it was Netdata Cloud, raise limits.requests_per_second or limits.burst.")
.for_client("send more slowly with --rate, or raise limits.requests_per_second and limits.burst");

pub(super) const CLIENT_CERTIFICATE_MISSING: RefusalRow = RefusalRow::new(
    "client_certificate_missing",
    StatusCode::FORBIDDEN,
    "A client certificate is required",
)
.with_detail(
    "No client certificate was presented in the TLS handshake. Netdata Cloud always presents one.",
)
.for_operator(CERTIFICATE_MISSING_ADVICE)
.for_client(PRESENT_CERTIFICATE);

pub(super) const CLIENT_CERTIFICATE_INVALID: RefusalRow = RefusalRow::new(
    "client_certificate_invalid",
    StatusCode::FORBIDDEN,
    "The client certificate is not trusted",
)
.for_operator(CERTIFICATE_UNTRUSTED_ADVICE)
.for_client(TRUST_CERTIFICATE);

pub(super) const COMMON_NAME_MISMATCH: RefusalRow = RefusalRow::new(
    "common_name_mismatch",
    StatusCode::FORBIDDEN,
    "The client certificate has another name",
)
.for_operator("A forgery, or Netdata Cloud has a new name: see tls.client.common_names.")
.for_client(
    "present a certificate for app.netdata.cloud, or add its name to tls.client.common_names",
);

pub(super) const CHALLENGE_DISABLED: RefusalRow = RefusalRow::new(
    "challenge_disabled",
    StatusCode::NOT_FOUND,
    "Challenges are not answered here",
)
.with_detail("The route has no challenge_secret.")
.for_operator("Give the route the challenge_secret that Netdata Cloud shows.")
.for_client("give the route a challenge_secret, and reload");

pub(super) const CRC_TOKEN_MISSING: RefusalRow = RefusalRow::new(
    "crc_token_missing",
    StatusCode::BAD_REQUEST,
    "The challenge has no token",
)
.with_detail("A GET on a webhook must carry the query parameter crc_token.")
.for_operator("A browser or a health check, most likely: Netdata Cloud sends a token.")
.for_client("send a challenge, or notifications, which are POST requests");

pub(super) const CRC_TOKEN_INVALID: RefusalRow = RefusalRow::new(
    "crc_token_invalid",
    StatusCode::BAD_REQUEST,
    "The challenge's token is invalid",
)
.for_client("give a --token that is neither empty nor longer than 1 KiB");

pub(super) const METHOD_NOT_ALLOWED: RefusalRow = RefusalRow::new(
    "method_not_allowed",
    StatusCode::METHOD_NOT_ALLOWED,
    "The method is not allowed",
)
.with_detail("A webhook takes GET for the challenge and POST for notifications.")
.for_client("name the path of a webhook in the URL");

pub(super) const AUTHORIZATION_MISSING: RefusalRow = RefusalRow::new(
    "authorization_missing",
    StatusCode::UNAUTHORIZED,
    "Authorization is required",
)
.with_detail("The request has no Authorization header.")
.for_operator(COMPARE_CREDENTIALS)
.for_client("send credentials: --bearer-file FILE, or --basic USERNAME --password-file FILE");

pub(super) const AUTHORIZATION_INVALID: RefusalRow = RefusalRow::new(
    "authorization_invalid",
    StatusCode::UNAUTHORIZED,
    "The authorization is not valid",
)
.with_detail("The Authorization header does not hold accepted credentials.")
.for_operator(COMPARE_CREDENTIALS)
.for_client("compare the credentials that were sent with those of the route's auth");

pub(super) const UNSUPPORTED_MEDIA_TYPE: RefusalRow = RefusalRow::new(
    "unsupported_media_type",
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    "The body is not declared as JSON",
)
.with_detail("Content-Type must be application/json.")
.for_client("send no other Content-Type than application/json");

pub(super) const UNSUPPORTED_ENCODING: RefusalRow = RefusalRow::new(
    "unsupported_encoding",
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    "The body is compressed",
)
.with_detail("Content-Encoding must be absent.")
.for_client("send no Content-Encoding");

pub(super) const BODY_TOO_LARGE: RefusalRow = RefusalRow::new(
    "body_too_large",
    StatusCode::PAYLOAD_TOO_LARGE,
    "The body is too large",
)
.for_operator("If it was Netdata Cloud, raise max_body.")
.for_client("raise the route's max_body, or send less");

pub(super) const OVERLOADED: RefusalRow = RefusalRow::new(
    "overloaded",
    StatusCode::SERVICE_UNAVAILABLE,
    "Too many bodies are held in memory",
)
.with_detail("There is no memory for this body at the moment. Try again later.")
.for_operator(
    "Give the process more memory, or raise limits.max_buffered; see whether the application is slow.",
)
.for_client("send more slowly, or raise limits.max_buffered");

pub(super) const INVALID_JSON: RefusalRow = RefusalRow::new(
    "invalid_json",
    StatusCode::BAD_REQUEST,
    "The body is not valid JSON",
)
.for_client("send one JSON object, without a key twice");

pub(super) const SCHEMA_MISMATCH: RefusalRow = RefusalRow::new(
    "schema_mismatch",
    StatusCode::UNPROCESSABLE_ENTITY,
    "The body is not a notification of Netdata Cloud",
)
.for_operator("If Netdata changed a field that the schema requires, set schema = \"warn\".")
.for_client("compare the body with those that --dry-run prints");

pub(super) const SPACE_NOT_ALLOWED: RefusalRow = RefusalRow::new(
    "space_not_allowed",
    StatusCode::FORBIDDEN,
    "The notification's space is not accepted",
)
.with_detail("The notification does not name one of the route's spaces.")
.for_operator("A foreign space, or one that is missing from spaces.")
.for_client("send as one of the route's spaces: --space NAME or --space-id ID");

pub(super) const UPSTREAM_UNREACHABLE: RefusalRow = RefusalRow::new(
    "upstream_unreachable",
    StatusCode::BAD_GATEWAY,
    "The application cannot be reached",
)
.with_detail("The connection to the application was refused or broken.")
.for_operator("See whether the application runs, and where it listens.")
.for_client(UPSTREAM_RUNS);

pub(super) const UPSTREAM_TIMEOUT: RefusalRow = RefusalRow::new(
    "upstream_timeout",
    StatusCode::GATEWAY_TIMEOUT,
    "The application did not answer in time",
)
.with_detail("The application did not respond in time.")
.for_operator("See what keeps the application busy.")
.for_client("see what keeps the application behind the server busy");

pub(super) const UPSTREAM_UNAVAILABLE: RefusalRow = RefusalRow::new(
    "upstream_unavailable",
    StatusCode::SERVICE_UNAVAILABLE,
    "The application is not available",
)
.with_detail("No address of any of the application's servers is known.")
.for_operator("See why the names of its servers cannot be resolved.")
.for_client(UPSTREAM_RUNS);

pub(super) const QUEUE_FULL: RefusalRow = RefusalRow::new(
    "queue_full",
    StatusCode::SERVICE_UNAVAILABLE,
    "The queue is full",
)
.with_detail("The queue of notifications has reached its limit. Try again later.")
.for_operator("See why the application takes nothing, or raise queue.max_size.")
.for_client("wait until the application takes notifications again, or raise queue.max_size");

pub(super) const QUEUE_FAILED: RefusalRow = RefusalRow::new(
    "queue_failed",
    StatusCode::SERVICE_UNAVAILABLE,
    "The queue cannot be written",
)
.with_detail("The notification cannot be stored at the moment. Try again later.")
.for_operator("The event queue_unwritable has the reason: most often, the disk is full.")
.for_client("see the server's log for the event queue_unwritable");

pub(super) const INTERNAL_ERROR: RefusalRow = RefusalRow::new(
    "internal_error",
    StatusCode::INTERNAL_SERVER_ERROR,
    "An internal error occurred",
)
.with_detail("See the log of the proxy for this request id.")
.for_client("see the server's log for the request id, and report it");

/// Every refusal of a request.
pub(crate) const REFUSALS: [RefusalRow; 27] = [
    MALFORMED_REQUEST,
    HEADER_TOO_LARGE,
    TIMEOUT,
    NOT_FOUND,
    RATE_LIMITED,
    CLIENT_CERTIFICATE_MISSING,
    CLIENT_CERTIFICATE_INVALID,
    COMMON_NAME_MISMATCH,
    CHALLENGE_DISABLED,
    CRC_TOKEN_MISSING,
    CRC_TOKEN_INVALID,
    METHOD_NOT_ALLOWED,
    AUTHORIZATION_MISSING,
    AUTHORIZATION_INVALID,
    UNSUPPORTED_MEDIA_TYPE,
    UNSUPPORTED_ENCODING,
    BODY_TOO_LARGE,
    OVERLOADED,
    INVALID_JSON,
    SCHEMA_MISMATCH,
    SPACE_NOT_ALLOWED,
    UPSTREAM_UNREACHABLE,
    UPSTREAM_TIMEOUT,
    UPSTREAM_UNAVAILABLE,
    QUEUE_FULL,
    QUEUE_FAILED,
    INTERNAL_ERROR,
];

const CERTIFICATE_MISSING_ADVICE: &str =
    "Not Netdata Cloud, which always presents one; or TLS ends before this program.";

const CERTIFICATE_UNTRUSTED_ADVICE: &str =
    "Not Netdata Cloud, unless it has a new authority: see tls.client.ca.";

const COMPARE_CREDENTIALS: &str =
    "Compare the credentials of the integration in Netdata Cloud with those of the route.";

const UPSTREAM_RUNS: &str =
    "see whether the application behind the server runs, and listens at the configured address";

/// Advice on presenting a client certificate.
pub(crate) const PRESENT_CERTIFICATE: &str = "present a client certificate that the server trusts \
     with --cert FILE --key FILE; \"send certificate DIRECTORY\" makes one";

/// Advice on a client certificate that the server does not trust.
pub(crate) const TRUST_CERTIFICATE: &str = "add the authority of the client certificate to those \
     that the server trusts (here: tls.client.ca, and reload), or present another certificate with \
     --cert FILE --key FILE";

/// Advice for the operator on connections that were refused before they carried a request, and on
/// notifications that were not delivered although no request was refused, by their code.
const CONNECTION_ADVICE: [(&str, &str); 15] = [
    ("certificate_missing", CERTIFICATE_MISSING_ADVICE),
    ("certificate_untrusted", CERTIFICATE_UNTRUSTED_ADVICE),
    (
        "revocation_unknown",
        "If it was Netdata Cloud, see tls.client.crl and crl_coverage: a list of an authority is missing.",
    ),
    (
        "certificate_chain_too_long",
        "Not Netdata Cloud, which sends one certificate or a few: an attack, most likely.",
    ),
    (
        "certificate_key_usage",
        "Not Netdata Cloud, or its authority makes mistakes: report it to Netdata.",
    ),
    (
        "not_allowed",
        "If it was Netdata Cloud, add the address to listen.allow.",
    ),
    (
        "max_connections",
        "If it was Netdata Cloud, raise the limit.",
    ),
    (
        "max_connections_per_address",
        "If it was Netdata Cloud, raise the limit.",
    ),
    (
        "proxy_protocol",
        "A trusted proxy has to send a PROXY protocol header before anything else.",
    ),
    (
        "server_certificate_refused",
        "If it was Netdata Cloud, none of its notifications arrive: \"doctor\" with the URL says what is \
         wrong with the certificate or its chain.",
    ),
    (
        "server_certificate_missing",
        "Senders try again. The findings of the status page and the events acme_order_failed and acme_state_failed \
         say what keeps the certificate away.",
    ),
    (
        "tls_error",
        "A scanner, or a client that does not speak TLS as this server does.",
    ),
    (
        "upstream_rejected",
        "See the application's log: its response must be 2xx, or Netdata Cloud takes it for a failure.",
    ),
    (
        "request_aborted",
        "Raise server.shutdown_timeout, or have the application respond sooner.",
    ),
    (
        "closed",
        "A scanner or a load balancer's check, most likely.",
    ),
];

/// Returns advice for the operator on the refusal of a request or of a connection, where there is
/// something to be said beyond the reason.
pub(crate) fn operator_advice(code: &str) -> Option<&'static str> {
    let on_connection = || {
        let advice = CONNECTION_ADVICE.iter().find(|(known, _)| *known == code);
        advice.map(|(_, advice)| *advice)
    };
    match RefusalRow::find(code) {
        Some(refusal) => refusal.operator_advice,
        None => on_connection(),
    }
}

/// Returns advice for the user of a client whose request was refused.
pub(crate) fn client_advice(code: &str) -> Option<&'static str> {
    RefusalRow::find(code)?.client_advice
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_refusal_has_a_code_of_its_own() {
        let codes: HashSet<_> = REFUSALS.iter().map(|refusal| refusal.code).collect();
        assert_eq!(codes.len(), REFUSALS.len());
        for (code, _) in CONNECTION_ADVICE {
            assert!(!codes.contains(code), "{code}");
        }
    }

    #[test]
    fn every_row_is_in_the_table() {
        let is_row =
            |line: &&str| line.starts_with("pub(super) const ") && line.contains(": RefusalRow =");
        let rows = include_str!("table.rs").lines().filter(is_row).count();
        assert_eq!(rows, REFUSALS.len());
    }

    #[test]
    fn every_refusal_but_one_has_advice_for_the_client() {
        let without: Vec<_> = REFUSALS
            .iter()
            .filter(|refusal| refusal.client_advice.is_none())
            .map(|refusal| refusal.code)
            .collect();
        // No client of this program sends such a request.
        assert_eq!(without, ["malformed_request"]);
    }

    #[test]
    fn advice_is_found_by_code() {
        assert!(operator_advice("not_found").is_some());
        assert!(operator_advice("proxy_protocol").is_some());
        assert_eq!(operator_advice("internal_error"), None);
        assert_eq!(operator_advice("ok"), None);
        assert!(client_advice("internal_error").is_some());
        assert_eq!(client_advice("proxy_protocol"), None);
    }
}
