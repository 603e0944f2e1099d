//! How many segments a text is sent in: GSM 7-bit when every character is in that alphabet, else UCS-2. A segment of
//! several gives up some room for the header that joins them, and no character is split between two (3GPP TS 23.038,
//! 23.040).

use crate::base::words::words;
use crate::config::limits::sms as limits;

words! {
    /// How a text is written.
    pub enum Encoding {
        /// The GSM 7-bit default alphabet and its extension.
        Gsm7 = "gsm7",
        /// UTF-16.
        Ucs2 = "ucs2",
    }
}

const GSM7: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
                    ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Each is sent as an escape and a second septet.
const GSM7_EXTENSION: &str = "^{}\\[~]|€\u{c}";

/// Septets of a character; `None`: it is not in the alphabet.
fn septets(c: char) -> Option<usize> {
    if GSM7.contains(c) { Some(1) } else { GSM7_EXTENSION.contains(c).then_some(2) }
}

/// The encoding a text needs.
pub fn encoding(text: &str) -> Encoding {
    if text.chars().all(|c| septets(c).is_some()) { Encoding::Gsm7 } else { Encoding::Ucs2 }
}

/// Units of a character in an encoding: septets, or UTF-16 units.
fn units(c: char, encoding: Encoding) -> usize {
    match encoding {
        Encoding::Gsm7 => septets(c).unwrap_or(1),
        Encoding::Ucs2 => c.len_utf16(),
    }
}

/// The parts that a text is sent in, and how they are written. An empty text is one empty part.
pub fn split(text: &str) -> (Encoding, Vec<&str>) {
    let encoding = encoding(text);
    let (one, part) = match encoding {
        Encoding::Gsm7 => (limits::GSM7_ONE, limits::GSM7_PART),
        Encoding::Ucs2 => (limits::UCS2_ONE, limits::UCS2_PART),
    };
    let all: usize = text.chars().map(|c| units(c, encoding)).sum();
    if all <= one {
        return (encoding, vec![text]);
    }
    let (mut parts, mut start, mut filled) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        let size = units(c, encoding);
        if filled + size > part {
            parts.push(&text[start..at]);
            (start, filled) = (at, 0);
        }
        filled += size;
    }
    parts.push(&text[start..]);
    (encoding, parts)
}

/// Segments that a text is sent in.
pub fn count(text: &str) -> u32 {
    u32::try_from(split(text).1.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_known_edges() {
        for (text, written, segments) in [
            (String::new(), Encoding::Gsm7, 1),
            ("a".repeat(160), Encoding::Gsm7, 1),
            ("a".repeat(161), Encoding::Gsm7, 2),
            ("a".repeat(306), Encoding::Gsm7, 2),
            ("a".repeat(307), Encoding::Gsm7, 3),
            ("€".repeat(80), Encoding::Gsm7, 1),
            ("€".repeat(81), Encoding::Gsm7, 2),
            // 153 is odd: one septet of each part stays empty, since an escape stays with its character.
            ("€".repeat(152), Encoding::Gsm7, 2),
            ("€".repeat(153), Encoding::Gsm7, 3),
            ("ç".to_owned(), Encoding::Ucs2, 1),
            ("ж".repeat(70), Encoding::Ucs2, 1),
            ("ж".repeat(71), Encoding::Ucs2, 2),
            ("ж".repeat(134), Encoding::Ucs2, 2),
            ("ж".repeat(135), Encoding::Ucs2, 3),
            ("😀".repeat(35), Encoding::Ucs2, 1),
            ("😀".repeat(36), Encoding::Ucs2, 2),
            ("😀".repeat(66), Encoding::Ucs2, 2),
            ("😀".repeat(67), Encoding::Ucs2, 3),
            (format!("{}`", "a".repeat(70)), Encoding::Ucs2, 2),
        ] {
            assert_eq!((encoding(&text), count(&text)), (written, segments), "{text}");
        }
    }

    #[test]
    fn the_alphabet_has_127_characters_and_10_more() {
        // 128 places, one of them the escape.
        assert_eq!((GSM7.chars().count(), GSM7_EXTENSION.chars().count()), (127, 10));
        let mut all: Vec<char> = GSM7.chars().chain(GSM7_EXTENSION.chars()).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 137);
    }

    proptest! {
        /// Parts are the text again, each fits, and none could have been filled better.
        #[test]
        fn parts_are_the_text_and_full(text in "[a-z0-9^{}€ж😀]{0,400}|[a-z€^]{100,400}|[ -_a-~é]{140,330}") {
            let (written, parts) = split(&text);
            prop_assert_eq!(parts.concat(), text.clone());
            let size = |part: &str| -> usize { part.chars().map(|c| units(c, written)).sum() };
            let (one, many) = if written == Encoding::Gsm7 { (160, 153) } else { (70, 67) };
            if parts.len() == 1 {
                prop_assert!(size(&text) <= one);
            } else {
                prop_assert!(size(&text) > one);
                for pair in parts.windows(2) {
                    prop_assert!(!pair[0].is_empty() && size(pair[0]) <= many);
                    let next = pair[1].chars().next().unwrap();
                    prop_assert!(size(pair[0]) + units(next, written) > many);
                }
                prop_assert!(size(parts[parts.len() - 1]) <= many);
            }
            prop_assert_eq!(count(&text) as usize, parts.len());
        }

        /// A longer text never needs fewer segments.
        #[test]
        fn more_text_needs_no_fewer(text in "\\PC{0,300}", more in "\\PC{0,20}") {
            let longer = format!("{text}{more}");
            prop_assert!(count(&longer) >= count(&text));
        }
    }
}
