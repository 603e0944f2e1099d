//! What a file is, by its first bytes: whoever sends it may say anything.

/// The types that a ticket takes.
pub(super) const TYPES: &[&str] = &[
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "application/pdf",
    "text/plain",
    "text/csv",
    "audio/mpeg",
    "audio/wav",
    "audio/ogg",
    "application/zip",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
];

/// Whether bytes are what their type says, as far as their beginning tells. Text is UTF-8 without control characters.
pub(super) fn fits(content_type: &str, bytes: &[u8]) -> bool {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    let form = |kind: &[u8]| starts(b"RIFF") && bytes.get(8..12) == Some(kind);
    match content_type {
        "image/png" => starts(b"\x89PNG\r\n\x1a\n"),
        "image/jpeg" => starts(b"\xff\xd8\xff"),
        "image/gif" => starts(b"GIF87a") || starts(b"GIF89a"),
        "image/webp" => form(b"WEBP"),
        "application/pdf" => starts(b"%PDF-"),
        "audio/wav" => form(b"WAVE"),
        "audio/ogg" => starts(b"OggS"),
        // With an ID3 tag, or a frame's eleven set bits and a layer.
        "audio/mpeg" => {
            starts(b"ID3")
                || matches!(bytes, [0xff, second, ..] if second & 0xe0 == 0xe0 && second & 0x06 != 0)
        }
        "text/plain" | "text/csv" => std::str::from_utf8(bytes).is_ok_and(|text| {
            text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t' | '\u{c}'))
        }),
        other => TYPES.contains(&other) && starts(b"PK\x03\x04"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of a file of each type.
    const FILES: [(&str, &[u8]); 13] = [
        ("image/png", b"\x89PNG\r\n\x1a\n...."),
        ("image/jpeg", b"\xff\xd8\xff\xe0"),
        ("image/gif", b"GIF89a.."),
        ("image/webp", b"RIFF\x10\0\0\0WEBPVP8 "),
        ("application/pdf", b"%PDF-1.7\n"),
        ("text/plain", "Grüße\n".as_bytes()),
        ("text/csv", b"a,b\r\n1,2\r\n"),
        ("audio/mpeg", b"ID3\x04"),
        ("audio/wav", b"RIFF\x10\0\0\0WAVEfmt "),
        ("audio/ogg", b"OggS\0"),
        ("application/zip", b"PK\x03\x04"),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", b"PK\x03\x04"),
        ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", b"PK\x03\x04"),
    ];

    #[test]
    fn a_file_is_only_what_it_says_it_is() {
        let group = |kind: &str| match kind {
            "text/plain" | "text/csv" => "text",
            zip if zip.starts_with("application/") && zip != "application/pdf" => "zip",
            _ => "",
        };
        assert_eq!(FILES.map(|(kind, _)| kind), TYPES);
        for (kind, bytes) in FILES {
            for says in TYPES {
                let same = *says == kind || (!group(kind).is_empty() && group(kind) == group(says));
                // Magic of readable letters is text as well.
                let readable = group(says) == "text" && fits("text/plain", bytes);
                assert_eq!(fits(says, bytes), same || readable, "{kind} as {says}");
            }
            assert!(!fits("text/html", bytes) && !fits("image/svg+xml", bytes), "{kind}");
        }
        for odd in [&b"MZ\x90\0"[..], b"\xff\xfb"] {
            assert!(!fits("text/plain", odd) && !fits("application/zip", odd));
        }
        assert!(fits("audio/mpeg", b"\xff\xfb\x90") && !fits("audio/mpeg", b"\xff\xd8\xff"));
        assert!(!fits("image/png", b"") && !fits("audio/wav", b"RIFF"));
    }
}
