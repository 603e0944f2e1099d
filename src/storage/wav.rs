//! What the head of a WAV file says. Asterisk writes the length of the sound into it when it closes the file: by that a
//! file that is still being written is told from a whole one.

use std::path::Path;

use tokio::io::AsyncReadExt;

const HEAD_BYTES: usize = 44;

/// A WAV file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wav {
    /// Bytes of the file.
    pub bytes: u64,
    /// Whether it has been closed.
    pub is_whole: bool,
    /// Its length by its size.
    pub duration_ms: u64,
}

/// Looks at a file.
///
/// # Errors
/// When it can't be read; `NotFound` when there is none.
pub async fn look(path: &Path) -> std::io::Result<Wav> {
    let mut file = tokio::fs::File::open(path).await?;
    let bytes = file.metadata().await?.len();
    let mut head = [0; HEAD_BYTES];
    match file.read_exact(&mut head).await {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(of(&[], bytes)),
        read => read.map(|_| of(&head, bytes)),
    }
}

fn of(head: &[u8], bytes: u64) -> Wav {
    let number = |at: usize| {
        let four = head.get(at..at + 4).and_then(|four| <[u8; 4]>::try_from(four).ok());
        u64::from(four.map_or(0, u32::from_le_bytes))
    };
    let is_wav = head.starts_with(b"RIFF") && head.get(36..40) == Some(b"data");
    let (rate, sound) = (number(28), bytes.saturating_sub(HEAD_BYTES as u64));
    // An odd length has a byte of padding.
    let is_whole = is_wav && sound > 0 && (number(40) == sound || number(40) + 1 == sound);
    let duration_ms = if is_wav && rate > 0 { sound * 1_000 / rate } else { 0 };
    Wav { bytes, is_whole, duration_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_once_its_head_says_its_length() {
        let mut head = Vec::from(*b"RIFF....WAVEfmt ................");
        head.resize(36, 0);
        head[28..32].copy_from_slice(&16_000_u32.to_le_bytes());
        head.extend_from_slice(b"data");
        head.extend_from_slice(&32_000_u32.to_le_bytes());
        assert_eq!(of(&head, 32_044), Wav { bytes: 32_044, is_whole: true, duration_ms: 2_000 });
        assert!(!of(&head, 40_044).is_whole && !of(&head, 44).is_whole && !of(&[], 3).is_whole);
        assert_eq!(of(b"ID3", 1_000_000).duration_ms, 0);
    }
}
