//! Every reason to refuse a request, with its code, status, title, detail and advice.

mod table;

pub(crate) use table::{
    PRESENT_CERTIFICATE, REFUSALS, TRUST_CERTIFICATE, client_advice, operator_advice,
};

use http::StatusCode;
use std::borrow::Cow;
use std::fmt;
use table::RefusalRow;

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
            Self::MalformedRequest(_) => &table::MALFORMED_REQUEST,
            Self::HeaderTooLarge(_) | Self::TooManyFields(_) => &table::HEADER_TOO_LARGE,
            Self::Timeout(_) => &table::TIMEOUT,
            Self::NotFound => &table::NOT_FOUND,
            Self::RateLimited(_) => &table::RATE_LIMITED,
            Self::ClientCertificateMissing => &table::CLIENT_CERTIFICATE_MISSING,
            Self::ClientCertificateInvalid(_) => &table::CLIENT_CERTIFICATE_INVALID,
            Self::CommonNameMismatch(_) => &table::COMMON_NAME_MISMATCH,
            Self::ChallengeDisabled => &table::CHALLENGE_DISABLED,
            Self::CrcTokenMissing => &table::CRC_TOKEN_MISSING,
            Self::CrcTokenInvalid(_) => &table::CRC_TOKEN_INVALID,
            Self::MethodNotAllowed | Self::NoTunnel => &table::METHOD_NOT_ALLOWED,
            Self::AuthorizationMissing(_) => &table::AUTHORIZATION_MISSING,
            Self::AuthorizationInvalid(_) => &table::AUTHORIZATION_INVALID,
            Self::UnsupportedMediaType => &table::UNSUPPORTED_MEDIA_TYPE,
            Self::UnsupportedEncoding => &table::UNSUPPORTED_ENCODING,
            Self::BodyTooLarge(_) => &table::BODY_TOO_LARGE,
            Self::Overloaded => &table::OVERLOADED,
            Self::InvalidJson(_) => &table::INVALID_JSON,
            Self::SchemaMismatch { .. } => &table::SCHEMA_MISMATCH,
            Self::SpaceNotAllowed => &table::SPACE_NOT_ALLOWED,
            Self::UpstreamUnreachable => &table::UPSTREAM_UNREACHABLE,
            Self::UpstreamTimeout => &table::UPSTREAM_TIMEOUT,
            Self::UpstreamUnavailable => &table::UPSTREAM_UNAVAILABLE,
            Self::QueueFull => &table::QUEUE_FULL,
            Self::QueueFailed => &table::QUEUE_FAILED,
            Self::Internal => &table::INTERNAL_ERROR,
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
        self.particulars()
            .unwrap_or_else(|| self.refusal().detail.into())
    }

    /// Describes what differs from one occurrence to the next, where something does.
    fn particulars(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::MalformedRequest(what) | Self::CrcTokenInvalid(what) => (*what).into(),
            Self::ClientCertificateInvalid(reason)
            | Self::CommonNameMismatch(reason)
            | Self::InvalidJson(reason) => reason.clone().into(),
            Self::HeaderTooLarge(limit) => format!("The head may have {limit} bytes.").into(),
            Self::TooManyFields(limit) => format!("The head may have {limit} fields.").into(),
            Self::BodyTooLarge(limit) => format!("The body may have {limit} bytes.").into(),
            Self::Timeout(part) => format!("The {part} did not arrive in time.").into(),
            Self::RateLimited(seconds) => format!("Try again after {seconds} s.").into(),
            Self::NoTunnel => "This is a reverse proxy, which does not open tunnels.".into(),
            Self::SchemaMismatch { pointer, expected } => mismatch(pointer, expected).into(),
            _ => return None,
        })
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
        match self {
            Self::AuthorizationMissing(schemes) => Some(schemes.challenge()),
            Self::AuthorizationInvalid(schemes) => Some(schemes.challenge_after_failure()),
            _ => None,
        }
    }
}

impl Schemes {
    /// The schemes that are offered to a client without credentials.
    fn challenge(self) -> &'static str {
        match (self.basic, self.bearer) {
            (true, true) => {
                "Basic realm=\"netdata-webhook\", charset=\"UTF-8\", Bearer realm=\"netdata-webhook\""
            }
            (true, false) => "Basic realm=\"netdata-webhook\", charset=\"UTF-8\"",
            (false, _) => "Bearer realm=\"netdata-webhook\"",
        }
    }

    /// The schemes that are offered to a client whose credentials were wrong. Where Bearer is the
    /// only one, the token is named as the reason (RFC 6750 section 3.1).
    fn challenge_after_failure(self) -> &'static str {
        match self.basic {
            true => self.challenge(),
            false => "Bearer realm=\"netdata-webhook\", error=\"invalid_token\"",
        }
    }
}

fn mismatch(pointer: &str, expected: &str) -> String {
    format!("The value at \"{pointer}\" must be {expected}.")
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code(), self.detail())
    }
}

impl std::error::Error for Rejection {}
