//! HTTP/2 frames, written by hand: no library sends what attacks send.

/// What every connection begins with, and empty settings.
pub(crate) fn preface() -> Vec<u8> {
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(),
        &frame(SETTINGS, 0, 0, &[]),
    ]
    .concat()
}

pub(crate) const DATA: u8 = 0;
const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW_UPDATE: u8 = 8;

const END_HEADERS: u8 = 4;

/// RFC 9113 section 4.1.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .expect("no frame here is that long")
        .to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The head of a POST to the webhook, with a body to come. Each field is a literal without
/// indexing.
pub(crate) fn post(stream: u32) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/webhooks/netdata"),
    ];
    let mut block = Vec::new();
    for (name, value) in fields {
        for (index, text) in [name, value].into_iter().enumerate() {
            if index == 0 {
                block.push(0);
            }
            block.push(u8::try_from(text.len()).expect("no text here is that long"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    frame(HEADERS, END_HEADERS, stream, &block)
}
