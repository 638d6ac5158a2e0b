//! Decodes header blocks (RFC 7541).

use super::huffman;
use std::collections::VecDeque;

/// The size of the dynamic table in bytes, which is the default as no other size is announced (RFC
/// 9113 section 6.5.2).
const TABLE_SIZE: usize = 4096;

/// The size of an entry in addition to the bytes of its name and value.
const ENTRY_OVERHEAD: usize = 32;

/// A number larger than any that a block of bounded length needs.
const MAX_NUMBER: usize = 1 << 24;

/// A block that cannot be decoded. The connection ends with it: what follows refers to what it
/// might have said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Undecodable;

/// The state that is kept from one block to the next.
#[derive(Debug)]
pub(super) struct Decoder {
    /// The latest entry first.
    table: VecDeque<TableEntry>,
    size: usize,
    max_size: usize,
}

/// A field that later ones refer to: its name and its value, one after the other.
#[derive(Debug)]
struct TableEntry {
    bytes: Box<[u8]>,
    name: usize,
}

impl TableEntry {
    fn new(name: &[u8], value: &[u8]) -> Self {
        Self {
            bytes: [name, value].concat().into(),
            name: name.len(),
        }
    }

    fn field(&self) -> Field<'_> {
        self.bytes.split_at(self.name)
    }

    fn size(&self) -> usize {
        self.bytes.len() + ENTRY_OVERHEAD
    }
}

/// A name and its value.
type Field<'f> = (&'f [u8], &'f [u8]);

impl Decoder {
    pub(super) fn new() -> Self {
        Self {
            table: VecDeque::new(),
            size: 0,
            max_size: TABLE_SIZE,
        }
    }

    /// Decodes a whole block, and gives each field's name and value to `each`.
    ///
    /// A field of a few bytes may refer to one of kilobytes: what is kept of it, `each` has to
    /// bound.
    pub(super) fn decode(
        &mut self,
        block: &[u8],
        mut each: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), Undecodable> {
        let mut block = EncodedBlock(block);
        // A block may begin with changes of the table's size, and they stand nowhere else.
        while let Some(0b0010_0000..0b0100_0000) = block.first() {
            let size = block.number(5)?;
            self.resize(size)?;
        }
        let mut text = Vec::new();
        while let Some(first) = block.first() {
            let (name, value) = match first {
                0b1000_0000.. => self.field(block.number(7)?)?,
                0b0100_0000.. => self.literal(&mut block, 6, &mut text)?,
                0b0010_0000.. => return Err(Undecodable),
                _ => self.literal(&mut block, 4, &mut text)?,
            };
            each(name, value);
            if matches!(first, 0b0100_0000..0b1000_0000) {
                let entry = TableEntry::new(name, value);
                self.insert(entry);
            }
        }
        Ok(())
    }

    /// Changes the largest size of the table (section 6.3).
    fn resize(&mut self, size: usize) -> Result<(), Undecodable> {
        if size > TABLE_SIZE {
            return Err(Undecodable);
        }
        self.max_size = size;
        self.evict(0);
        Ok(())
    }

    /// Reads a field that the tables do not have, into `text`.
    fn literal<'f>(
        &'f self,
        block: &mut EncodedBlock<'_>,
        prefix: u32,
        text: &'f mut Vec<u8>,
    ) -> Result<Field<'f>, Undecodable> {
        text.clear();
        let known = match block.number(prefix)? {
            0 => None,
            index => Some(self.field(index)?.0),
        };
        if known.is_none() {
            block.string(text)?;
        }
        let end_of_name = text.len();
        block.string(text)?;
        let (name, value) = text.split_at(end_of_name);
        Ok((known.unwrap_or(name), value))
    }

    /// Returns the field at an index that counts the static table first.
    fn field(&self, index: usize) -> Result<Field<'_>, Undecodable> {
        let index = index.checked_sub(1).ok_or(Undecodable)?;
        match index.checked_sub(STATIC.len()) {
            None => Ok(static_field(index)),
            Some(index) => self
                .table
                .get(index)
                .map(TableEntry::field)
                .ok_or(Undecodable),
        }
    }

    fn insert(&mut self, entry: TableEntry) {
        let size = entry.size();
        self.evict(size);
        // One that is larger than the table leaves it empty (section 4.4).
        if size <= self.max_size {
            self.size += size;
            self.table.push_front(entry);
        }
    }

    /// Makes room for `more`, oldest first.
    fn evict(&mut self, more: usize) {
        while self.size + more > self.max_size {
            let Some(entry) = self.table.pop_back() else {
                return;
            };
            self.size -= entry.size();
        }
    }
}

fn static_field(index: usize) -> Field<'static> {
    let (name, value) = STATIC[index];
    (name.as_bytes(), value.as_bytes())
}

/// The rest of a block that is being decoded.
struct EncodedBlock<'b>(&'b [u8]);

impl EncodedBlock<'_> {
    fn first(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn byte(&mut self) -> Result<u8, Undecodable> {
        let (first, rest) = self.0.split_first().ok_or(Undecodable)?;
        self.0 = rest;
        Ok(*first)
    }

    /// Reads a number that begins in the lower `prefix` bits of a byte (section 5.1).
    fn number(&mut self, prefix: u32) -> Result<usize, Undecodable> {
        let mask = (1_usize << prefix) - 1;
        let mut number = usize::from(self.byte()?) & mask;
        if number < mask {
            return Ok(number);
        }
        for shift in [0, 7, 14, 21] {
            let byte = usize::from(self.byte()?);
            number += (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number)
                    .filter(|it| *it <= MAX_NUMBER)
                    .ok_or(Undecodable);
            }
        }
        Err(Undecodable)
    }

    /// Reads a string (section 5.2), and appends it to `text`.
    fn string(&mut self, text: &mut Vec<u8>) -> Result<(), Undecodable> {
        let is_coded = self.0.first().is_some_and(|first| first & 0x80 != 0);
        let length = self.number(7)?;
        let (string, rest) = self.0.split_at_checked(length).ok_or(Undecodable)?;
        self.0 = rest;
        if !is_coded {
            text.extend_from_slice(string);
            return Ok(());
        }
        text.reserve(length * 8 / 5);
        huffman::decode(string, text).ok_or(Undecodable)
    }
}

/// RFC 7541, appendix A.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, Undecodable> {
        let mut fields = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        decoder.decode(block, |name, value| {
            fields.push(format!("{}={}", text(name), text(value)))
        })?;
        Ok(fields)
    }

    /// RFC 7541, appendix C.4: three requests on one connection.
    #[test]
    fn the_examples_of_the_standard_are_understood() {
        let mut decoder = Decoder::new();
        let first = [
            0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab,
            0x90, 0xf4, 0xff,
        ];
        let common = [
            ":method=GET",
            ":scheme=http",
            ":path=/",
            ":authority=www.example.com",
        ];
        assert_eq!(decoded(&mut decoder, &first).unwrap(), common);
        let second = [
            0x82, 0x86, 0x84, 0xbe, 0x58, 0x86, 0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf,
        ];
        assert_eq!(
            decoded(&mut decoder, &second).unwrap(),
            [&common[..], &["cache-control=no-cache"]].concat()
        );
        let third = [
            0x82, 0x87, 0x85, 0xbf, 0x40, 0x88, 0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f,
            0x89, 0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf,
        ];
        let expected = [
            ":method=GET",
            ":scheme=https",
            ":path=/index.html",
            ":authority=www.example.com",
            "custom-key=custom-value",
        ];
        assert_eq!(decoded(&mut decoder, &third).unwrap(), expected);
        assert_eq!(decoder.size, 164);
        // Without room, nothing is remembered.
        assert_eq!(
            decoded(&mut decoder, &[0x20, 0x82]).unwrap(),
            [":method=GET"]
        );
        assert_eq!((decoder.size, decoder.table.len()), (0, 0));
        assert_eq!(decoded(&mut decoder, &[0xbe]), Err(Undecodable));
    }

    #[test]
    fn what_cannot_be_decoded_is_an_error() {
        for block in [
            &[0x80][..],
            &[0xbe],
            &[0xff],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
            &[0xff, 0x80, 0x80, 0x80, 0x80, 0x00],
            &[0x00],
            &[0x00, 0x01],
            &[0x00, 0x01, b'a', 0x02, b'b'],
            &[0x00, 0x81, 0xff, 0x00],
            &[0x3f, 0xe2, 0x1f],
            &[0x82, 0x20],
        ] {
            assert_eq!(
                decoded(&mut Decoder::new(), block),
                Err(Undecodable),
                "{block:x?}"
            );
        }
    }

    #[test]
    fn the_table_stays_as_small_as_it_may_be() {
        let mut decoder = Decoder::new();
        for length in [100, 1000, 4000, 4096, 5, 60] {
            let mut block = vec![0x40, 1, b'n', 0x7f];
            let mut rest = i32::max(length - 127, 0);
            if length < 127 {
                block[3] = length as u8;
            } else {
                while rest > 127 {
                    block.push((rest % 128) as u8 | 0x80);
                    rest /= 128;
                }
                block.push(rest as u8);
            }
            block.resize(block.len() + length as usize, b'v');
            decoded(&mut decoder, &block).unwrap();
            assert_eq!(
                decoder.size,
                decoder.table.iter().map(TableEntry::size).sum::<usize>()
            );
            assert!(decoder.size <= TABLE_SIZE);
        }
        assert_eq!(decoder.table.len(), 2, "what was too large left it empty");
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(blocks: Vec<Vec<u8>>) {
            let mut decoder = Decoder::new();
            for block in blocks {
                let _ = decoded(&mut decoder, &block);
            }
        }
    }
}
