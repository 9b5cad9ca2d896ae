//! Floor 0: what a protobuf message may cost to read.
//!
//! A field of two bytes on the wire can be hundreds in memory (an empty tensor of an inference, an empty case), so the length
//! of a message does not bound what reading it takes. Its fields do, and they are counted first.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::LazyLock;

use prost::bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost::{Message, Name};
use prost_types::{DescriptorProto, FileDescriptorSet};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::ProstCodec;

use crate::error::Error;

/// The descriptors of `proto/`, which reflection serves.
pub(crate) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/assay.bin"));

/// Fields that a message may have, those of its parts included: some hundred MiB in memory at most. Packed numbers are one.
const FIELDS_MAX: usize = 1 << 20;

/// How deep parts may lie, which is prost's own limit.
const DEPTH: usize = 100;

/// What the generated code reads and writes messages by.
pub(crate) struct Wire<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Wire<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

type Plain<T, U> = ProstCodec<T, U>;

impl<T: Message + 'static, U: Message + Name + Default + 'static> Codec for Wire<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = <Plain<T, U> as Codec>::Encoder;
    type Decoder = Counting<<Plain<T, U> as Codec>::Decoder>;

    fn encoder(&mut self) -> Self::Encoder {
        Plain::<T, U>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        Counting(Plain::<T, U>::default().decoder())
    }
}

/// Decodes what has not too many fields.
pub(crate) struct Counting<D>(D);

impl<D> Decoder for Counting<D>
where
    D: Decoder<Error = Status, Item: Name>,
{
    type Item = D::Item;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<D::Item>, Status> {
        // A message lies in one piece.
        if SCHEMA.is_over(&D::Item::full_name(), bytes.chunk()) {
            let (limit, value) = ("message_fields".to_owned(), FIELDS_MAX as u64);
            let what = "the number of fields of a message, those of its parts included,".to_owned();
            return Err(Error::Exhausted { limit, value, what }.into());
        }
        self.0.decode(bytes)
    }
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::new);

/// Which fields of which messages are messages.
#[derive(Default)]
struct Schema {
    places: HashMap<String, usize>,
    fields: Vec<HashMap<u32, usize>>,
}

impl Schema {
    fn new() -> Self {
        let mut schema = Self::default();
        // The build wrote them; if they could not be read, reflection would have failed at the start.
        let files = FileDescriptorSet::decode(DESCRIPTORS).unwrap_or_default().file;
        let within = |package: &str| if package.is_empty() { String::new() } else { format!(".{package}") };
        for file in &files {
            file.message_type.iter().for_each(|message| schema.name(&within(file.package()), message));
        }
        for file in &files {
            file.message_type.iter().for_each(|message| schema.fill(&within(file.package()), message));
        }
        schema
    }

    fn name(&mut self, within: &str, message: &DescriptorProto) {
        let name = format!("{within}.{}", message.name());
        message.nested_type.iter().for_each(|nested| self.name(&name, nested));
        self.places.insert(name, self.fields.len());
        self.fields.push(HashMap::new());
    }

    fn fill(&mut self, within: &str, message: &DescriptorProto) {
        let name = format!("{within}.{}", message.name());
        message.nested_type.iter().for_each(|nested| self.fill(&name, nested));
        let parts = message
            .field
            .iter()
            .filter_map(|field| Some((u32::try_from(field.number()).ok()?, *self.places.get(field.type_name())?)));
        self.fields[self.places[&name]] = parts.collect();
    }

    fn is_over(&self, name: &str, bytes: &[u8]) -> bool {
        let mut left = FIELDS_MAX;
        self.places.get(&format!(".{name}")).is_some_and(|place| self.count(*place, bytes, &mut left, DEPTH).is_none())
    }

    /// Takes the fields of a message from those that are left; `None` if there are too few. Of a message that is none,
    /// those before the flaw count: further than there nobody reads.
    fn count(&self, place: usize, mut bytes: &[u8], left: &mut usize, depth: usize) -> Option<()> {
        while bytes.has_remaining() && depth > 0 {
            let Ok((tag, wire)) = decode_key(&mut bytes) else { break };
            *left = left.checked_sub(1)?;
            match self.fields[place].get(&tag).filter(|_| wire == WireType::LengthDelimited) {
                Some(inner) => {
                    let Ok(length) = decode_varint(&mut bytes) else { break };
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    let Some((part, rest)) = bytes.split_at_checked(length) else { break };
                    self.count(*inner, part, left, depth - 1)?;
                    bytes = rest;
                }
                None => {
                    if skip_field(wire, tag, &mut bytes, DecodeContext::default()).is_err() {
                        break;
                    }
                }
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `inner` as field 1 of a message, so many times.
    fn many(inner: &[u8], times: usize) -> Vec<u8> {
        let one = [&[0x0a, u8::try_from(inner.len()).unwrap()], inner].concat();
        one.repeat(times)
    }

    fn is_over(name: &str, bytes: &[u8]) -> bool {
        Schema::new().is_over(name, bytes)
    }

    #[test]
    fn fields_count_however_deep_they_lie() {
        // Half a million cases with one field each: an identifier.
        let half = FIELDS_MAX / 2;
        assert!(!is_over("assay.v1.CaseBatch", &many(&many(b"", 1), half)));
        assert!(is_over("assay.v1.CaseBatch", &many(&many(b"", 1), half + 1)));
        assert!(is_over("inference.ModelInferRequest", &[0x2a, 0].repeat(FIELDS_MAX + 1)));
        // What looks like fields within bytes is none.
        let raw = many(b"", FIELDS_MAX + 1);
        let bytes = [[&[0x3a][..], &[0x82, 0x80, 0x80, 0x01]].concat(), raw].concat();
        assert!(!is_over("inference.ModelInferRequest", &bytes));
    }

    #[test]
    fn what_is_no_message_is_left_to_who_reads_it() {
        assert!(!is_over("assay.v1.CaseBatch", &[0x0a, 0xff, 0xff]));
        assert!(!is_over("assay.v1.CaseBatch", &[0xff; 20]));
        assert!(!is_over("assay.v1.NoSuch", &many(b"", FIELDS_MAX + 1)));
    }
}
