//! base64 for what is read and written with every receipt and every signed request (RFC 4648): URL-safe without padding, and
//! padded for hashes in the lines of a bundle and octets in the fields of a request.
//!
//! Receipts are public and so is their encoding; a table is four times as fast here as the constant-time codec that
//! guards secrets elsewhere. Salts pass through it too: they lie beside the receipt in the same file. Reading takes the one
//! spelling that writing gives: spare bits are zero, nothing is left out or too much.

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
    URL_SAFE.get((group & 63) as usize).copied().unwrap_or_default()
}

const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Reads base64url without padding; `None` for anything but the one spelling.
pub(crate) fn read_base64url(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; text.len() * 3 / 4];
    decode(&URL_SAFE_VALUES, text, &mut out).then_some(out)
}

/// Reads 32 octets of base64url without padding.
pub(crate) fn read_base64url_hash(text: &[u8]) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    (text.len() == 43 && decode(&URL_SAFE_VALUES, text, &mut out)).then_some(out)
}

/// Reads 32 octets of padded base64.
pub(crate) fn read_base64_hash(text: &[u8]) -> Option<[u8; 32]> {
    let (text, mut out) = (text.strip_suffix(b"=")?, [0; 32]);
    (text.len() == 43 && decode(&STANDARD_VALUES, text, &mut out)).then_some(out)
}

/// Reads padded base64; `None` for anything but the one spelling.
pub(crate) fn read_base64(text: &[u8]) -> Option<Vec<u8>> {
    // One `=` or two stand where letters are missing in the last group of four, and nowhere else.
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let letters = match text {
        [letters @ .., b'=', b'='] | [letters @ .., b'='] => letters,
        letters => letters,
    };
    let mut out = vec![0; letters.len() * 3 / 4];
    decode(&STANDARD_VALUES, letters, &mut out).then_some(out)
}

/// Decodes `text` into `out`, which has the length for it; false if it is not the one spelling.
fn decode(values: &[u8; 256], text: &[u8], out: &mut [u8]) -> bool {
    let value = |letter: u8| values.get(usize::from(letter)).copied().unwrap_or(NO_LETTER);
    let ((groups, rest), (octets, last)) = (text.as_chunks::<4>(), out.as_chunks_mut::<3>());
    let mut all = 0;
    for (group, to) in groups.iter().zip(octets) {
        let [a, b, c, d] = group.map(value);
        all |= a | b | c | d;
        *to = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
    }
    match (rest, last) {
        ([], []) => {}
        ([a, b], [to]) => {
            let [a, b] = [a, b].map(|letter| value(*letter));
            // What does not fit must not be there.
            all |= a | b | if b & 0x0f == 0 { 0 } else { NO_LETTER };
            *to = a << 2 | b >> 4;
        }
        ([a, b, c], [to, next]) => {
            let [a, b, c] = [a, b, c].map(|letter| value(*letter));
            all |= a | b | c | if c & 3 == 0 { 0 } else { NO_LETTER };
            (*to, *next) = (a << 2 | b >> 4, b << 4 | c >> 2);
        }
        _ => return false,
    }
    all < 64
}

/// The value of each letter.
#[expect(clippy::indexing_slicing, reason = "runs in the compiler only, which would say so")]
const fn values(alphabet: &[u8; 64]) -> [u8; 256] {
    let (mut values, mut value) = ([NO_LETTER; 256], 0);
    while value < 64 {
        values[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    values
}

const NO_LETTER: u8 = 0xff;
const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static URL_SAFE_VALUES: [u8; 256] = values(URL_SAFE);
static STANDARD_VALUES: [u8; 256] = values(STANDARD);

#[cfg(test)]
mod tests {
    use base64ct::{Base64, Base64UrlUnpadded, Encoding};

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

    #[test]
    fn what_was_written_is_read_and_no_other_spelling() {
        let bytes: Vec<u8> = (0..=255).cycle().map(|n: u8| n.wrapping_mul(91)).take(200).collect();
        for length in 0..bytes.len() {
            let text = Base64UrlUnpadded::encode_string(&bytes[..length]).into_bytes();
            assert_eq!(read_base64url(&text).as_deref(), Some(&bytes[..length]));
            assert_eq!(read_base64url_hash(&text).is_some(), length == 32);
            for wrong in [&b"="[..], b"A", b"+", b"/", b" ", b"\n", b"\xff", b"\0"] {
                assert_ne!(read_base64url(&[&text, wrong].concat()).as_deref(), Some(&bytes[..length]));
            }
        }
        // Every change of one letter is another value or none, whatever the library says of spare bits.
        for length in [31, 32, 33] {
            let text = Base64UrlUnpadded::encode_string(&bytes[..length]).into_bytes();
            for at in 0..text.len() {
                for letter in 0..=255 {
                    let mut other = text.clone();
                    other[at] = letter;
                    let read = read_base64url(&other);
                    assert_eq!(read.as_deref() == Some(&bytes[..length]), other == text);
                    assert!(
                        read.is_none_or(|read| Base64UrlUnpadded::encode_string(&read).into_bytes() == other)
                    );
                }
            }
        }
        for length in 0..bytes.len() {
            let text = Base64::encode_string(&bytes[..length]).into_bytes();
            assert_eq!(read_base64(&text).as_deref(), Some(&bytes[..length]));
            for wrong in [&b"="[..], b"==", b"====", b"A", b"A===", b"-", b"_", b" ", b"\n", b"\xff", b"\0"] {
                assert_eq!(read_base64(&[&text, wrong].concat()), None, "{length} {wrong:?}");
            }
            if let Some(bare) = text.strip_suffix(b"=") {
                assert_eq!(read_base64(bare), None, "{length}");
            }
        }
        for length in [31, 32, 33] {
            let text = Base64::encode_string(&bytes[..length]).into_bytes();
            for (at, letter) in (0..text.len()).flat_map(|at| (0..=255).map(move |letter| (at, letter))) {
                let mut other = text.clone();
                other[at] = letter;
                let read = read_base64(&other);
                assert_eq!(read.as_deref() == Some(&bytes[..length]), other == text);
                assert!(read.is_none_or(|read| Base64::encode_string(&read).into_bytes() == other));
            }
        }
        let text = Base64::encode_string(&bytes[..32]);
        assert_eq!(read_base64_hash(text.as_bytes()).as_ref().map(|it| &it[..]), Some(&bytes[..32]));
        for wrong in [text.trim_end_matches('='), &format!("{text}="), &text.replace('=', "A"), ""] {
            assert_eq!(read_base64_hash(wrong.as_bytes()), None, "{wrong}");
        }
        for letter in 0..=255 {
            let mut other = text.clone().into_bytes();
            other[42] = letter;
            assert_eq!(
                read_base64_hash(&other).is_some_and(|read| read == bytes[..32]),
                other == text.as_bytes()
            );
        }
    }
}
