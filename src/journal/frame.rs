//! How a record lies in a file: pure, bytes in, bytes out.
//!
//! A file starts with [`HEADER`]. A record is `length u32 | checksum u32 | sequence u64 | payload`, little endian;
//! the checksum (CRC-32) covers sequence and payload. A torn or rotten record is told by its checksum, and the next
//! good one is found by trying every following byte.

use crate::config::limits::journal::RECORD_BYTES;

/// First bytes of every file: name and version of the format.
pub(super) const HEADER: &[u8; 8] = b"HSJRNL\x00\x01";
/// Bytes before a payload.
const FRONT: usize = 16;

/// One record as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number: 1 for a node's first, then without gaps except where a file was damaged.
    pub sequence: u64,
    /// What was written; the journal does not look into it.
    pub payload: Vec<u8>,
}

/// Appends a framed record to `out`.
pub(super) fn encode(sequence: u64, payload: &[u8], out: &mut Vec<u8>) {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&sequence.to_le_bytes());
    hasher.update(payload);
    // RECORD_BYTES, checked by the caller, is far below u32::MAX.
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&hasher.finalize().to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(payload);
}

/// What stands at the start of `bytes`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// A good record, and how many bytes it takes.
    Record(Record, usize),
    /// Not enough bytes yet for what the front promises.
    Partial,
    /// No record starts here.
    Damaged,
}

/// Reads one record from the start of `bytes`.
pub(super) fn decode(bytes: &[u8]) -> Decoded {
    let Some((front, rest)) = bytes.split_at_checked(FRONT) else { return Decoded::Partial };
    let word = |at: usize| u32::from_le_bytes([front[at], front[at + 1], front[at + 2], front[at + 3]]);
    let length = word(0) as usize;
    if length == 0 || length > RECORD_BYTES {
        return Decoded::Damaged;
    }
    let Some(payload) = rest.get(..length) else { return Decoded::Partial };
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&front[8..]);
    hasher.update(payload);
    if hasher.finalize() != word(4) {
        return Decoded::Damaged;
    }
    let sequence = u64::from(word(8)) | u64::from(word(12)) << 32;
    Decoded::Record(Record { sequence, payload: payload.to_vec() }, FRONT + length)
}

/// Where to read on after damage: at the next good record at or behind `from`, or else at the end. When the bytes go
/// on somewhere else (`goes_on`), a place where a record may have begun is not passed over.
pub(super) fn resync(bytes: &[u8], from: usize, goes_on: bool) -> usize {
    let mut partial = None;
    for at in from..bytes.len() {
        match decode(&bytes[at..]) {
            Decoded::Record(..) => return at,
            Decoded::Partial if goes_on => partial = partial.or(Some(at)),
            _ => {}
        }
    }
    partial.unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_goes_in_comes_out(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 1..20)) {
            let mut bytes = Vec::new();
            for (n, payload) in payloads.iter().enumerate() {
                encode(n as u64 + 7, payload, &mut bytes);
            }
            let mut at = 0;
            for (n, payload) in payloads.iter().enumerate() {
                let Decoded::Record(record, length) = decode(&bytes[at..]) else { panic!("no record {n}") };
                prop_assert_eq!(record.sequence, n as u64 + 7);
                prop_assert_eq!(&record.payload, payload);
                at += length;
            }
            prop_assert_eq!(at, bytes.len());
        }

        #[test]
        fn a_flipped_bit_is_never_taken_for_a_record(payload in prop::collection::vec(any::<u8>(), 1..200), bit in any::<prop::sample::Index>()) {
            let mut bytes = Vec::new();
            encode(1, &payload, &mut bytes);
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!matches!(decode(&bytes), Decoded::Record(..)));
        }

        #[test]
        fn a_cut_record_is_partial(payload in prop::collection::vec(any::<u8>(), 1..200), cut in any::<prop::sample::Index>()) {
            let mut bytes = Vec::new();
            encode(1, &payload, &mut bytes);
            bytes.truncate(cut.index(bytes.len()));
            prop_assert_eq!(decode(&bytes), Decoded::Partial);
        }

        #[test]
        fn damage_costs_only_what_it_hits(garbage in prop::collection::vec(any::<u8>(), 1..64)) {
            let mut bytes = garbage;
            let start = bytes.len();
            encode(9, b"good", &mut bytes);
            bytes.extend_from_slice(&[0; 32]);
            prop_assert_eq!(resync(&bytes, 0, false), start);
            // While bytes are missing, the record's start is never passed over.
            let cut = &bytes[..bytes.len() - 33];
            prop_assert!(resync(cut, 0, true) <= start);
            prop_assert_eq!(resync(cut, 0, false), cut.len());
        }
    }
}
