//! Frames: how files that only grow are cut into records.
//!
//! ```text
//! frame = u32 length | u32 crc32c(body) | body            little-endian; length counts the body, never 0
//! ```
//!
//! The checksum finds torn writes and rot; it proves nothing.

/// Appends a frame to `out`; `fill` appends its body.
pub(crate) fn push<T>(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    let answer = fill(out);
    let body = out.get(start + HEADER..).unwrap_or_default();
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    let crc = crc32c::crc32c(body).to_le_bytes();
    if let Some((to_length, rest)) = out.get_mut(start..).and_then(<[u8]>::split_first_chunk_mut::<4>) {
        *to_length = length;
        if let Some(to_crc) = rest.first_chunk_mut::<4>() {
            *to_crc = crc;
        }
    }
    answer
}

/// Reads the bodies of frames up to the first that is not whole.
pub(crate) struct Frames<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Frames<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Where reading stopped: the end, or the start of the first frame that is not whole.
    pub(crate) const fn offset(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.bytes.get(self.at..)?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let body = rest.get(..length).filter(|body| !body.is_empty())?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return None;
        }
        self.at += HEADER + length;
        Some(body)
    }
}

pub(crate) const HEADER: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_or_rotten_frame_ends_reading_before_itself() {
        let mut file = Vec::new();
        push(&mut file, |out| out.extend_from_slice(b"one"));
        let first = file.len();
        push(&mut file, |out| out.extend_from_slice(b"two"));
        let read = |bytes: &[u8]| {
            let mut frames = Frames::new(bytes);
            (frames.by_ref().count(), frames.offset())
        };
        assert_eq!(read(&file), (2, file.len()));
        for cut in first..file.len() {
            assert_eq!(read(&file[..cut]), (1, first), "cut at {cut}");
        }
        for at in first..file.len() {
            let mut rotten = file.clone();
            rotten[at] ^= 1;
            assert_eq!(read(&rotten).1, first, "byte {at}");
        }
    }
}
