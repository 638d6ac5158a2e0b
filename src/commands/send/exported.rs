//! The output of `queue export`: its notifications as requests, with the headers that the
//! application would have got.

use crate::commands::client::{ClientRequest, WebhookTarget};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The maximum length of a line in bytes: one is kept in memory.
const MAX_LINE: u64 = 64 << 20;

/// The header fields that belong to one connection or one message, and credentials, which were not
/// exported.
const NOT_SENT: [&str; 11] = [
    "authorization",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A file with exported notifications. It may be too large for the memory.
pub(super) struct ExportedFile {
    file: File,
    /// The place and the length of each line.
    lines: Vec<(u64, usize)>,
}

/// The part of a line that is sent.
#[derive(Deserialize)]
struct ExportedLine {
    head: String,
    body: Option<String>,
    body_base64: Option<String>,
}

impl ExportedFile {
    /// Opens the file at `path`, or standard input, and reads all of it once.
    ///
    /// # Errors
    /// The problem with the file, or with a line.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let file = open(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
        let lines = find_lines(&file).map_err(|error| format!("{shown}: {error}"))?;
        match lines.is_empty() {
            true => Err(format!("{shown} has no notifications")),
            false => Ok(Self { file, lines }),
        }
    }

    /// Returns the number of notifications.
    pub(super) fn count(&self) -> u64 {
        self.lines.len() as u64
    }

    /// Returns the `index`th notification as a request; after the last one comes the first.
    ///
    /// # Errors
    /// The reason why the file cannot be read any more.
    pub(super) fn request(
        &self,
        target: &WebhookTarget,
        index: u64,
    ) -> Result<ClientRequest, String> {
        let index = usize::try_from(index % self.count()).unwrap_or_default();
        let (offset, length) = self.lines[index];
        let mut line = vec![0; length];
        let read = self.file.read_exact_at(&mut line, offset);
        read.map_err(|error| format!("cannot read the file any more: {error}"))?;
        let line = parse(&line)?;
        let mut request = ClientRequest::post(target, line.body()?);
        request.headers.extend(line.headers()?);
        Ok(request)
    }
}

/// Opens a file whose parts can be read in any order.
fn open(path: &Path) -> io::Result<File> {
    if path == Path::new("-") {
        return spool(io::stdin().lock());
    }
    let file = File::open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => spool(file),
    }
}

/// Copies a stream into a temporary file.
fn spool(mut stream: impl io::Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(&mut stream, &mut file)?;
    file.rewind()?;
    Ok(file)
}

fn find_lines(file: &File) -> Result<Vec<(u64, usize)>, String> {
    let mut reader = BufReader::new(file);
    let (mut lines, mut line, mut offset) = (Vec::new(), Vec::new(), 0);
    for number in 1.. {
        line.clear();
        let limited = &mut reader.by_ref().take(MAX_LINE);
        let length = limited
            .read_until(b'\n', &mut line)
            .map_err(|error| error.to_string())?;
        if length == 0 {
            break;
        }
        if !line.trim_ascii().is_empty() {
            let checked = parse(&line).and_then(|line| Ok((line.body()?, line.headers()?)));
            checked.map_err(|error| format!("line {number}: {error}"))?;
            lines.push((offset, length));
        }
        offset += length as u64;
    }
    Ok(lines)
}

fn parse(line: &[u8]) -> Result<ExportedLine, String> {
    let parsed = serde_json::from_slice(line);
    parsed.map_err(|error| format!("is not a notification of `queue export`: {error}"))
}

impl ExportedLine {
    fn body(&self) -> Result<Bytes, String> {
        match (&self.body, &self.body_base64) {
            (Some(text), _) => Ok(text.clone().into()),
            (None, Some(encoded)) => {
                let decoded = BASE64_STANDARD.decode(encoded);
                decoded.map(Bytes::from).map_err(|error| error.to_string())
            }
            (None, None) => Err("has no body".to_owned()),
        }
    }

    fn headers(&self) -> Result<HeaderMap, String> {
        let fields = self.head.lines().skip(1);
        let fields = fields.filter_map(|line| line.split_once(':'));
        let is_sent = |name: &str| !NOT_SENT.iter().any(|it| name.eq_ignore_ascii_case(it));
        let mut headers = HeaderMap::new();
        for (name, value) in fields.filter(|(name, _)| is_sent(name)) {
            let wrong = |_| format!("the header {name:?} is not valid");
            let parsed = HeaderName::try_from(name).map_err(|_| wrong(()))?;
            let value = HeaderValue::try_from(value.trim()).map_err(|_| wrong(()))?;
            headers.append(parsed, value);
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn opened(text: &str) -> Result<ExportedFile, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        ExportedFile::open(file.path())
    }

    #[test]
    fn each_line_is_a_request_with_its_headers() {
        let file = opened(concat!(
            r#"{"head":"POST /a HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nX-A: ü\r\nauthorization: …\r\n\r\n","body":"{}"}"#,
            "\n\n",
            r#"{"head":"POST /a HTTP/1.1\r\n\r\n","body_base64":"/wA="}"#,
        ));
        let file = file.unwrap();
        assert_eq!(file.count(), 2);
        let target = WebhookTarget::parse("http://x/hook").unwrap();
        let first = file.request(&target, 0).unwrap();
        assert_eq!((&*first.target, &first.body[..]), ("/hook", &b"{}"[..]));
        assert_eq!(first.headers["idempotency-key"], "k");
        assert_eq!(first.headers["x-a"].as_bytes(), "ü".as_bytes());
        for name in ["host", "authorization"] {
            assert!(!first.headers.contains_key(name), "{name}");
        }
        assert_eq!(&file.request(&target, 1).unwrap().body[..], b"\xff\x00");
        assert_eq!(&file.request(&target, 2).unwrap().body[..], b"{}");
    }

    #[test]
    fn what_is_no_export_is_named_with_its_line() {
        for (text, part) in [
            ("", "has no notifications"),
            ("\n\n", "has no notifications"),
            (r#"{"alert":"x"}"#, "line 1: is not a notification"),
            ("\n{\"head\":\"\"}", "line 2: has no body"),
            (r#"{"head":"","body_base64":"?"}"#, "line 1: "),
            (
                "{\"head\":\"POST\\r\\nb d: c\\r\\n\",\"body\":\"\"}",
                "the header \"b d\" is not valid",
            ),
        ] {
            let error = opened(text).err().unwrap();
            assert!(error.contains(part), "{error}");
        }
    }
}
