//! One array of numpy's `.npy` format (versions 1 to 3, numpy's NEP 1), row by row.

use std::io::Read;

use half::f16;

use crate::tensor::{DType, Tensor};

/// Most bytes of a header, of a row, and of an array in Fortran order, which must be held whole: a small file must not
/// unpack into all of the memory.
const HEADER_BYTES_MAX: usize = 1 << 20;
const ROW_BYTES_MAX: usize = 1 << 30;
const WHOLE_BYTES_MAX: usize = 4 << 30;

/// What went wrong, to be put behind the array's name.
type Result<T> = std::result::Result<T, String>;

/// An open array. Its first axis counts rows.
pub(super) struct Array<R> {
    file: R,
    element: Element,
    shape: Vec<usize>,
    /// Bytes of a row.
    row: usize,
    read: usize,
    turned: Option<Turned>,
}

/// The type of an element: numpy's letter for its kind, its bytes, and whether they come in big-endian order.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Element {
    kind: char,
    size: usize,
    big: bool,
}

/// All of an array in Fortran order, and for each element of a row in C order its place among the row's elements there.
struct Turned {
    data: Vec<u8>,
    places: Vec<usize>,
}

impl<R: Read> Array<R> {
    /// Reads the header.
    pub(super) fn open(mut file: R) -> Result<Self> {
        let header = header(&mut file)?;
        let element = Element::parse(&header)?;
        let shape = shape(&header)?;
        let Some(&rows) = shape.first() else {
            return Err("is a single number; rows of samples were expected".to_owned());
        };
        let row = shape[1..].iter().try_fold(element.size, |n, &d| n.checked_mul(d)).filter(|n| *n <= ROW_BYTES_MAX);
        let row = row.ok_or_else(|| format!("has rows of over {ROW_BYTES_MAX} bytes: {shape:?}"))?;
        if row == 0 {
            return Err(format!("has rows without an element: {shape:?}"));
        }
        // One axis of more than one element is in both orders at once.
        let turned = value(&header, "'fortran_order':")?.starts_with("True") && shape.len() > 1;
        let turned = if turned { Some(Turned::read(&mut file, rows, row, &shape[1..])?) } else { None };
        Ok(Self { file, element, shape, row, read: 0, turned })
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The next row, without the first axis. The end of the file is checked with the last one.
    pub(super) fn next(&mut self) -> Result<Tensor> {
        let mut bytes = Vec::new();
        if let Some(Turned { data, places }) = &self.turned {
            let size = self.element.size;
            for place in places {
                let at = (self.read + self.shape[0] * place) * size;
                bytes.extend(data.get(at..at + size).ok_or("ends too early")?);
            }
        } else {
            let unpack = |e| format!("cannot be unpacked: {e}");
            self.file.by_ref().take(self.row as u64).read_to_end(&mut bytes).map_err(unpack)?;
            if bytes.len() < self.row {
                return Err(format!("ends too early, in row {} of {}", self.read, self.shape[0]));
            }
        }
        self.read += 1;
        if self.read == self.shape[0] && self.file.read(&mut [0]).map_err(|e| format!("cannot be unpacked: {e}"))? > 0 {
            return Err(format!("is longer than its shape {:?}", self.shape));
        }
        self.element.tensor(&self.shape[1..], bytes)
    }
}

impl Turned {
    fn read(file: &mut impl Read, rows: usize, row: usize, shape: &[usize]) -> Result<Self> {
        let size = rows.checked_mul(row).filter(|n| *n <= WHOLE_BYTES_MAX);
        let size =
            size.ok_or("is in Fortran order and too large to be turned; save it with numpy.ascontiguousarray")?;
        let mut data = Vec::new();
        file.take(size as u64).read_to_end(&mut data).map_err(|e| format!("cannot be unpacked: {e}"))?;
        // The last axis is the slowest there: go through the row in C order and add up each axis's step.
        let mut places = vec![0];
        let mut step = 1;
        for &length in shape {
            places = places.iter().flat_map(|place| (0..length).map(move |i| place + i * step)).collect();
            step *= length;
        }
        Ok(Self { data, places })
    }
}

impl Element {
    fn parse(header: &str) -> Result<Self> {
        let found = value(header, "'descr':")?;
        let descr = found.strip_prefix('\'').and_then(|rest| Some(rest.split_once('\'')?.0));
        let parse = |descr: &str| {
            let mut letters = descr.chars();
            let (order, kind, count) = (letters.next()?, letters.next()?, letters.as_str().parse::<usize>().ok()?);
            let size = if kind == 'U' { count.checked_mul(4)? } else { count };
            let known = match kind {
                'b' => size == 1,
                'i' | 'u' => matches!(size, 1 | 2 | 4 | 8),
                'f' => matches!(size, 2 | 4 | 8),
                'U' | 'S' => size > 0,
                _ => false,
            };
            (known && "<>|=".contains(order)).then_some(Self { kind, size, big: order == '>' })
        };
        descr.and_then(parse).ok_or_else(|| {
            let found = descr.unwrap_or("a record");
            let advice = if found == "|O" { " (Python objects: convert them with .astype)" } else { "" };
            format!("has the type {found}{advice}; numbers, bool or text were expected")
        })
    }

    /// A tensor of `shape`; types that the contract lacks become the next wider one.
    fn tensor(self, shape: &[usize], mut bytes: Vec<u8>) -> Result<Tensor> {
        if self.big && self.kind != 'S' {
            bytes.chunks_exact_mut(if self.kind == 'U' { 4 } else { self.size }).for_each(<[u8]>::reverse);
        }
        let dtype = match (self.kind, self.size) {
            ('b', _) => DType::Bool,
            ('f', 8) => DType::F64,
            ('f', _) => DType::F32,
            ('u', 1) => DType::U8,
            ('i', 1 | 2 | 4) | ('u', 2) => DType::I32,
            ('i' | 'u', _) => DType::I64,
            _ => {
                let texts = bytes.chunks_exact(self.size).map(|text| self.text(text)).collect::<Result<_>>()?;
                return Tensor::from_text(shape, texts).map_err(|e| e.to_string());
            }
        };
        let wide: Vec<u8> = match (self.kind, self.size) {
            ('f', 2) => {
                bytes.as_chunks().0.iter().flat_map(|b| f16::from_le_bytes(*b).to_f32().to_le_bytes()).collect()
            }
            ('i', 1) => bytes.iter().flat_map(|b| i32::from(b.cast_signed()).to_le_bytes()).collect(),
            ('i', 2) => {
                bytes.as_chunks().0.iter().flat_map(|b| i32::from(i16::from_le_bytes(*b)).to_le_bytes()).collect()
            }
            ('u', 2) => {
                bytes.as_chunks().0.iter().flat_map(|b| i32::from(u16::from_le_bytes(*b)).to_le_bytes()).collect()
            }
            ('u', 4) => {
                bytes.as_chunks().0.iter().flat_map(|b| i64::from(u32::from_le_bytes(*b)).to_le_bytes()).collect()
            }
            // The same bytes as an int64, as long as the highest bit is not set.
            ('u', 8) if bytes.chunks_exact(8).any(|b| b[7] > 127) => {
                return Err("has a value over 9223372036854775807, which no int64 holds".to_owned());
            }
            _ => bytes,
        };
        Tensor::from_bytes(dtype, shape, &wide).map_err(|e| e.to_string())
    }

    /// Text, which numpy fills up with zeros.
    fn text(self, bytes: &[u8]) -> Result<String> {
        let text = if self.kind == 'S' {
            String::from_utf8(bytes.to_vec()).ok()
        } else {
            bytes.as_chunks().0.iter().map(|b| char::from_u32(u32::from_le_bytes(*b))).collect::<Option<String>>()
        };
        let text = text.ok_or("has text that is not Unicode")?;
        Ok(text.trim_end_matches('\0').to_owned())
    }
}

/// The header, a Python dictionary.
fn header(file: &mut impl Read) -> Result<String> {
    let mut bytes = |count: usize| {
        let mut bytes = Vec::new();
        file.take(count as u64).read_to_end(&mut bytes).map_err(|e| format!("cannot be unpacked: {e}"))?;
        if bytes.len() == count { Ok(bytes) } else { Err("ends too early".to_owned()) }
    };
    let start = bytes(8)?;
    if !start.starts_with(b"\x93NUMPY") {
        return Err("is not a numpy array".to_owned());
    }
    let length = match start[6] {
        1 => bytes(2)?,
        2 | 3 => bytes(4)?,
        other => return Err(format!("has the unknown format version {other}")),
    };
    let length = length.iter().rev().fold(0, |n, &b| n << 8 | usize::from(b));
    if length > HEADER_BYTES_MAX {
        return Err(format!("has a header of {length} bytes; up to {HEADER_BYTES_MAX} were expected"));
    }
    String::from_utf8(bytes(length)?).map_err(|_| "has a header that is not text".to_owned())
}

/// What follows a key of the header.
fn value<'a>(header: &'a str, key: &str) -> Result<&'a str> {
    let (_, rest) = header.split_once(key).ok_or_else(|| format!("has a header without {key}"))?;
    Ok(rest.trim_start())
}

fn shape(header: &str) -> Result<Vec<usize>> {
    let found = value(header, "'shape':")?.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    let (lengths, _) = found.ok_or("has no shape")?;
    let length = |d: &str| d.parse().map_err(|_| format!("has the unreadable axis length {d}"));
    lengths.split(',').map(str::trim).filter(|d| !d.is_empty()).map(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(descr: &str, order: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}");
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
    }

    fn rows(file: &[u8]) -> Result<Vec<Tensor>> {
        let mut array = Array::open(file)?;
        (0..array.shape()[0]).map(|_| array.next()).collect()
    }

    #[test]
    fn every_width_and_order_is_read() {
        let check = |descr: &str, data: &[u8], dtype: DType, expected: f64| {
            let rows = rows(&npy(&format!("'{descr}'"), "False", "(1,)", data)).unwrap();
            assert_eq!((rows[0].dtype(), rows[0].to_f64()), (dtype, vec![expected]), "{descr}");
        };
        check("<f2", &[0, 0xc1], DType::F32, -2.5);
        check(">f2", &[0xc1, 0], DType::F32, -2.5);
        check(">f4", &2.5f32.to_be_bytes(), DType::F32, 2.5);
        check(">f8", &2.5f64.to_be_bytes(), DType::F64, 2.5);
        check("|i1", &[0xfe], DType::I32, -2.0);
        check("|u1", &[0xfe], DType::U8, 254.0);
        check("<i2", &[0xfe, 0xff], DType::I32, -2.0);
        check(">u2", &[0xff, 0xfe], DType::I32, 65534.0);
        check("<u4", &[0xff; 4], DType::I64, 4_294_967_295.0);
        check(">i4", &[0, 0, 1, 0], DType::I32, 256.0);
        check(">i8", &[0, 0, 0, 0, 0, 0, 1, 0], DType::I64, 256.0);
        check("<u8", &[1, 0, 0, 0, 0, 0, 0, 0], DType::I64, 1.0);
        check("|b1", &[1], DType::Bool, 1.0);
        let high = npy("'<u8'", "False", "(1,)", &[255; 8]);
        assert!(rows(&high).unwrap_err().contains("no int64"));
    }

    #[test]
    fn text_is_read() {
        let word = |a: char, b: char| [u32::from(a).to_le_bytes(), u32::from(b).to_le_bytes()].concat();
        let data = [word('ä', 'b'), word('c', '\0')].concat();
        let expected =
            [Tensor::from_text(&[], vec!["äb".into()]).unwrap(), Tensor::from_text(&[], vec!["c".into()]).unwrap()];
        assert_eq!(rows(&npy("'<U2'", "False", "(2,)", &data)).unwrap(), expected);
        let data: Vec<u8> = data.chunks(4).flat_map(|c| c.iter().rev().copied().collect::<Vec<_>>()).collect();
        assert_eq!(rows(&npy("'>U2'", "False", "(2,)", &data)).unwrap(), expected);
        assert_eq!(rows(&npy("'|S2'", "False", "(1,)", b"c\0")).unwrap(), expected[1..]);
        assert!(rows(&npy("'<U1'", "False", "(1,)", &[255; 4])).unwrap_err().contains("Unicode"));
    }

    #[test]
    fn fortran_order_gives_the_same_rows() {
        // numpy.arange(24).reshape(2, 3, 4), in both orders.
        let in_c: Vec<u8> = (0..24).collect();
        let in_fortran: Vec<u8> =
            (0..4).flat_map(|k| (0..3).flat_map(move |j| (0..2).map(move |i| i * 12 + j * 4 + k))).collect();
        let read = |order: &str, data: &[u8]| rows(&npy("'|u1'", order, "(2, 3, 4)", data)).unwrap();
        assert_eq!(read("True", &in_fortran), read("False", &in_c));
        assert!(rows(&npy("'|u1'", "True", "(2, 3, 4)", &in_c[..23])).unwrap_err().contains("too early"));
    }

    #[test]
    fn lies_and_torn_files_are_refused_by_name() {
        let check = |bytes: &[u8], expect: &str| {
            let error = rows(bytes).unwrap_err();
            assert!(error.contains(expect), "{error}");
        };
        check(b"", "ends too early");
        check(b"no array at all", "not a numpy array");
        check(&npy("'<f4'", "False", "(99999999999999999999,)", &[]), "axis length");
        check(&npy("'<f4'", "False", "(1, 4294967296, 4294967296)", &[0; 4]), "rows of over");
        check(&npy("'<f4'", "True", "(4294967296, 4)", &[0; 4]), "too large to be turned");
        check(&npy("'<f4'", "False", "(4294967296, 0)", &[]), "without an element");
        check(&npy("'|O'", "False", "(1,)", &[]), "Python objects");
        check(&npy("[('a', '<f4')]", "False", "(1,)", &[0; 4]), "a record");
        check(&npy("'<f4'", "False", "()", &[0; 4]), "single number");
        check(&npy("'<f4'", "False", "(2,)", &[0; 12]), "longer than its shape");
        check(&npy("'<f4'", "False", "(2,)", &[0; 7]), "row 1 of 2");
        check(&npy("'<f4'", "False", "(2,)", &[0; 8])[..20], "ends too early");
    }
}
