//! Every reason to refuse a request, with its code, status, title, detail and advice.

use http::StatusCode;
use std::borrow::Cow;
use std::fmt;

/// The reason to refuse a request.
///
/// [`Rejection::code`] names it in the response, in the log and in metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The head cannot be read in exactly one way; contains the defect.
    MalformedRequest(&'static str),
    /// The head is larger than `limits.max_header_size`, in bytes.
    HeaderTooLarge(usize),
    /// The head has more fields than this.
    TooManyFields(usize),
    /// The head or the body, as named, did not arrive in time.
    Timeout(&'static str),
    /// No route has this path.
    NotFound,
    /// Too many requests came from this address; contains the number of seconds to wait.
    RateLimited(u64),
    /// No client certificate was presented.
    ClientCertificateMissing,
    /// A client certificate was presented that is not trusted; contains the reason.
    ClientCertificateInvalid(String),
    /// The certificate is trusted, but does not name Netdata Cloud; contains its names.
    CommonNameMismatch(String),
    /// A challenge arrived, and the route has no secret to answer it with.
    ChallengeDisabled,
    /// A GET arrived that is not a challenge.
    CrcTokenMissing,
    /// The challenge's token cannot be answered; contains the reason.
    CrcTokenInvalid(&'static str),
    /// The method is neither GET nor POST.
    MethodNotAllowed,
    /// The method is CONNECT, which asks for a tunnel.
    NoTunnel,
    /// The route requires an `Authorization` header.
    AuthorizationMissing(Schemes),
    /// The `Authorization` header does not contain credentials that the route accepts.
    AuthorizationInvalid(Schemes),
    /// The body's declared type is not JSON.
    UnsupportedMediaType,
    /// The body is compressed, which is not accepted.
    UnsupportedEncoding,
    /// The body is larger than the route's `max_body`, in bytes.
    BodyTooLarge(u64),
    /// The bodies that are held in memory take all of `limits.max_buffered`.
    Overloaded,
    /// The body is not one JSON object that can be read in exactly one way; contains the reason.
    InvalidJson(String),
    /// The body is JSON, but not a notification that Netdata Cloud sends.
    SchemaMismatch {
        /// JSON pointer (RFC 6901) of the offending value.
        pointer: String,
        /// The kind of value that was expected there.
        expected: &'static str,
    },
    /// The notification is not from one of the route's `spaces`.
    SpaceNotAllowed,
    /// The application refused the connection or broke it.
    UpstreamUnreachable,
    /// The application did not answer in time.
    UpstreamTimeout,
    /// No address of any server of the application is known.
    UpstreamUnavailable,
    /// The queue has reached its `max_size`.
    QueueFull,
    /// The queue cannot be written.
    QueueFailed,
    /// An internal error occurred.
    Internal,
}

/// The `Authorization` schemes that a route accepts, for `WWW-Authenticate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schemes {
    /// The Basic scheme of RFC 7617.
    pub basic: bool,
    /// The Bearer scheme of RFC 6750.
    pub bearer: bool,
}

impl Rejection {
    /// Refuses a head that cannot be read in exactly one way, because of `defect`.
    pub(crate) fn malformed<T>(defect: &'static str) -> Result<T, Self> {
        Err(Self::MalformedRequest(defect))
    }

    /// The row of this refusal in the table.
    fn refusal(&self) -> &'static RefusalRow {
        match self {
            Self::MalformedRequest(_) => &MALFORMED_REQUEST,
            Self::HeaderTooLarge(_) | Self::TooManyFields(_) => &HEADER_TOO_LARGE,
            Self::Timeout(_) => &TIMEOUT,
            Self::NotFound => &NOT_FOUND,
            Self::RateLimited(_) => &RATE_LIMITED,
            Self::ClientCertificateMissing => &CLIENT_CERTIFICATE_MISSING,
            Self::ClientCertificateInvalid(_) => &CLIENT_CERTIFICATE_INVALID,
            Self::CommonNameMismatch(_) => &COMMON_NAME_MISMATCH,
            Self::ChallengeDisabled => &CHALLENGE_DISABLED,
            Self::CrcTokenMissing => &CRC_TOKEN_MISSING,
            Self::CrcTokenInvalid(_) => &CRC_TOKEN_INVALID,
            Self::MethodNotAllowed | Self::NoTunnel => &METHOD_NOT_ALLOWED,
            Self::AuthorizationMissing(_) => &AUTHORIZATION_MISSING,
            Self::AuthorizationInvalid(_) => &AUTHORIZATION_INVALID,
            Self::UnsupportedMediaType => &UNSUPPORTED_MEDIA_TYPE,
            Self::UnsupportedEncoding => &UNSUPPORTED_ENCODING,
            Self::BodyTooLarge(_) => &BODY_TOO_LARGE,
            Self::Overloaded => &OVERLOADED,
            Self::InvalidJson(_) => &INVALID_JSON,
            Self::SchemaMismatch { .. } => &SCHEMA_MISMATCH,
            Self::SpaceNotAllowed => &SPACE_NOT_ALLOWED,
            Self::UpstreamUnreachable => &UPSTREAM_UNREACHABLE,
            Self::UpstreamTimeout => &UPSTREAM_TIMEOUT,
            Self::UpstreamUnavailable => &UPSTREAM_UNAVAILABLE,
            Self::QueueFull => &QUEUE_FULL,
            Self::QueueFailed => &QUEUE_FAILED,
            Self::Internal => &INTERNAL_ERROR,
        }
    }

    /// The name of this refusal in responses, logs and metrics.
    pub fn code(&self) -> &'static str {
        self.refusal().code
    }

    /// The status of the response (RFC 9110 section 15).
    pub fn status(&self) -> StatusCode {
        self.refusal().status
    }

    /// The refusal's kind, in words that do not change from one occurrence to the next (RFC 9457
    /// section 3.1.3).
    pub fn title(&self) -> &'static str {
        self.refusal().title
    }

    /// The problem with this particular request (RFC 9457 section 3.1.4).
    ///
    /// Contains nothing of a body or a secret.
    pub fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::MalformedRequest(what) | Self::CrcTokenInvalid(what) => (*what).into(),
            Self::HeaderTooLarge(limit) => format!("The head may have {limit} bytes.").into(),
            Self::TooManyFields(limit) => format!("The head may have {limit} fields.").into(),
            Self::Timeout(part) => format!("The {part} did not arrive in time.").into(),
            Self::NotFound => "No route has this path.".into(),
            Self::RateLimited(seconds) => format!("Try again after {seconds} s.").into(),
            Self::ClientCertificateMissing => {
                "No client certificate was presented in the TLS handshake. Netdata Cloud always presents one.".into()
            }
            Self::ClientCertificateInvalid(reason) => reason.clone().into(),
            Self::CommonNameMismatch(names) => names.clone().into(),
            Self::ChallengeDisabled => "The route has no challenge_secret.".into(),
            Self::CrcTokenMissing => "A GET on a webhook must carry the query parameter crc_token.".into(),
            Self::MethodNotAllowed => "A webhook takes GET for the challenge and POST for notifications.".into(),
            Self::NoTunnel => "This is a reverse proxy, which does not open tunnels.".into(),
            Self::AuthorizationMissing(_) => "The request has no Authorization header.".into(),
            Self::AuthorizationInvalid(_) => "The Authorization header does not hold accepted credentials.".into(),
            Self::UnsupportedMediaType => "Content-Type must be application/json.".into(),
            Self::UnsupportedEncoding => "Content-Encoding must be absent.".into(),
            Self::BodyTooLarge(limit) => format!("The body may have {limit} bytes.").into(),
            Self::Overloaded => "There is no memory for this body at the moment. Try again later.".into(),
            Self::InvalidJson(reason) => reason.clone().into(),
            Self::SchemaMismatch { pointer, expected } => {
                format!("The value at \"{pointer}\" must be {expected}.").into()
            }
            Self::SpaceNotAllowed => "The notification does not name one of the route's spaces.".into(),
            Self::UpstreamUnreachable => "The connection to the application was refused or broken.".into(),
            Self::UpstreamTimeout => "The application did not respond in time.".into(),
            Self::UpstreamUnavailable => "No address of any of the application's servers is known.".into(),
            Self::QueueFull => "The queue of notifications has reached its limit. Try again later.".into(),
            Self::QueueFailed => "The notification cannot be stored at the moment. Try again later.".into(),
            Self::Internal => "See the log of the proxy for this request id.".into(),
        }
    }

    /// The number of seconds after which the request may be sent again (RFC 9110 section 10.2.3), if
    /// that is known.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::RateLimited(seconds) => Some(*seconds),
            Self::Overloaded => Some(1),
            Self::QueueFailed => Some(10),
            Self::QueueFull => Some(60),
            _ => None,
        }
    }

    /// The value of `WWW-Authenticate` that belongs to a 401 (RFC 9110 section 11.6.1).
    pub fn www_authenticate(&self) -> Option<&'static str> {
        let (schemes, invalid) = match self {
            Self::AuthorizationMissing(schemes) => (schemes, false),
            Self::AuthorizationInvalid(schemes) => (schemes, true),
            _ => return None,
        };
        Some(match (schemes.basic, schemes.bearer, invalid) {
            (true, true, _) => {
                "Basic realm=\"netdata-webhook\", charset=\"UTF-8\", Bearer realm=\"netdata-webhook\""
            }
            (true, false, _) => "Basic realm=\"netdata-webhook\", charset=\"UTF-8\"",
            (false, _, false) => "Bearer realm=\"netdata-webhook\"",
            (false, _, true) => "Bearer realm=\"netdata-webhook\", error=\"invalid_token\"",
        })
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code(), self.detail())
    }
}

impl std::error::Error for Rejection {}

/// A row of the table of refusals: everything that does not depend on the single request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefusalRow {
    /// The name of the refusal in responses, logs and metrics.
    pub(crate) code: &'static str,
    status: StatusCode,
    title: &'static str,
    operator_advice: Option<&'static str>,
    client_advice: Option<&'static str>,
}

impl RefusalRow {
    const fn new(code: &'static str, status: StatusCode, title: &'static str) -> Self {
        Self {
            code,
            status,
            title,
            operator_advice: None,
            client_advice: None,
        }
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

const MALFORMED_REQUEST: RefusalRow = RefusalRow::new(
    "malformed_request",
    StatusCode::BAD_REQUEST,
    "The request is malformed",
);

const HEADER_TOO_LARGE: RefusalRow = RefusalRow::new(
    "header_too_large",
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "The request's head is too large",
)
.for_client("send fewer or shorter headers, or raise limits.max_header_size");

const TIMEOUT: RefusalRow = RefusalRow::new(
    "timeout",
    StatusCode::REQUEST_TIMEOUT,
    "The request came too slowly",
)
.for_client("see what is slow in between, or raise limits.body_timeout");

const NOT_FOUND: RefusalRow =
    RefusalRow::new("not_found", StatusCode::NOT_FOUND, "There is nothing here")
        .for_operator(
            "Compare the URL in Netdata Cloud with the path of the route, down to the last slash.",
        )
        .for_client("compare the URL with the path of the route, down to the last slash");

const RATE_LIMITED: RefusalRow = RefusalRow::new(
    "rate_limited",
    StatusCode::TOO_MANY_REQUESTS,
    "There are too many requests",
)
.for_operator("If it was Netdata Cloud, raise limits.requests_per_second or limits.burst.")
.for_client("send more slowly with --rate, or raise limits.requests_per_second and limits.burst");

const CLIENT_CERTIFICATE_MISSING: RefusalRow = RefusalRow::new(
    "client_certificate_missing",
    StatusCode::FORBIDDEN,
    "A client certificate is required",
)
.for_operator(CERTIFICATE_MISSING_ADVICE)
.for_client(PRESENT_CERTIFICATE);

const CLIENT_CERTIFICATE_INVALID: RefusalRow = RefusalRow::new(
    "client_certificate_invalid",
    StatusCode::FORBIDDEN,
    "The client certificate is not trusted",
)
.for_operator(CERTIFICATE_UNTRUSTED_ADVICE)
.for_client(TRUST_CERTIFICATE);

const COMMON_NAME_MISMATCH: RefusalRow = RefusalRow::new(
    "common_name_mismatch",
    StatusCode::FORBIDDEN,
    "The client certificate has another name",
)
.for_operator("A forgery, or Netdata Cloud has a new name: see tls.client.common_names.")
.for_client(
    "present a certificate for app.netdata.cloud, or add its name to tls.client.common_names",
);

const CHALLENGE_DISABLED: RefusalRow = RefusalRow::new(
    "challenge_disabled",
    StatusCode::NOT_FOUND,
    "Challenges are not answered here",
)
.for_operator("Give the route the challenge_secret that Netdata Cloud shows.")
.for_client("give the route a challenge_secret, and reload");

const CRC_TOKEN_MISSING: RefusalRow = RefusalRow::new(
    "crc_token_missing",
    StatusCode::BAD_REQUEST,
    "The challenge has no token",
)
.for_operator("A browser or a health check, most likely: Netdata Cloud sends a token.")
.for_client("send a challenge, or notifications, which are POST requests");

const CRC_TOKEN_INVALID: RefusalRow = RefusalRow::new(
    "crc_token_invalid",
    StatusCode::BAD_REQUEST,
    "The challenge's token is invalid",
)
.for_client("give a --token that is neither empty nor longer than 1 KiB");

const METHOD_NOT_ALLOWED: RefusalRow = RefusalRow::new(
    "method_not_allowed",
    StatusCode::METHOD_NOT_ALLOWED,
    "The method is not allowed",
)
.for_client("name the path of a webhook in the URL");

const AUTHORIZATION_MISSING: RefusalRow = RefusalRow::new(
    "authorization_missing",
    StatusCode::UNAUTHORIZED,
    "Authorization is required",
)
.for_operator(COMPARE_CREDENTIALS)
.for_client("send credentials: --bearer-file FILE, or --basic USERNAME --password-file FILE");

const AUTHORIZATION_INVALID: RefusalRow = RefusalRow::new(
    "authorization_invalid",
    StatusCode::UNAUTHORIZED,
    "The authorization is not valid",
)
.for_operator(COMPARE_CREDENTIALS)
.for_client("compare the credentials that were sent with those of the route's auth");

const UNSUPPORTED_MEDIA_TYPE: RefusalRow = RefusalRow::new(
    "unsupported_media_type",
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    "The body is not declared as JSON",
)
.for_client("send no other Content-Type than application/json");

const UNSUPPORTED_ENCODING: RefusalRow = RefusalRow::new(
    "unsupported_encoding",
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    "The body is compressed",
)
.for_client("send no Content-Encoding");

const BODY_TOO_LARGE: RefusalRow = RefusalRow::new(
    "body_too_large",
    StatusCode::PAYLOAD_TOO_LARGE,
    "The body is too large",
)
.for_operator("If it was Netdata Cloud, raise max_body.")
.for_client("raise the route's max_body, or send less");

const OVERLOADED: RefusalRow = RefusalRow::new(
    "overloaded",
    StatusCode::SERVICE_UNAVAILABLE,
    "Too many bodies are held in memory",
)
.for_operator(
    "Give the process more memory, or raise limits.max_buffered; see whether the application is slow.",
)
.for_client("send more slowly, or raise limits.max_buffered");

const INVALID_JSON: RefusalRow = RefusalRow::new(
    "invalid_json",
    StatusCode::BAD_REQUEST,
    "The body is not valid JSON",
)
.for_client("send one JSON object, without a key twice");

const SCHEMA_MISMATCH: RefusalRow = RefusalRow::new(
    "schema_mismatch",
    StatusCode::UNPROCESSABLE_ENTITY,
    "The body is not a notification of Netdata Cloud",
)
.for_operator("If Netdata changed a field that the schema requires, set schema = \"warn\".")
.for_client("compare the body with those that --dry-run prints");

const SPACE_NOT_ALLOWED: RefusalRow = RefusalRow::new(
    "space_not_allowed",
    StatusCode::FORBIDDEN,
    "The notification's space is not accepted",
)
.for_operator("A foreign space, or one that is missing from spaces.")
.for_client("send as one of the route's spaces: --space NAME or --space-id ID");

const UPSTREAM_UNREACHABLE: RefusalRow = RefusalRow::new(
    "upstream_unreachable",
    StatusCode::BAD_GATEWAY,
    "The application cannot be reached",
)
.for_operator("See whether the application runs, and where it listens.")
.for_client(UPSTREAM_RUNS);

const UPSTREAM_TIMEOUT: RefusalRow = RefusalRow::new(
    "upstream_timeout",
    StatusCode::GATEWAY_TIMEOUT,
    "The application did not answer in time",
)
.for_operator("See what keeps the application busy.")
.for_client("see what keeps the application behind the server busy");

const UPSTREAM_UNAVAILABLE: RefusalRow = RefusalRow::new(
    "upstream_unavailable",
    StatusCode::SERVICE_UNAVAILABLE,
    "The application is not available",
)
.for_operator("See why the names of its servers cannot be resolved.")
.for_client(UPSTREAM_RUNS);

const QUEUE_FULL: RefusalRow = RefusalRow::new(
    "queue_full",
    StatusCode::SERVICE_UNAVAILABLE,
    "The queue is full",
)
.for_operator("See why the application takes nothing, or raise queue.max_size.")
.for_client("wait until the application takes notifications again, or raise queue.max_size");

const QUEUE_FAILED: RefusalRow = RefusalRow::new(
    "queue_failed",
    StatusCode::SERVICE_UNAVAILABLE,
    "The queue cannot be written",
)
.for_operator("The event queue_unwritable has the reason: most often, the disk is full.")
.for_client("see the server's log for the event queue_unwritable");

const INTERNAL_ERROR: RefusalRow = RefusalRow::new(
    "internal_error",
    StatusCode::INTERNAL_SERVER_ERROR,
    "An internal error occurred",
)
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
const CONNECTION_ADVICE: [(&str, &str); 14] = [
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
        let is_row = |line: &&str| line.starts_with("const ") && line.contains(": RefusalRow =");
        let rows = include_str!("rejection.rs").lines().filter(is_row).count();
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
