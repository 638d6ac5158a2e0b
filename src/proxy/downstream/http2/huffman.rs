//! Decodes strings of the Huffman code of RFC 7541 (appendix B), four bits at a time.

/// The lengths of the symbols' codes in bits. The code is canonical, so the lengths define it
/// completely.
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The bytes, and the end of a string.
const SYMBOLS: usize = 257;

/// The nodes of the code's tree that are not leaves.
const NODES: usize = SYMBOLS - 1;

/// The result of following four bits from a node.
#[derive(Clone, Copy)]
struct Step {
    /// The node after them.
    node: u8,
    /// The symbol that the bits complete. No code is shorter than five bits, so it is one at most.
    byte: Option<u8>,
    /// No string goes this way.
    is_wrong: bool,
}

/// The end of a branch of the tree.
#[derive(Clone, Copy)]
enum Branch {
    Nowhere,
    Node(u8),
    Leaf(u16),
}

/// Each node's two branches, the root first.
static TREE: [[Branch; 2]; NODES] = {
    let mut tree = [[Branch::Nowhere; 2]; NODES];
    let (mut nodes, mut code, mut length) = (1, 0_u32, 1);
    while length <= 30 {
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] == length {
                let (mut node, mut bit) = (0, length - 1);
                while bit > 0 {
                    let side = ((code >> bit) & 1) as usize;
                    node = match tree[node][side] {
                        Branch::Node(next) => next as usize,
                        _ => {
                            tree[node][side] = Branch::Node(nodes as u8);
                            nodes += 1;
                            nodes - 1
                        }
                    };
                    bit -= 1;
                }
                tree[node][(code & 1) as usize] = Branch::Leaf(symbol as u16);
                code += 1;
            }
            symbol += 1;
        }
        code <<= 1;
        length += 1;
    }
    tree
};

static STEPS: [[Step; 16]; NODES] = {
    let mut steps = [[Step {
        node: 0,
        byte: None,
        is_wrong: false,
    }; 16]; NODES];
    let mut start = 0;
    while start < NODES {
        let mut bits = 0;
        while bits < 16 {
            steps[start][bits] = step(start, bits);
            bits += 1;
        }
        start += 1;
    }
    steps
};

const fn step(start: usize, bits: usize) -> Step {
    let mut step = Step {
        node: 0,
        byte: None,
        is_wrong: false,
    };
    let (mut node, mut bit) = (start, 4);
    while bit > 0 {
        bit -= 1;
        node = match TREE[node][(bits >> bit) & 1] {
            Branch::Node(next) => next as usize,
            Branch::Leaf(symbol) if symbol < 256 => {
                step.byte = Some(symbol as u8);
                0
            }
            // The end of a string is not written out (section 5.2).
            Branch::Leaf(_) | Branch::Nowhere => {
                step.is_wrong = true;
                return step;
            }
        };
    }
    step.node = node as u8;
    step
}

/// Returns `true` if a string may end at a node: the rest of a byte is filled up with ones, of which
/// there are up to seven.
static IS_END: [bool; NODES] = {
    let mut is_end = [false; NODES];
    let (mut node, mut ones) = (0, 0);
    while ones < 8 {
        is_end[node] = true;
        node = match TREE[node][1] {
            Branch::Node(next) => next as usize,
            // The end of a string has thirty ones: seven of them lead to no leaf.
            _ => 0,
        };
        ones += 1;
    }
    is_end
};

/// Appends what `coded` says to `text`. `None` if that is nothing.
pub(super) fn decode(coded: &[u8], text: &mut Vec<u8>) -> Option<()> {
    let mut node = 0;
    for byte in coded {
        for bits in [byte >> 4, byte & 15] {
            let step = STEPS[usize::from(node)][usize::from(bits)];
            if step.is_wrong {
                return None;
            }
            text.extend(step.byte);
            node = step.node;
        }
    }
    IS_END[usize::from(node)].then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Appends the code of `text`.
    fn encode(text: &[u8]) -> Vec<u8> {
        let mut bits = String::new();
        for byte in text {
            bits += &code(usize::from(*byte));
        }
        while !bits.len().is_multiple_of(8) {
            bits.push('1');
        }
        bits.as_bytes()
            .chunks(8)
            .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap())
            .collect()
    }

    fn code(symbol: usize) -> String {
        let mut code = 0_u32;
        for length in 1..=30 {
            for (other, _) in LENGTHS
                .iter()
                .enumerate()
                .filter(|(_, bits)| **bits == length)
            {
                if other == symbol {
                    return format!("{code:0width$b}", width = usize::from(length));
                }
                code += 1;
            }
            code <<= 1;
        }
        unreachable!()
    }

    fn decoded(coded: &[u8]) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        decode(coded, &mut text).map(|()| text)
    }

    #[test]
    fn the_examples_of_the_standard_are_understood() {
        // RFC 7541, appendix C.4 and C.6.
        for (coded, text) in [
            (
                &[
                    0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
                ][..],
                "www.example.com",
            ),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (
                &[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf],
                "custom-value",
            ),
            (&[0x64, 0x02], "302"),
            (&[], ""),
        ] {
            assert_eq!(decoded(coded).as_deref(), Some(text.as_bytes()));
        }
        assert_eq!(code(256), "1".repeat(30));
    }

    #[test]
    fn what_does_not_end_properly_is_nothing() {
        // Eight ones and more; a zero in what fills up; the end of a string.
        for coded in [
            &[0xff][..],
            &[0x1f, 0xff],
            &[0x18],
            &[0xff, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(decoded(coded), None, "{coded:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_coded_is_decoded(text: Vec<u8>) {
            proptest::prop_assert_eq!(decoded(&encode(&text)), Some(text));
        }

        #[test]
        fn nothing_panics(coded: Vec<u8>) {
            let _ = decoded(&coded);
        }
    }
}
