//! One attempt to deliver: what it means that an application responded as it did.

use super::desk::trial;
use super::order::{Failure, Trial};
use crate::upstream::exchange::{ExchangeError, UpstreamResponse};
use http::StatusCode;
use std::time::{Duration, SystemTime};

/// An attempt after which the notification is not delivered.
#[derive(Clone, Debug)]
pub(crate) struct FailedAttempt {
    pub(super) trial: Trial,
    /// A description of the failure.
    pub(crate) error: String,
    /// The application has not responded at all.
    pub(super) is_unreached: bool,
}

impl FailedAttempt {
    /// An attempt that was given up before it had a result.
    pub(super) fn given_up() -> Self {
        Self {
            trial: trial(Failure::Down, Duration::ZERO),
            error: "the attempt was given up".to_owned(),
            is_unreached: false,
        }
    }
}

/// Judges an attempt. Only a 2xx means that the application has taken the notification.
pub(crate) fn judge(
    attempt: &Result<UpstreamResponse, ExchangeError>,
) -> Result<(), FailedAttempt> {
    match attempt {
        Ok(response) => {
            let fields = response.head.fields();
            let is_retry_after = |name: &[u8]| name.eq_ignore_ascii_case(b"retry-after");
            let mut fields = fields.filter(|(name, _)| is_retry_after(name));
            let retry_after = fields.next().map(|(_, value)| value);
            judge_status(response.head.status(), retry_after)
        }
        Err(error) => Err(FailedAttempt {
            trial: trial(Failure::Down, Duration::ZERO),
            error: error.to_string(),
            is_unreached: true,
        }),
    }
}

fn judge_status(status: StatusCode, retry_after: Option<&[u8]>) -> Result<(), FailedAttempt> {
    let failure = match status.as_u16() {
        200..=299 => return Ok(()),
        429 | 502 | 503 | 504 => Failure::Down,
        _ => Failure::Refused,
    };
    let retry_after = retry_after.and_then(|value| parse_retry_after(value, SystemTime::now()));
    Err(FailedAttempt {
        trial: trial(failure, retry_after.unwrap_or_default()),
        error: format!("status {}", status.as_u16()),
        is_unreached: false,
    })
}

/// Parses the value of `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date.
fn parse_retry_after(value: &[u8], now: SystemTime) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text)
            .ok()?
            .duration_since(now)
            .ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_2xx_is_delivered_and_some_statuses_are_those_of_a_whole_application() {
        for (status, expected) in [
            (200, None),
            (204, None),
            (299, None),
            (301, Some(Failure::Refused)),
            (400, Some(Failure::Refused)),
            (404, Some(Failure::Refused)),
            (429, Some(Failure::Down)),
            (500, Some(Failure::Refused)),
            (501, Some(Failure::Refused)),
            (502, Some(Failure::Down)),
            (503, Some(Failure::Down)),
            (504, Some(Failure::Down)),
            (505, Some(Failure::Refused)),
        ] {
            let judged = judge_status(StatusCode::from_u16(status).unwrap(), None);
            let failure = judged.err().map(|failed| failed.trial.failure);
            assert_eq!(failure, expected, "{status}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        for (value, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:00 GMT", Some(23)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", None),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            let parsed = parse_retry_after(value.as_bytes(), now);
            assert_eq!(parsed, expected.map(Duration::from_secs), "{value:?}");
        }
    }
}
