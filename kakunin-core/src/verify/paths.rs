//! Paths from the certificates that are here to the caller's roots.
//!
//! A name, a key identifier and even a public key are nobody's own: whoever has a root can certify another owner's issuing
//! authority without being asked, so a certificate may have a path to several roots. All of them are looked for, and which
//! certificate happens to be found first decides nothing. Where a source holds an authority for a certificate itself, what
//! other sources hold is no path of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::source::Source;
use crate::certificate::{AgentCertificate, AgentPath, Decoded, TrustAnchors};
use crate::digest::Digest;
use crate::id::SerialNumber;

/// All paths of one certificate.
type Found = Arc<[Arc<AgentPath>]>;

/// The certificates of all sources, and the paths that they make.
pub(super) struct Paths<'a> {
    anchors: &'a TrustAnchors,
    pool: Pool,
    /// The authorities of a name that a root vouches for: whatever else bears it is looked at once.
    authorities: HashMap<Vec<u8>, Arc<[Digest]>>,
    known: HashMap<(Option<usize>, Digest), Found>,
}

impl<'a> Paths<'a> {
    pub(super) fn of(
        sources: &[&dyn Source],
        anchors: &'a TrustAnchors,
        names: &[(Vec<Digest>, Vec<Digest>)],
    ) -> Self {
        let (authorities, known) = (HashMap::new(), HashMap::new());
        Self { anchors, pool: Pool::of(sources, names), authorities, known }
    }

    /// Whether there is a certificate of this name.
    pub(super) fn has(&self, x5t: &Digest) -> bool {
        self.pool.places.contains_key(x5t)
    }

    /// The certificates of a key.
    pub(super) fn of_key(&self, key: &Digest) -> Vec<Digest> {
        self.pool.keys.get(key).cloned().unwrap_or_default()
    }

    /// The same, in DER.
    pub(super) fn ders_of_key(&self, key: &Digest) -> Vec<Vec<u8>> {
        let names = self.pool.keys.get(key).into_iter().flatten();
        names.filter_map(|name| self.pool.get(name).map(<[u8]>::to_vec)).collect()
    }

    /// The serial numbers of all certificates.
    pub(super) const fn serials(&self) -> &HashSet<SerialNumber> {
        &self.pool.serials
    }

    /// Every path of the certificate `x5t`, over the authorities that `source` has; over all of them if no source is asked,
    /// or these give none.
    pub(super) fn from(&mut self, source: Option<usize>, x5t: &Digest) -> Found {
        if let Some(known) = self.known.get(&(source, *x5t)) {
            return Arc::clone(known);
        }
        let mut paths = self.prove(source, x5t);
        if paths.is_empty() && source.is_some() {
            paths = self.from(None, x5t);
        }
        self.known.insert((source, *x5t), Arc::clone(&paths));
        paths
    }

    fn prove(&mut self, source: Option<usize>, x5t: &Digest) -> Found {
        let certificate = self.pool.get(x5t).and_then(|der| AgentCertificate::decode(der).ok());
        let Some(certificate) = certificate else { return Arc::default() };
        // Every certificate of the path is valid at the agent's first second, since validity nests.
        let at = certificate.decoded().validity().not_before;
        let authorities = self.authorities(certificate.decoded().issuer());
        let held = |authority: &&Digest| source.is_none_or(|source| self.pool.is_held_by(source, authority));
        // Each candidate by itself: however many bear the name of the issuer, those that signed are among them.
        let paths = authorities.iter().filter(held).filter_map(|authority| {
            certificate.clone().verify_path([self.pool.get(authority)?], self.anchors, at).ok()
        });
        paths.map(Arc::new).collect()
    }

    fn authorities(&mut self, name: &[u8]) -> Arc<[Digest]> {
        if let Some(known) = self.authorities.get(name) {
            return Arc::clone(known);
        }
        let bear_it = self.pool.subjects.get(name).into_iter().flatten();
        let vouched = bear_it.filter(|authority| {
            let certificate = self.pool.get(authority).and_then(|der| Decoded::from_der(der).ok());
            certificate.is_some_and(|certificate| self.anchors.vouch_for(&certificate))
        });
        let vouched: Arc<[Digest]> = vouched.copied().collect();
        self.authorities.insert(name.to_vec(), Arc::clone(&vouched));
        vouched
    }
}

/// The certificates of all sources, each once, and where those of a subject and of a key are.
struct Pool {
    ders: Vec<Vec<u8>>,
    places: HashMap<Digest, usize>,
    /// Which of them each source has.
    held: Vec<HashSet<Digest>>,
    subjects: HashMap<Vec<u8>, Vec<Digest>>,
    keys: HashMap<Digest, Vec<Digest>>,
    serials: HashSet<SerialNumber>,
}

impl Pool {
    fn of(sources: &[&dyn Source], names: &[(Vec<Digest>, Vec<Digest>)]) -> Self {
        let mut ders: Vec<Vec<u8>> = Vec::new();
        for (source, (certificates, _)) in sources.iter().zip(names) {
            ders.extend(certificates.iter().filter_map(|name| source.certificate(name)));
        }
        ders.sort_unstable();
        ders.dedup();
        let places = ders.iter().enumerate().map(|(at, der)| (Digest::of(der), at)).collect();
        let held = names.iter().map(|(certificates, _)| certificates.iter().copied().collect()).collect();
        let (subjects, keys, serials) = (HashMap::new(), HashMap::new(), HashSet::new());
        let mut pool = Self { ders, places, held, subjects, keys, serials };
        for der in &pool.ders {
            let Ok(certificate) = Decoded::from_der(der) else { continue };
            let name = certificate.thumbprint();
            pool.subjects.entry(certificate.subject().to_vec()).or_default().push(name);
            pool.keys.entry(certificate.key().key_id()).or_default().push(name);
            pool.serials.insert(certificate.serial());
        }
        pool
    }

    fn get(&self, name: &Digest) -> Option<&[u8]> {
        self.ders.get(*self.places.get(name)?).map(Vec::as_slice)
    }

    fn is_held_by(&self, source: usize, name: &Digest) -> bool {
        self.held.get(source).is_some_and(|held| held.contains(name))
    }
}
