//! One item of a feed: a compact JWS (RFC 7515), signed as written.
//!
//! The header is a closed profile, byte for byte `{"alg":"ES256","typ":"kakunin-feed+jws","kid":".."}` with the SHA-256 of the
//! feed key's SubjectPublicKeyInfo. Members of the payload, ascending: `add` what changed [{`at` seconds, `r` reason, `s`
//! serial, `st` standing}], `at` milliseconds, `due` milliseconds, `iss` key of the issuing authority, `n` epoch, `non` nonce of
//! the connection, `p` the last change before this item, `v` version. A change has `add`; a heartbeat has none.

use crate::base64::{push_base64url, read_base64url};
use crate::digest::{Digest, unhex};
use crate::id::SerialNumber;
use crate::json::{MAX_NUMBER, NotExact, Object, ObjectWriter, Value};
use crate::key::{Algorithm, PublicKey, SignError, Signature, Signer};
use crate::revocation::{FeedHead, Standing};
use crate::time::{UnixMillis, UnixTime};

/// What an item says, before it is signed or after it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// SHA-256 of the SubjectPublicKeyInfo of the issuing authority whose certificates it is about.
    pub issuer: Digest,
    /// The last change before this item: what a change follows, and what a heartbeat names as the head.
    pub head: FeedHead,
    /// When it was signed, by the authority's clock.
    pub at: UnixMillis,
    /// When the next item comes at the latest.
    pub due: UnixMillis,
    /// What it brings.
    pub content: Content,
}

/// A change or a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Change number `head.epoch() + 1`: one entry at least, ascending by serial number, each of them once.
    Change(Vec<Entry>),
    /// Nothing changed.
    Heartbeat {
        /// The nonce that a client chose, in the first item of its connection.
        nonce: Option<[u8; 16]>,
    },
}

/// The new standing of one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which certificate.
    pub serial: SerialNumber,
    /// What it is from now on.
    pub standing: Standing,
    /// Since when, not after the item itself.
    pub at: UnixTime,
    /// The code of RFC 5280 section 5.3.1: 6 exactly when held, none when good, 0 to 5, 9 or 10 when revoked.
    pub reason: Option<u8>,
}

impl Entry {
    fn is_sound(&self, at: UnixMillis) -> bool {
        let fits = matches!(
            (self.standing, self.reason),
            (Standing::Good, None) | (Standing::Held, Some(6)) | (Standing::Revoked, Some(0..=5 | 9 | 10))
        );
        fits && self.at.seconds() >= 0 && self.at <= at.to_seconds()
    }
}

impl Item {
    /// The epoch that this item states: the next one for a change, the current one for a heartbeat.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        match self.content {
            Content::Change(_) => self.head.epoch().saturating_add(1),
            Content::Heartbeat { .. } => self.head.epoch(),
        }
    }

    fn is_sound(&self) -> bool {
        let dated = self.at.millis() >= 0 && self.at < self.due;
        let content = match &self.content {
            Content::Heartbeat { .. } => true,
            Content::Change(entries) => {
                let ascending = entries.iter().zip(entries.iter().skip(1)).all(|(a, b)| a.serial < b.serial);
                !entries.is_empty() && ascending && entries.iter().all(|entry| entry.is_sound(self.at))
            }
        };
        dated && content && self.epoch() <= MAX_NUMBER
    }

    /// Signs it with the feed key: one line of ASCII.
    ///
    /// # Errors
    /// [`ItemSignError`] for what no reader would take, and when the key does not sign.
    pub fn sign(&self, signer: &Signer) -> Result<String, ItemSignError> {
        if signer.algorithm() != Algorithm::P256 {
            return Err(ItemSignError::Algorithm);
        }
        let mut token = Vec::new();
        push_base64url(&mut token, header(&signer.public().key_id()).as_bytes());
        token.push(b'.');
        push_base64url(&mut token, &self.payload());
        // 86 letters and a dot follow.
        if !self.is_sound() || token.len() + 87 > MAX_ITEM {
            return Err(ItemSignError::Unfit);
        }
        let signature = signer.sign(&token)?;
        token.push(b'.');
        push_base64url(&mut token, signature.as_bytes());
        // INVARIANT: base64url and dots are ASCII.
        Ok(String::from_utf8(token).unwrap_or_default())
    }

    fn payload(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut object = ObjectWriter::new(&mut out);
        let number = |number: i64| u64::try_from(number).unwrap_or(0);
        if let Content::Change(entries) = &self.content {
            object.objects("add", entries.iter(), |object, entry| {
                object.number("at", number(entry.at.seconds()));
                if let Some(reason) = entry.reason {
                    object.number("r", u64::from(reason));
                }
                object.hex("s", entry.serial.as_bytes());
                object.text("st", entry.standing.word());
            });
        }
        object.number("at", number(self.at.millis()));
        object.number("due", number(self.due.millis()));
        object.hex("iss", self.issuer.as_bytes());
        object.number("n", self.epoch());
        if let Content::Heartbeat { nonce: Some(nonce) } = &self.content {
            object.hex("non", nonce);
        }
        object.hex("p", self.head.digest().as_bytes());
        object.number("v", VERSION);
        object.close();
        out
    }

    fn read(payload: &[u8]) -> Result<Self, ItemError> {
        let mut object = Object::parse_within(payload, DEPTH)?;
        let mut take = Take(&mut object);
        let version = take.number("v")?.ok_or(ItemError::Member("v"))?;
        if version != VERSION {
            return Err(ItemError::Version(version));
        }
        let issuer = take.word("iss", Digest::from_hex)?.ok_or(ItemError::Member("iss"))?;
        let previous = take.word("p", Digest::from_hex)?.ok_or(ItemError::Member("p"))?;
        let epoch = take.number("n")?.ok_or(ItemError::Member("n"))?;
        let (at, due) = (take.millis("at")?, take.millis("due")?);
        let nonce = take.word("non", unhex)?;
        let (content, before) = match (take.entries()?, nonce) {
            (Some(entries), None) => {
                (Content::Change(entries), epoch.checked_sub(1).ok_or(ItemError::Member("n"))?)
            }
            (Some(_), Some(_)) => return Err(ItemError::Member("non")),
            (None, nonce) => (Content::Heartbeat { nonce }, epoch),
        };
        if !object.is_empty() {
            return Err(ItemError::Member("unknown"));
        }
        let head = FeedHead::new(before, previous).ok_or(ItemError::Member("p"))?;
        let item = Self { issuer, head, at, due, content };
        if item.is_sound() { Ok(item) } else { Err(ItemError::Unsound) }
    }
}

/// An item whose form is understood and whose signature nobody has checked.
#[derive(Clone, Debug)]
pub struct UnverifiedItem {
    token: String,
    signed: usize,
    item: Item,
    key: Digest,
    signature: Signature,
}

impl UnverifiedItem {
    /// Reads a line.
    ///
    /// # Errors
    /// [`ItemError`] for everything but the one spelling of an item.
    pub fn parse(token: &str) -> Result<Self, ItemError> {
        if token.len() > MAX_ITEM {
            return Err(ItemError::TooLong);
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(ItemError::Encoding)?;
        let (head, payload) = signing_input.split_once('.').ok_or(ItemError::Encoding)?;
        let decode = |part: &str| read_base64url(part.as_bytes()).ok_or(ItemError::Encoding);
        let bytes: [u8; 64] = decode(signature)?.try_into().map_err(|_| ItemError::Encoding)?;
        let key = read_header(&decode(head)?).ok_or(ItemError::Header)?;
        let item = Item::read(&decode(payload)?)?;
        let (signed, token) = (signing_input.len(), token.to_owned());
        Ok(Self { token, signed, item, key, signature: Signature::from_bytes(bytes) })
    }

    /// SHA-256 of the feed key that `token` names in its header; of the rest nothing is read. For lines that were kept after
    /// they were verified: an item of a thousand revocations takes milliseconds to read whole.
    ///
    /// # Errors
    /// [`ItemError`] for what has no header of an item.
    pub fn key_named(token: &str) -> Result<Digest, ItemError> {
        let (head, _) = token.split_once('.').ok_or(ItemError::Encoding)?;
        let head = read_base64url(head.as_bytes()).ok_or(ItemError::Encoding)?;
        read_header(&head).ok_or(ItemError::Header)
    }

    /// SHA-256 of the feed key that is said to have signed.
    #[must_use]
    pub const fn key(&self) -> &Digest {
        &self.key
    }

    /// What it claims.
    #[must_use]
    pub const fn item(&self) -> &Item {
        &self.item
    }

    /// SHA-256 of the signing input: its name.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.token.as_bytes().get(..self.signed).unwrap_or_default())
    }

    /// Checks the signature by `key`. The one origin of [`VerifiedItem`]; whether the key may be trusted is not asked here.
    ///
    /// # Errors
    /// [`ItemError`] for another key than the header names, and a signature that does not match.
    pub fn verify(self, key: &PublicKey) -> Result<VerifiedItem, ItemError> {
        if key.key_id() != self.key || key.algorithm() != Algorithm::P256 {
            return Err(ItemError::Key);
        }
        let signing_input = self.token.as_bytes().get(..self.signed).unwrap_or_default();
        key.verify(signing_input, &self.signature).map_err(|_| ItemError::Signature)?;
        let digest = Digest::of(signing_input);
        let head = match self.item.content {
            Content::Heartbeat { .. } => self.item.head,
            // INVARIANT: the epoch was read from an item that is sound, and no digest is all zeros.
            Content::Change(_) => FeedHead::new(self.item.epoch(), digest).ok_or(ItemError::Unsound)?,
        };
        Ok(VerifiedItem { token: self.token, item: self.item, key: self.key, digest, head })
    }
}

/// An item whose signature was checked.
#[derive(Clone, Debug)]
pub struct VerifiedItem {
    token: String,
    item: Item,
    key: Digest,
    digest: Digest,
    head: FeedHead,
}

impl VerifiedItem {
    /// What it says.
    #[must_use]
    pub const fn item(&self) -> &Item {
        &self.item
    }

    /// SHA-256 of the feed key that signed.
    #[must_use]
    pub const fn key(&self) -> &Digest {
        &self.key
    }

    /// SHA-256 of the signing input: its name.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// How far the feed is with this item: a change is its own head.
    #[must_use]
    pub const fn head(&self) -> FeedHead {
        self.head
    }

    /// The line that was verified.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }
}

fn header(key: &Digest) -> String {
    format!(r#"{HEADER_START}{key}"}}"#)
}

fn read_header(bytes: &[u8]) -> Option<Digest> {
    let key = bytes.strip_prefix(HEADER_START.as_bytes())?.strip_suffix(b"\"}")?;
    Digest::from_hex(std::str::from_utf8(key).ok()?)
}

/// Takes members of the forms that items know.
struct Take<'o, 'a>(&'o mut Object<'a>);

impl<'a> Take<'_, 'a> {
    fn number(&mut self, key: &'static str) -> Result<Option<u64>, ItemError> {
        match self.0.take(key) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(Some(number)),
            Some(_) => Err(ItemError::Member(key)),
        }
    }

    fn word<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<Option<T>, ItemError> {
        match self.0.take(key) {
            None => Ok(None),
            Some(Value::Text(text)) => read(text).ok_or(ItemError::Member(key)).map(Some),
            Some(_) => Err(ItemError::Member(key)),
        }
    }

    fn millis(&mut self, key: &'static str) -> Result<UnixMillis, ItemError> {
        let millis = self.number(key)?.and_then(|millis| i64::try_from(millis).ok());
        millis.map(UnixMillis::from_millis).ok_or(ItemError::Member(key))
    }

    fn entries(&mut self) -> Result<Option<Vec<Entry>>, ItemError> {
        let values = match self.0.take("add") {
            None => return Ok(None),
            Some(Value::List(values)) => values,
            Some(_) => return Err(ItemError::Member("add")),
        };
        let read = |value| match value {
            Value::Object(object) => read_entry(object),
            _ => Err(ItemError::Member("add")),
        };
        values.into_iter().map(read).collect::<Result<_, _>>().map(Some)
    }
}

fn read_entry(mut object: Object<'_>) -> Result<Entry, ItemError> {
    let mut take = Take(&mut object);
    let reason = match take.number("r")? {
        None => None,
        Some(reason) => Some(u8::try_from(reason).map_err(|_| ItemError::Member("r"))?),
    };
    let at = take.number("at")?.and_then(|seconds| i64::try_from(seconds).ok());
    // Serials have one spelling: two digits an octet, no octet of zeros in front.
    let serial = |text| SerialNumber::parse(text).filter(|serial| serial.to_string() == text);
    let entry = Entry {
        serial: take.word("s", serial)?.ok_or(ItemError::Member("s"))?,
        standing: take.word("st", standing)?.ok_or(ItemError::Member("st"))?,
        at: at.map(UnixTime::from_seconds).ok_or(ItemError::Member("at"))?,
        reason,
    };
    if object.is_empty() { Ok(entry) } else { Err(ItemError::Member("unknown")) }
}

fn standing(word: &str) -> Option<Standing> {
    [Standing::Good, Standing::Held, Standing::Revoked].into_iter().find(|standing| standing.word() == word)
}

/// An item that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ItemError {
    /// More bytes than any item has.
    #[error("the item is longer than {MAX_ITEM} bytes")]
    TooLong,
    /// Not three parts of canonical base64url, the last of 64 octets.
    #[error("the item is no compact JWS in canonical base64url")]
    Encoding,
    /// Any other header than the closed profile.
    #[error("the header is not exactly alg, typ and kid of an item")]
    Header,
    /// Not the exact JSON of items.
    #[error("not the exact JSON of an item at byte {at}")]
    Json {
        /// Where.
        at: usize,
    },
    /// Another version.
    #[error("version {0} of items is not known")]
    Version(u64),
    /// A member that is missing, of the wrong form or unknown.
    #[error("member `{0}` is missing, malformed or out of place")]
    Member(&'static str),
    /// Members that do not fit one another.
    #[error("dates, entries or epoch of the item do not fit one another")]
    Unsound,
    /// The header names another key.
    #[error("the item names another key than the feed certificate has")]
    Key,
    /// The signature does not match.
    #[error("the signature does not match the feed key and the item")]
    Signature,
}

impl From<NotExact> for ItemError {
    fn from(NotExact { at }: NotExact) -> Self {
        Self::Json { at }
    }
}

/// An item that was not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ItemSignError {
    /// Items are signed with P-256 only.
    #[error("the feed key is not P-256")]
    Algorithm,
    /// A reader would refuse it.
    #[error(
        "no reader takes such an item: its dates, its epoch or its entries do not fit, or it is longer than {MAX_ITEM} bytes"
    )]
    Unfit,
    /// The key store failed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// Most bytes of one item; a change that takes more is several changes.
pub const MAX_ITEM: usize = 1 << 20;
/// So many entries fit in one item whatever they say: at most 100 octets each before base64url.
pub const MAX_ENTRIES: usize = 7_500;

const HEADER_START: &str = r#"{"alg":"ES256","typ":"kakunin-feed+jws","kid":""#;
const VERSION: u64 = 1;
/// The payload, the list in it, an entry in that, its members.
const DEPTH: u8 = 4;
