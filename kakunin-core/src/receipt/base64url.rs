//! base64url without padding (RFC 4648 section 5), for the path of every call.
//!
//! Receipts are public and so is their encoding; a table is four times as fast here as the constant-time encoder that
//! guards secrets elsewhere. Salts pass through it too: they lie beside the receipt in the same file.

/// Appends `bytes`, encoded.
pub(crate) fn push_base64url(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    let (groups, rest) = bytes.as_chunks::<3>();
    out.resize(start + groups.len() * 4, 0);
    let (letters, _) = out.get_mut(start..).unwrap_or_default().as_chunks_mut::<4>();
    for ([a, b, c], to) in groups.iter().zip(letters) {
        let group = u32::from(*a) << 16 | u32::from(*b) << 8 | u32::from(*c);
        *to = [letter(group >> 18), letter(group >> 12), letter(group >> 6), letter(group)];
    }
    match rest {
        [a, b] => {
            let group = u32::from(*a) << 16 | u32::from(*b) << 8;
            out.extend_from_slice(&[letter(group >> 18), letter(group >> 12), letter(group >> 6)]);
        }
        [a] => {
            let group = u32::from(*a) << 16;
            out.extend_from_slice(&[letter(group >> 18), letter(group >> 12)]);
        }
        _ => {}
    }
}

/// The letter of the lowest six bits.
fn letter(group: u32) -> u8 {
    // INVARIANT: six bits always find one of 64 letters.
    ALPHABET.get((group & 63) as usize).copied().unwrap_or_default()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[cfg(test)]
mod tests {
    use base64ct::{Base64UrlUnpadded, Encoding};

    use super::*;

    #[test]
    fn every_length_is_encoded_as_by_the_library() {
        let bytes: Vec<u8> = (0..=255).cycle().map(|n: u8| n.wrapping_mul(167)).take(512).collect();
        for length in 0..bytes.len() {
            let mut out = b"before".to_vec();
            push_base64url(&mut out, &bytes[..length]);
            assert_eq!(
                out,
                format!("before{}", Base64UrlUnpadded::encode_string(&bytes[..length])).as_bytes()
            );
        }
    }
}
