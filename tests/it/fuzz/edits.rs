//! Damage to bytes, as it happens and as somebody might wish it.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Longest result: doubling again and again is no finding.
const BYTES_MAX: usize = 1 << 22;

/// Numbers at the ends of what types hold, and what looks like a number.
const EXTREMES: [&str; 13] = [
    "0",
    "-1",
    "-0",
    "0.5",
    "1e400",
    "-1e-320",
    "NaN",
    "inf",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
];

/// One change.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    Flip(Index, u8),
    Replace(Index, u8),
    Truncate(Index),
    Drop(Index, Index),
    /// A range stands twice.
    Double(Index, Index),
    /// A range stands elsewhere as well.
    Splice(Index, Index, Index),
    /// The next number in digits is another; where there is none, the next eight bytes are.
    Number(Index, &'static str),
}

impl Edit {
    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() || bytes.len() > BYTES_MAX {
            return;
        }
        let n = bytes.len();
        let span = |a: &Index, b: &Index| {
            let (a, b) = (a.index(n), b.index(n));
            a.min(b)..a.max(b) + 1
        };
        match self {
            Self::Flip(at, bit) => bytes[at.index(n)] ^= 1 << (bit % 8),
            Self::Replace(at, byte) => bytes[at.index(n)] = *byte,
            Self::Truncate(at) => bytes.truncate(at.index(n)),
            Self::Drop(from, to) => drop(bytes.drain(span(from, to))),
            Self::Double(from, to) => {
                let range = span(from, to);
                let copy = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, copy);
            }
            Self::Splice(from, to, at) => {
                let (copy, at) = (bytes[span(from, to)].to_vec(), at.index(n));
                bytes.splice(at..at, copy);
            }
            Self::Number(at, number) => replace_number(bytes, at.index(n), number),
        }
    }
}

fn replace_number(bytes: &mut Vec<u8>, at: usize, number: &str) {
    let digit = |b: &u8| b.is_ascii_digit();
    match bytes[at..].iter().position(digit) {
        Some(first) => {
            let first = at + first;
            let length = bytes[first..].iter().take_while(|b| digit(b)).count();
            bytes.splice(first..first + length, number.bytes());
        }
        None => {
            let end = bytes.len().min(at + 8);
            let value = number.parse::<i64>().unwrap_or(i64::MAX).to_le_bytes();
            bytes.splice(at..end, value);
        }
    }
}

/// Changes that leave everything in its place.
pub(super) fn in_place() -> impl Strategy<Value = Vec<Edit>> {
    let at = any::<Index>;
    let flip = (at(), 0u8..8).prop_map(|(at, bit)| Edit::Flip(at, bit));
    vec(prop_oneof![flip, (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Replace(at, byte))], 1..5)
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    prop_oneof![
        3 => (at(), 0u8..8).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        3 => (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        1 => at().prop_map(Edit::Truncate),
        1 => (at(), at()).prop_map(|(from, to)| Edit::Drop(from, to)),
        1 => (at(), at()).prop_map(|(from, to)| Edit::Double(from, to)),
        1 => (at(), at(), at()).prop_map(|(from, to, at)| Edit::Splice(from, to, at)),
        4 => (at(), select(&EXTREMES[..])).prop_map(|(at, number)| Edit::Number(at, number)),
    ]
}

/// A change or a few.
pub(super) fn edits() -> impl Strategy<Value = Vec<Edit>> {
    prop_oneof![2 => vec(edit(), 1), 1 => vec(edit(), 2..5)]
}

/// Random bytes, and samples that were changed.
pub(super) fn bytes(samples: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let damaged = (select(samples), edits()).prop_map(|(mut bytes, edits)| {
        edits.iter().for_each(|edit| edit.apply(&mut bytes));
        bytes
    });
    prop_oneof![1 => vec(any::<u8>(), 0..400), 5 => damaged]
}
