//! The move to another issuing authority: by whose word, and without a pause in what guards hear.
//!
//! One root stands above many issuing authorities, of other tenants among them, and each could name any agent. So the agent keeps to
//! the one it has, until that one names its successor, or the operator does.

use kakunin_core::feed::Follower;
use kakunin_core::revocation::Standing;
use kakunin_core::succession::Succession;

use crate::client::Shared;
use crate::connect::ConnectOptions;
use crate::follow::hear;
use crate::papers::NewPapers;
use crate::place::Place;
use crate::status::Trouble;
use crate::transport::{Address, Transport};

/// Whether the agent in `place` may go where `papers` come from.
pub(crate) fn allow(options: &ConnectOptions, place: &Place, papers: &NewPapers) -> Result<(), Trouble> {
    let (old, to) = (place.path().issuing().decoded(), papers.path.issuing().decoded().key().key_id());
    if options.issuer == Some(to) {
        return Ok(());
    }
    let is_named =
        Succession::leads(papers.succession.as_deref(), old.key(), papers.path.issuing().decoded().key());
    // Whoever has the key of one that was revoked could name anybody. The lists that are offered come from whoever offers the
    // papers, so those that are there have to say it as well.
    let kept = place.lists();
    let mut lists = [Some(&papers.lists), kept.as_ref()].into_iter().flatten();
    let is_revoked = lists.any(|lists| lists.root().standing(&old.serial()) != Standing::Good);
    let why = match kept {
        _ if is_revoked => "is revoked, so that its word is worth nothing",
        _ if !is_named => "does not name it as its next",
        Some(_) => return Ok(()),
        None => {
            "may be revoked for all that is known here, since the lists in the directory are missing or cannot be used"
        }
    };
    Err(Trouble::now(
        "renewal.issuer",
        format!(
            "the certificate is offered by another issuing authority, {to}, and the present one, {}, {why}; find out whether the authority was rotated, then remove or rename {} and connect with a token, or name the key in the option `issuer`",
            place.issuer(),
            place.dir().display()
        ),
    ))
}

/// Hears the first word of the feed of `papers` and hands it to guards, beside what they have.
pub(crate) async fn listen(
    shared: &Shared,
    transport: &Transport,
    address: &Address,
    papers: &NewPapers,
) -> Result<(), Trouble> {
    if papers.lists.issuing().policy().is_none() {
        return Ok(());
    }
    let follower = Follower::new(papers.path.issuing(), papers.lists.issuing().der());
    let mut follower = follower.map_err(|refusal| Trouble::now(refusal.code(), refusal.to_string()))?;
    shared.shorten(&mut follower);
    hear(transport, address, &mut follower).await?;
    shared.feed.publish(follower);
    Ok(())
}

#[cfg(test)]
mod tests {
    use kakunin_authority::authority::OldIssuing;
    use kakunin_core::digest::Digest;
    use kakunin_core::key::{Algorithm, Signer, SoftKey};

    use super::*;
    use crate::tested::Rotated;

    /// C183
    #[test]
    fn another_issuing_authority_is_taken_up_by_the_word_of_the_present_one_or_of_the_operator_only() {
        let rotated = Rotated::new(OldIssuing::Keep);
        let (place, papers) = (rotated.place(), rotated.papers(None));
        let options = ConnectOptions::new("billing");
        allow(&options, &place, &papers).unwrap();
        let stranger = Signer::soft(SoftKey::generate(Algorithm::P256).unwrap().0);
        let own = place.signer().unwrap();
        let to = papers.path.issuing().decoded().key().key_id();
        let by = |signer: &Signer, to| Some(Some(Succession::sign(to, signer).unwrap().to_text()));
        for said in [
            Some(None),
            by(&stranger, to),
            by(&own, to),
            by(&stranger, Digest::of(b"x")),
            Some(Some("x".into())),
        ] {
            let papers = rotated.papers(said);
            let refused = allow(&options, &place, &papers).unwrap_err();
            assert_eq!(refused.code, "renewal.issuer");
            assert!(refused.text.contains(&to.to_string()) && refused.text.contains("token"), "{refused}");
            // The operator may.
            let mut named = options.clone();
            named.issuer = Some(Digest::of(b"another"));
            assert!(allow(&named, &place, &papers).is_err());
            named.issuer = Some(to);
            allow(&named, &place, &papers).unwrap();
        }
    }

    /// Its key may be in other hands: nobody is sent anywhere by it.
    #[test]
    fn an_issuing_authority_that_was_revoked_names_no_successor() {
        let rotated = Rotated::new(OldIssuing::Revoke);
        assert_eq!(rotated.answer["succession"], serde_json::Value::Null);
        let refused = allow(&ConnectOptions::new("billing"), &rotated.place(), &rotated.papers(None));
        assert!(refused.unwrap_err().text.contains("revoked"));
    }

    /// C205: whoever holds the revoking list back offers papers with one of before.
    #[test]
    fn without_lists_in_the_directory_nobody_is_followed_but_by_the_word_of_the_operator() {
        let rotated = Rotated::new(OldIssuing::Keep);
        let (place, papers) = (rotated.place(), rotated.papers(None));
        let mut options = ConnectOptions::new("billing");
        allow(&options, &place, &papers).unwrap();
        for wrong in [None, Some("nothing")] {
            match wrong {
                None => std::fs::remove_file(place.lists_path()).unwrap(),
                Some(text) => std::fs::write(place.lists_path(), text).unwrap(),
            }
            let refused = allow(&options, &place, &papers).unwrap_err();
            assert_eq!(refused.code, "renewal.issuer");
            assert!(refused.text.contains("missing"), "{refused}");
        }
        options.issuer = Some(papers.path.issuing().decoded().key().key_id());
        allow(&options, &place, &papers).unwrap();
    }
}
