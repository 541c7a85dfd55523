//! Papers on their way into a directory, file by file, in an order that can be interrupted anywhere.
//!
//! ```text
//! names/  lists.pem  chain.pem  agent.toml  agent.pem       and after a move  agent.toml  chain.pem
//! ```
//!
//! A guard loads when `agent.pem` changes, so that comes when everything it needs is there. While an agent moves to another issuing
//! authority, the certificate that is still there needs its own: lists, chain and pins of both stand in the directory for that
//! long, and whoever opens it finds one certificate with all that belongs to it.

use std::path::{Path, PathBuf};

use kakunin_core::certificate::{AgentPath, PathLists};
use kakunin_core::revocation::RevocationList;

use crate::files::{self, Readers};
use crate::papers::NewPapers;
use crate::place::{CERTIFICATE, LISTS, Place, PlaceError, to_pem};
use crate::settings::{self, NEXT_PIN, PIN};

/// Files to be replaced, one after the other.
#[must_use = "nothing was written yet"]
pub(crate) struct Steps(Vec<(PathBuf, Vec<u8>)>);

impl Steps {
    /// Replaces them. Whoever calls holds the directory's lock.
    pub(crate) fn run(self) -> Result<(), PlaceError> {
        for (path, bytes) in self.0 {
            files::replace(&path, &bytes, Readers::Everyone)?;
        }
        Ok(())
    }
}

/// What takes the papers of `place` to `new` ones, beside names that are there already; `lists` go with the new ones, and `before` are
/// those that are there.
pub(crate) fn steps(
    place: &Place,
    new: &NewPapers,
    lists: &PathLists,
    before: Option<&PathLists>,
) -> Result<Steps, PlaceError> {
    let (dir, old) = (place.dir(), place.path());
    let moves = new.path.issuing().decoded().der() != old.issuing().decoded().der();
    let mut all = vec![lists.issuing(), lists.root()];
    all.extend(before.filter(|_| moves).map(PathLists::issuing));
    let mut steps = vec![(place.lists_path().to_owned(), lists_pem(&all)?)];
    let certificate = (dir.join("agent.pem"), certificate_pem(new.path.agent().decoded().der())?);
    if !moves {
        steps.push(certificate);
        return Ok(Steps(steps));
    }
    let mut chain = certificate_pem(new.path.issuing().decoded().der())?;
    chain.extend(certificate_pem(old.issuing().decoded().der())?);
    let both = settings::changed(dir, &[(NEXT_PIN, pin(&new.path))])?;
    steps.extend([
        (dir.join("chain.pem"), chain),
        (dir.join(settings::FILE), both.into_bytes()),
        certificate,
    ]);
    steps.extend(end_of_move(dir, &new.path)?.0);
    Ok(Steps(steps))
}

/// What leaves one issuing authority, that of `path`, when its certificate is there.
pub(crate) fn end_of_move(dir: &Path, path: &AgentPath) -> Result<Steps, PlaceError> {
    let settings = settings::changed(dir, &[(PIN, pin(path))])?;
    let chain = certificate_pem(path.issuing().decoded().der())?;
    Ok(Steps(vec![(dir.join(settings::FILE), settings.into_bytes()), (dir.join("chain.pem"), chain)]))
}

/// Writes everything of a first certificate beside its key, which is there. Whoever calls holds the lock.
pub(crate) fn first(dir: &Path, new: &NewPapers) -> Result<(), PlaceError> {
    put_names(dir, new)?;
    let mut steps = vec![
        (dir.join("chain.pem"), certificate_pem(new.path.issuing().decoded().der())?),
        (dir.join("ca.pem"), certificate_pem(new.path.root().decoded().der())?),
        (dir.join(LISTS), lists_pem(&[new.lists.issuing(), new.lists.root()])?),
        (dir.join(settings::FILE), settings::changed(dir, &new.settings())?.into_bytes()),
    ];
    steps.extend(new.genesis.clone().map(|mark| (dir.join("genesis"), mark.into_bytes())));
    steps.push((dir.join("agent.pem"), certificate_pem(new.path.agent().decoded().der())?));
    Steps(steps).run()
}

/// Lists of names are never removed: the certificate of before needs its own.
pub(crate) fn put_names(dir: &Path, new: &NewPapers) -> Result<(), PlaceError> {
    if new.papers.names.iter().next().is_some() {
        files::make_folder(&dir.join("names"))?;
    }
    for list in new.papers.names.iter() {
        let path = dir.join("names").join(format!("{}.txt", list.root()));
        files::replace(&path, list.to_text().as_bytes(), Readers::Everyone)?;
    }
    Ok(())
}

/// Writes both lists of a path.
pub(crate) fn write_lists(path: &Path, lists: &PathLists) -> Result<(), PlaceError> {
    Steps(vec![(path.to_owned(), lists_pem(&[lists.issuing(), lists.root()])?)]).run()
}

/// The line of the settings that pins the issuing authority.
pub(crate) fn pin(path: &AgentPath) -> String {
    path.issuing().decoded().key().key_id().to_string()
}

fn lists_pem(lists: &[&RevocationList]) -> Result<Vec<u8>, PlaceError> {
    let pem = lists.iter().map(|list| to_pem("X509 CRL", list.der()));
    Ok(pem.collect::<Result<String, _>>()?.into_bytes())
}

fn certificate_pem(der: &[u8]) -> Result<Vec<u8>, PlaceError> {
    to_pem(CERTIFICATE, der).map(String::into_bytes)
}

#[cfg(test)]
mod tests {
    use kakunin_authority::authority::OldIssuing;
    use kakunin_core::home::AgentHome;
    use kakunin_core::snapshot;

    use super::*;
    use crate::tested::{Rotated, now};

    /// C183: what is there after every step is an agent with all that belongs to it, and the next start ends the move.
    #[test]
    fn a_move_that_is_interrupted_anywhere_leaves_a_directory_that_opens() {
        let rotated = Rotated::new(OldIssuing::Keep);
        let (place, new) = (rotated.place(), rotated.papers(None));
        let before = place.lists();
        assert_ne!(new.path.issuing().decoded().key(), place.path().issuing().decoded().key());
        let steps = || steps(&place, &new, &new.lists, before.as_ref()).unwrap().0;
        let count = steps().len();
        assert_eq!(count, 6);
        let files = ["lists.pem", "chain.pem", "agent.toml", "agent.pem"];
        let kept = files.map(|file| (place.dir().join(file), std::fs::read(place.dir().join(file)).unwrap()));
        for done in 0..=count {
            for (path, bytes) in &kept {
                std::fs::write(path, bytes).unwrap();
            }
            Steps(steps().into_iter().take(done).collect()).run().unwrap();
            let is_new = |place: &Place| place.issuer() == new.path.issuing().decoded().key().key_id();
            let check = |what: &str| {
                let there =
                    Place::open(place.dir(), now()).unwrap_or_else(|error| panic!("{what} {done}: {error}"));
                assert_eq!(is_new(&there), done >= 4, "{what} {done}");
                // As a guard does it, which knows nothing of clients.
                let home = AgentHome::open(place.dir(), Some(place.lists_path())).unwrap();
                let path = snapshot::prove(&home.papers().unwrap(), now()).unwrap();
                let joined = snapshot::join(path, &home.lists().unwrap(), now());
                assert!(joined.is_ok(), "{what} {done}: {joined:?}");
                there
            };
            let there = check("interrupted");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(there.settle()).unwrap();
            let there = check("ended");
            let home = AgentHome::open(place.dir(), Some(place.lists_path())).unwrap();
            assert!(!home.is_moving().unwrap(), "{done}");
            assert_eq!(home.papers().unwrap().issuer, Some(there.issuer()), "one pin, {done}");
        }
    }
}
