//! The sections of a file in PEM.

use super::fault::Fault;
use super::line::{Line, Marker, is_base64, lines, without_mark};
use rustls::pki_types::pem::{PemObject as _, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The parser's own words are names of its types.
pub(in crate::config) const UNREADABLE: &str =
    "the certificate cannot be read: it is damaged, or not an X.509 certificate";

pub(super) const ENCRYPTED: &str =
    "the key is encrypted; store it decrypted, readable by this program alone";

/// A part of a file, and the line where it began.
pub(in crate::config) struct AtLine<T> {
    pub(in crate::config) line: usize,
    pub(in crate::config) value: T,
}

/// The lines from one with dashes to the next, both included.
pub(super) struct PemSection<'p> {
    pub(super) line: usize,
    pub(super) label: &'p str,
    /// The text as it is in the file, both lines with dashes included.
    text: &'p [u8],
    /// `true` if lines such as `Proc-Type: 4,ENCRYPTED` stand before its contents.
    has_headers: bool,
}

impl PemSection<'_> {
    pub(super) fn fault(&self, what: impl Into<String>) -> Fault {
        Fault::at(self.line, what)
    }

    /// Returns a value that was read from the section, with the line where that began.
    pub(super) fn at_line<T>(&self, value: T) -> AtLine<T> {
        AtLine {
            line: self.line,
            value,
        }
    }

    fn objection_to_headers(&self) -> &'static str {
        match self.label.ends_with("PRIVATE KEY") {
            true => ENCRYPTED,
            false => "the section has headers, which are not supported",
        }
    }

    pub(super) fn decode(&self) -> Result<(SectionKind, Vec<u8>), Fault> {
        if self.has_headers {
            return Err(self.fault(self.objection_to_headers()));
        }
        // The error may hold what could not be read.
        <(SectionKind, Vec<u8>)>::from_pem_slice(self.text)
            .map_err(|_| self.fault("the section is not Base64"))
    }

    pub(super) fn certificate(&self) -> Result<AtLine<CertificateDer<'static>>, Fault> {
        let (_, der) = self.decode()?;
        match x509_parser::parse_x509_certificate(&der) {
            Ok(([], _)) => Ok(self.at_line(der.into())),
            Ok(_) => Err(self.fault(
                "the certificate is followed by other data, such as OpenSSL's trust settings",
            )),
            Err(_) => Err(self.fault(UNREADABLE)),
        }
    }

    pub(super) fn private_key(&self) -> Result<PrivateKeyDer<'static>, Fault> {
        let (kind, der) = self.decode()?;
        PrivateKeyDer::from_pem(kind, der).ok_or_else(|| self.fault("the key cannot be read"))
    }
}

/// Returns every section. Text between them, as tools write it, is none of them, unless it looks
/// like one.
pub(super) fn sections(pem: &[u8]) -> Result<Vec<PemSection<'_>>, Fault> {
    if pem.starts_with(b"\xff\xfe") || pem.starts_with(b"\xfe\xff") {
        return Err(Fault::whole("is UTF-16: save it as UTF-8 or ASCII"));
    }
    let mut reader = SectionReader::new(pem);
    for line in lines(pem) {
        reader.take(&line)?;
    }
    reader.finish()
}

/// The sections that were read, and the one that is open.
struct SectionReader<'p> {
    pem: &'p [u8],
    sections: Vec<PemSection<'p>>,
    open: Option<PemSection<'p>>,
}

impl<'p> SectionReader<'p> {
    fn new(pem: &'p [u8]) -> Self {
        Self {
            pem,
            sections: Vec::new(),
            open: None,
        }
    }

    fn take(&mut self, line: &Line<'p>) -> Result<(), Fault> {
        let marker = Marker::of(line.text, self.open.is_some(), line.number)?;
        match marker {
            Some(Marker::Begin(label)) => self.begin(line, label),
            Some(Marker::End(label)) => self.end(line, label),
            None => self.read(line),
        }
    }

    fn finish(self) -> Result<Vec<PemSection<'p>>, Fault> {
        match self.open {
            Some(section) => Err(section.fault("the section has no END line")),
            None => Ok(self.sections),
        }
    }

    fn begin(&mut self, line: &Line<'p>, label: &'p str) -> Result<(), Fault> {
        let number = line.number;
        if let Some(section) = &self.open {
            return Err(section.fault(format!(
                "the section has no END line before the next begins in line {number}"
            )));
        }
        let start = line.start + line.text.len() - without_mark(line.text).len();
        self.open = Some(PemSection {
            line: number,
            label,
            text: &self.pem[start..],
            has_headers: false,
        });
        Ok(())
    }

    /// Reads a line without dashes.
    fn read(&mut self, line: &Line<'p>) -> Result<(), Fault> {
        let Some(section) = &mut self.open else {
            return Ok(());
        };
        section.has_headers |= line.text.contains(&b':');
        match section.has_headers || line.text.iter().all(|byte| is_base64(*byte)) {
            true => Ok(()),
            false => Err(Fault::at(
                line.number,
                "not Base64, which is expected up to the END line",
            )),
        }
    }

    fn end(&mut self, line: &Line<'p>, label: &str) -> Result<(), Fault> {
        let Some(section) = self.open.take() else {
            return Err(Fault::at(line.number, "ends a section that has not begun"));
        };
        if section.label != label {
            let message = format!("ends another section than began in line {}", section.line);
            return Err(Fault::at(line.number, message));
        }
        let before = self.pem.len() - section.text.len();
        let end = line.start + line.text.len() - before;
        self.sections.push(PemSection {
            text: &section.text[..end],
            ..section
        });
        Ok(())
    }
}
