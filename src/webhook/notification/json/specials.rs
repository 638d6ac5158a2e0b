//! Finds where strings end.

/// The number of bytes of which the marks are in one word.
const BLOCK: usize = u64::BITS as usize;

/// Finds the bytes of a text that do not stand for themselves in a string: quotes, backslashes and
/// control characters. It marks those of 64 bytes at once, which takes three instructions a byte;
/// a search in each string, eight bytes at a time, takes five.
#[derive(Debug)]
pub(super) struct Specials<'a> {
    bytes: &'a [u8],
    /// The block that was marked last.
    block: usize,
    marks: u64,
}

impl<'a> Specials<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let mut specials = Self {
            bytes,
            block: 0,
            marks: 0,
        };
        specials.mark(0);
        specials
    }

    /// Returns the place of the first one from `start` on, or the end. `start` is not behind that.
    #[inline]
    pub(super) fn next(&mut self, start: usize) -> usize {
        if start / BLOCK != self.block {
            self.mark(start / BLOCK);
        }
        let marks = self.marks >> (start % BLOCK);
        if marks != 0 {
            return start + marks.trailing_zeros() as usize;
        }
        loop {
            self.mark(self.block + 1);
            if self.marks != 0 {
                return self.block * BLOCK + self.marks.trailing_zeros() as usize;
            }
        }
    }

    fn mark(&mut self, block: usize) {
        let rest = &self.bytes[block * BLOCK..];
        self.block = block;
        self.marks = match rest.first_chunk() {
            Some(bytes) => marks_of(bytes),
            None => {
                // Everything behind the end is marked.
                let mut bytes = [0; BLOCK];
                bytes[..rest.len()].copy_from_slice(rest);
                marks_of(&bytes)
            }
        };
    }
}

/// Returns a bit for each byte of a block, from the lowest one on.
fn marks_of(block: &[u8; BLOCK]) -> u64 {
    let flags = block.map(|byte| u8::from(byte < b' ' || byte == b'"' || byte == b'\\'));
    let (words, _) = flags.as_chunks::<8>();
    let words = words.iter().rev().map(|word| u64::from_le_bytes(*word));
    words.fold(0, |marks, word| marks << 8 | pack(word))
}

/// Packs eight bytes that are 0 or 1 into eight bits.
fn pack(flags: u64) -> u64 {
    flags.wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_byte_is_special_or_stands_for_itself() {
        for byte in 0..=u8::MAX {
            let is_special = matches!(byte, 0..=0x1f | b'"' | b'\\');
            for place in [0, 7, 8, 63, 64, 70] {
                let mut bytes = [b'a'; 80];
                bytes[place] = byte;
                let expected = if is_special { place } else { 80 };
                assert_eq!(Specials::of(&bytes).next(0), expected, "{byte} at {place}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_next_one_is_found_from_anywhere(
            bytes in proptest::collection::vec(prop_oneof![9 => Just(b'a'), 1 => any::<u8>()], 0..300),
        ) {
            let mut specials = Specials::of(&bytes);
            let is_special = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
            for start in 0..=bytes.len() {
                let length = bytes[start..].iter().position(is_special);
                let expected = length.map_or(bytes.len(), |length| start + length);
                prop_assert_eq!(specials.next(start), expected);
                prop_assert_eq!(Specials::of(&bytes).next(start), expected);
            }
        }
    }
}
