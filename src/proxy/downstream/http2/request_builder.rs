//! Decides whether the fields of a header block are a request (RFC 9113 section 8.3) that can be
//! read in one way only.

use crate::http::framing;
use crate::http::request_head::{HttpVersion, RequestHead};
use crate::rejection::Rejection;

/// The fields that end at a hop of HTTP/1.1, and do not exist in HTTP/2 (RFC 9113 section 8.2.2).
const CONNECTION_SPECIFIC: [&[u8]; 5] = [
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"transfer-encoding",
    b"upgrade",
];

/// The head of a request that is being read.
#[derive(Default)]
pub(super) struct RequestBuilder<'f> {
    method: Option<&'f [u8]>,
    scheme: Option<&'f [u8]>,
    authority: Option<&'f [u8]>,
    path: Option<&'f [u8]>,
    host: Option<&'f [u8]>,
    content_length: Option<&'f [u8]>,
    fields: Vec<(&'f [u8], &'f [u8])>,
    /// The joined value, and its index among the fields.
    cookie: Option<(usize, Vec<u8>)>,
}

impl<'f> RequestBuilder<'f> {
    /// Creates a head for as many fields.
    pub(super) fn with_capacity(fields: usize) -> Self {
        Self {
            fields: Vec::with_capacity(fields),
            ..Self::default()
        }
    }

    /// Adds a field of the block.
    pub(super) fn read(&mut self, name: &'f [u8], value: &'f [u8]) -> Result<(), Rejection> {
        if name.starts_with(b":") {
            return self.read_pseudo(name, value);
        }
        check_field(name, value)?;
        let value = value.trim_ascii();
        match name {
            b"host" => return self.set_host(value),
            b"cookie" => {
                self.add_cookie(value);
                return Ok(());
            }
            b"content-length" => self.set_content_length(value)?,
            _ => {}
        }
        self.fields.push((name, value));
        Ok(())
    }

    fn set_host(&mut self, value: &'f [u8]) -> Result<(), Rejection> {
        framing::check_host(value)?;
        set(&mut self.host, value, "There must be exactly one Host.")
    }

    fn set_content_length(&mut self, value: &'f [u8]) -> Result<(), Rejection> {
        framing::check_content_length(value)?;
        let slot = &mut self.content_length;
        set(slot, value, "Content-Length is given twice.")
    }

    /// Joins the cookies: HTTP/1.1 has one line of them (section 8.2.3).
    fn add_cookie(&mut self, value: &[u8]) {
        match &mut self.cookie {
            Some((_, crumbs)) => {
                crumbs.extend_from_slice(b"; ");
                crumbs.extend_from_slice(value);
            }
            None => self.cookie = Some((self.fields.len(), value.to_vec())),
        }
    }

    fn read_pseudo(&mut self, name: &[u8], value: &'f [u8]) -> Result<(), Rejection> {
        if self.host.is_some() || self.cookie.is_some() || !self.fields.is_empty() {
            return Rejection::malformed("A pseudo-header field follows a header field.");
        }
        let slot = match name {
            b":method" => &mut self.method,
            b":scheme" => &mut self.scheme,
            b":authority" => &mut self.authority,
            b":path" => &mut self.path,
            _ => return Rejection::malformed("A pseudo-header field is not one of a request."),
        };
        set(slot, value, "A pseudo-header field is given twice.")
    }

    /// Checks the request as a whole, which has no body if `is_bodiless`.
    pub(super) fn check(&self, is_bodiless: bool) -> Result<(), Rejection> {
        self.check_method()?;
        self.check_authority()?;
        if self.method == Some(b"CONNECT") {
            return self.check_connect();
        }
        self.check_target()?;
        self.check_content_length(is_bodiless)
    }

    fn check_connect(&self) -> Result<(), Rejection> {
        match (self.scheme, self.path) {
            (None, None) => Err(Rejection::NoTunnel),
            _ => Rejection::malformed("CONNECT has neither a scheme nor a path."),
        }
    }

    fn check_method(&self) -> Result<(), Rejection> {
        let method = self.method.unwrap_or_default();
        match !method.is_empty() && method.iter().all(|b| framing::is_token(*b)) {
            true => Ok(()),
            false => Rejection::malformed("The method is not a token."),
        }
    }

    fn check_authority(&self) -> Result<(), Rejection> {
        match (self.authority, self.host) {
            (None, None) => Rejection::malformed("There must be exactly one Host."),
            (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
                Rejection::malformed(":authority names another host than Host.")
            }
            (Some(authority), _) => framing::check_host(authority),
            (None, Some(_)) => Ok(()),
        }
    }

    fn check_target(&self) -> Result<(), Rejection> {
        if !matches!(self.scheme, Some(b"http" | b"https")) {
            return Rejection::malformed("The scheme is neither http nor https.");
        }
        let path = self.path.unwrap_or_default();
        framing::check_target(path)?;
        check_path(path)
    }

    /// Checks that a request without a body does not declare one.
    fn check_content_length(&self, is_bodiless: bool) -> Result<(), Rejection> {
        let length = self.content_length.unwrap_or_default();
        match is_bodiless && length.iter().any(|digit| *digit != b'0') {
            true => Rejection::malformed("Content-Length promises a body that does not come."),
            false => Ok(()),
        }
    }

    /// Returns the head, as far as it was read.
    pub(super) fn head(&self) -> RequestHead {
        let method = std::str::from_utf8(self.method.unwrap_or_default()).unwrap_or_default();
        let target = self.path.or(self.authority).unwrap_or_default();
        RequestHead::from_parts(HttpVersion::Http2, method, target, self.all_fields())
    }

    /// Returns all fields: the host first, and the cookies where the first of them was.
    fn all_fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let host = self.authority.or(self.host);
        let host = host.map(|host| (&b"host"[..], host));
        let cookie = self.cookie.as_ref();
        let (before, after) = self.fields.split_at(cookie.map_or(0, |(index, _)| *index));
        let cookie = cookie.map(|(_, crumbs)| (&b"cookie"[..], crumbs.as_slice()));
        host.into_iter()
            .chain(before.iter().copied())
            .chain(cookie)
            .chain(after.iter().copied())
    }
}

fn check_path(path: &[u8]) -> Result<(), Rejection> {
    match path.starts_with(b"/") || path == b"*" {
        true => Ok(()),
        false => Rejection::malformed(":path is not a path."),
    }
}

fn set<'f>(
    slot: &mut Option<&'f [u8]>,
    value: &'f [u8],
    twice: &'static str,
) -> Result<(), Rejection> {
    match slot.replace(value) {
        Some(_) => Rejection::malformed(twice),
        None => Ok(()),
    }
}

/// Checks a field that is not a pseudo-header field (RFC 9113 section 8.2).
pub(super) fn check_field(name: &[u8], value: &[u8]) -> Result<(), Rejection> {
    let is_allowed = |b: &u8| framing::is_token(*b) && !b.is_ascii_uppercase();
    if name.is_empty() || !name.iter().all(is_allowed) {
        return Rejection::malformed("The name of a header field is not a token in lower case.");
    }
    framing::check_value(value)?;
    let is_for_hop = CONNECTION_SPECIFIC.contains(&name) || (name == b"te" && value != b"trailers");
    match is_for_hop {
        true => Rejection::malformed("A header field is one that HTTP/2 does not have."),
        false => Ok(()),
    }
}
