//! Every reason to refuse a request, with the status and the code that name it everywhere.

use http::StatusCode;
use std::borrow::Cow;
use std::fmt;

/// Why a request goes no further.
///
/// [`Rejection::code`] is the word for it in the answer, in the log and in metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The head cannot be read in exactly one way; names what is wrong with it.
    MalformedRequest(&'static str),
    /// The head is larger than `limits.max_header_size`, in bytes.
    HeaderTooLarge(usize),
    /// The head has more fields than this.
    TooManyFields(usize),
    /// The head or the body did not arrive in time; names which.
    Timeout(&'static str),
    /// No route has this path.
    NotFound,
    /// Too many requests came from this address; says after how many seconds another is welcome.
    RateLimited(u64),
    /// No client certificate was presented.
    ClientCertificateMissing,
    /// A client certificate was presented that is not trusted; says why.
    ClientCertificateInvalid(String),
    /// The certificate is trusted, but is not that of Netdata Cloud; says what its names are.
    CommonNameMismatch(String),
    /// A challenge came, and the route has no secret to answer it with.
    ChallengeDisabled,
    /// A GET came that is no challenge.
    CrcTokenMissing,
    /// The challenge's token cannot be answered; says why.
    CrcTokenInvalid(&'static str),
    /// A webhook is GET or POST.
    MethodNotAllowed,
    /// CONNECT asks for a tunnel.
    NoTunnel,
    /// The route wants an `Authorization` header.
    AuthorizationMissing(Schemes),
    /// The `Authorization` header does not hold what the route wants.
    AuthorizationInvalid(Schemes),
    /// The body's declared type is not JSON.
    UnsupportedMediaType,
    /// The body is compressed.
    UnsupportedEncoding,
    /// The body is larger than the route's `max_body`, in bytes.
    BodyTooLarge(u64),
    /// The bodies that are held in memory take all of `limits.max_buffered`.
    Overloaded,
    /// The body is not one JSON object that can be read in exactly one way; says why.
    InvalidJson(String),
    /// The body is JSON, but not a notification that Netdata Cloud sends.
    SchemaMismatch {
        /// JSON pointer (RFC 6901) of the offending value.
        pointer: String,
        /// What was expected there.
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
    /// Something went wrong here.
    Internal,
}

/// Every code, for what has to know them beforehand.
pub(crate) const CODES: [&str; 25] = [
    "malformed_request",
    "header_too_large",
    "timeout",
    "not_found",
    "rate_limited",
    "client_certificate_missing",
    "client_certificate_invalid",
    "common_name_mismatch",
    "challenge_disabled",
    "crc_token_missing",
    "crc_token_invalid",
    "method_not_allowed",
    "authorization_missing",
    "authorization_invalid",
    "unsupported_media_type",
    "unsupported_encoding",
    "body_too_large",
    "overloaded",
    "invalid_json",
    "schema_mismatch",
    "space_not_allowed",
    "upstream_unreachable",
    "upstream_timeout",
    "upstream_unavailable",
    "internal_error",
];

/// The `Authorization` schemes that a route accepts, for `WWW-Authenticate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schemes {
    /// RFC 7617.
    pub basic: bool,
    /// RFC 6750.
    pub bearer: bool,
}

impl Rejection {
    /// The one word for this refusal.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MalformedRequest(_) => "malformed_request",
            Self::HeaderTooLarge(_) | Self::TooManyFields(_) => "header_too_large",
            Self::Timeout(_) => "timeout",
            Self::NotFound => "not_found",
            Self::RateLimited(_) => "rate_limited",
            Self::ClientCertificateMissing => "client_certificate_missing",
            Self::ClientCertificateInvalid(_) => "client_certificate_invalid",
            Self::CommonNameMismatch(_) => "common_name_mismatch",
            Self::ChallengeDisabled => "challenge_disabled",
            Self::CrcTokenMissing => "crc_token_missing",
            Self::CrcTokenInvalid(_) => "crc_token_invalid",
            Self::MethodNotAllowed | Self::NoTunnel => "method_not_allowed",
            Self::AuthorizationMissing(_) => "authorization_missing",
            Self::AuthorizationInvalid(_) => "authorization_invalid",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::UnsupportedEncoding => "unsupported_encoding",
            Self::BodyTooLarge(_) => "body_too_large",
            Self::Overloaded => "overloaded",
            Self::InvalidJson(_) => "invalid_json",
            Self::SchemaMismatch { .. } => "schema_mismatch",
            Self::SpaceNotAllowed => "space_not_allowed",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::Internal => "internal_error",
        }
    }

    /// The status of the answer (RFC 9110 section 15).
    pub fn status(&self) -> StatusCode {
        match self {
            Self::MalformedRequest(_)
            | Self::CrcTokenMissing
            | Self::CrcTokenInvalid(_)
            | Self::InvalidJson(_) => StatusCode::BAD_REQUEST,
            Self::HeaderTooLarge(_) | Self::TooManyFields(_) => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::Timeout(_) => StatusCode::REQUEST_TIMEOUT,
            Self::NotFound | Self::ChallengeDisabled => StatusCode::NOT_FOUND,
            Self::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::ClientCertificateMissing
            | Self::ClientCertificateInvalid(_)
            | Self::CommonNameMismatch(_)
            | Self::SpaceNotAllowed => StatusCode::FORBIDDEN,
            Self::MethodNotAllowed | Self::NoTunnel => StatusCode::METHOD_NOT_ALLOWED,
            Self::AuthorizationMissing(_) | Self::AuthorizationInvalid(_) => {
                StatusCode::UNAUTHORIZED
            }
            Self::UnsupportedMediaType | Self::UnsupportedEncoding => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Self::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SchemaMismatch { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::UpstreamUnreachable => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::UpstreamUnavailable | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The refusal's kind, in words that do not change from one occurrence to the next (RFC 9457
    /// section 3.1.3).
    pub fn title(&self) -> &'static str {
        match self {
            Self::MalformedRequest(_) => "The request is malformed",
            Self::HeaderTooLarge(_) | Self::TooManyFields(_) => "The request's head is too large",
            Self::Timeout(_) => "The request came too slowly",
            Self::NotFound => "There is nothing here",
            Self::RateLimited(_) => "There are too many requests",
            Self::ClientCertificateMissing => "A client certificate is required",
            Self::ClientCertificateInvalid(_) => "The client certificate is not trusted",
            Self::CommonNameMismatch(_) => "The client certificate has another name",
            Self::ChallengeDisabled => "Challenges are not answered here",
            Self::CrcTokenMissing => "The challenge has no token",
            Self::CrcTokenInvalid(_) => "The challenge's token is invalid",
            Self::MethodNotAllowed | Self::NoTunnel => "The method is not allowed",
            Self::AuthorizationMissing(_) => "Authorization is required",
            Self::AuthorizationInvalid(_) => "The authorization is not valid",
            Self::UnsupportedMediaType => "The body is not declared as JSON",
            Self::UnsupportedEncoding => "The body is compressed",
            Self::BodyTooLarge(_) => "The body is too large",
            Self::Overloaded => "Too many bodies are held in memory",
            Self::InvalidJson(_) => "The body is not valid JSON",
            Self::SchemaMismatch { .. } => "The body is not a notification of Netdata Cloud",
            Self::SpaceNotAllowed => "The notification's space is not accepted",
            Self::UpstreamUnreachable => "The application cannot be reached",
            Self::UpstreamTimeout => "The application did not answer in time",
            Self::UpstreamUnavailable => "The application is not available",
            Self::Internal => "Something went wrong here",
        }
    }

    /// What is wrong with this very request (RFC 9457 section 3.1.4).
    ///
    /// It repeats nothing of a body or a secret.
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
            Self::NoTunnel => "This is a reverse proxy, which opens no tunnels.".into(),
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
            Self::UpstreamTimeout => "The application exceeded its time.".into(),
            Self::UpstreamUnavailable => "No address of any of the application's servers is known.".into(),
            Self::Internal => "The log has more under this request id.".into(),
        }
    }

    /// After how many seconds the same may be tried again (RFC 9110 section 10.2.3), where that can
    /// be said.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::RateLimited(seconds) => Some(*seconds),
            Self::Overloaded => Some(1),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_known_beforehand() {
        let source = include_str!("rejection.rs")
            .split("pub fn status")
            .next()
            .unwrap();
        let codes: Vec<_> = source
            .lines()
            .filter_map(|line| line.split("=> \"").nth(1)?.split('"').next())
            .collect();
        assert_eq!(codes, CODES);
    }
}
