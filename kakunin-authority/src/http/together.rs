//! Certificates that are asked for at the same time: two writes to the disk for all of them.
//!
//! First one transaction has, of each, the intent in the audit log, the number and the bytes that are to be signed. Only
//! when that is durable anything is signed. A second transaction has the certificates with what came of each order, and
//! only when that is durable anybody is answered. A crash in between leaves numbers that are recorded as issued, which is
//! what they may be, and revoking their agents lists them.
//!
//! No list is signed for it: a certificate that is new and good is on none, and the one that is published says no less
//! about the others. Whoever comes back after a revocation changes a standing and goes the way of those orders.

use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use kakunin_core::certificate::AgentCertificate;
use kakunin_core::digest::Digest;
use kakunin_core::genesis::Genesis;
use kakunin_core::key::{PublicKey, Signer};
use kakunin_core::scope::Scope;
use kakunin_core::time::UnixTime;
use tokio::sync::oneshot;

use super::access::Caller;
use super::deed::{Intent, came_of, record_of};
use super::error::Refusal;
use super::route::agents::known;
use super::sequencer::{Deliver, Panicked};
use super::service::Service;
use crate::agent::Who;
use crate::authority::{AnyAction, Authority, AuthorityError, Days, Issuing, current};
use crate::enrol::{Wanted, record, refuse_any, refuse_revoked_key, scope_diff};
use crate::issue::{Signed, Stored};
use crate::keys::Keys;
use crate::papers::{Papers, enrolled_by, renewed_enough};
use crate::standing::{Standing, StandingError};
use crate::store::{AgentRecord, AuditId, FreezeRecord, Outcome, Store, StoreError, frozen};

/// Somebody asks for a certificate.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) caller: Caller,
    /// In one word.
    pub(crate) what: &'static str,
    pub(crate) who: Who,
    /// Whoever asks has proved to have it.
    pub(crate) key: PublicKey,
    pub(crate) days: Days,
    /// The certificate that is renewed.
    pub(crate) held: Option<AgentCertificate>,
    /// Whether it is the first one of a directory, with a mark that says so.
    pub(crate) begins: bool,
}

/// An ask, and where its answer goes.
pub(crate) struct Waiting {
    pub(crate) ask: Ask,
    pub(crate) answer: oneshot::Sender<Result<Papers, Refusal>>,
}

impl Waiting {
    /// SHA-256 of the key that is certified. Two asks for one key never go together: the second has to find what the first
    /// one was given, by the same token or as one renewal of many.
    pub(crate) fn key(&self) -> Digest {
        self.ask.key.key_id()
    }
}

impl Service {
    /// Has a certificate issued, together with others that wait.
    ///
    /// # Errors
    /// [`Refusal`]: what the rules refuse, or what could not be recorded or signed.
    pub(crate) async fn issue(&self, ask: Ask) -> Result<Papers, Refusal> {
        self.orders.give_ask(ask).await.map_err(|none| self.failure(none))?
    }
}

/// How far an ask has come.
enum Stage {
    /// Refused, and what there is to be recorded of that is.
    No(Refusal),
    /// Renewed often enough: the newest certificate, without a trace in the audit log.
    Again(AgentRecord, Box<AgentCertificate>),
    /// A token was redeemed for this one before.
    Before(AuditId, AgentRecord, Box<AgentCertificate>),
    /// It is the next one to be signed.
    Recorded(AuditId, AgentRecord),
}

/// One that is recorded, and whether it gets a mark.
type Work<'a> = (Stored<'a>, bool);

/// One that is signed, with its mark if it has one; or why not.
type Sealed = Result<(Signed, Option<Genesis>), AuthorityError>;

/// Issues what is asked for, and gives back the answers, to be delivered once it is remembered outside the records how far
/// those go. After an error nobody is told that he has a certificate.
pub(crate) fn issue(
    asks: Vec<Waiting>,
    authority: &mut Authority<'_>,
    room: Result<(), Refusal>,
    now: UnixTime,
    heard: &dyn Fn(&StoreError),
) -> Result<Result<Vec<Deliver>, StoreError>, Panicked> {
    catch_unwind(AssertUnwindSafe(|| issue_all(asks, authority, room, now, heard))).map_err(|_| Panicked)
}

/// What is the same for all that are issued together.
struct Moment {
    now: UnixTime,
    /// When the last list was signed, if the clock says less.
    behind: Option<UnixTime>,
    /// Where nothing is issued.
    freezes: Vec<FreezeRecord>,
    /// Whether there is room on the disk for what is not urgent.
    room: Result<(), Refusal>,
}

fn issue_all(
    asks: Vec<Waiting>,
    authority: &mut Authority<'_>,
    room: Result<(), Refusal>,
    now: UnixTime,
    heard: &dyn Fn(&StoreError),
) -> Result<Vec<Deliver>, StoreError> {
    // Whoever waits asks why as soon as its ask is dropped: that has to be known by then.
    let ends = ends(&asks, authority, room, now).inspect_err(|error| heard(error))?;
    let delivers = asks.into_iter().zip(ends).map(|(Waiting { ask, answer }, end)| {
        let papers = end.and_then(|issued| Ok(papers(authority, &ask, issued)?));
        let deliver: Deliver = Box::new(move || drop(answer.send(papers)));
        deliver
    });
    Ok(delivers.collect())
}

/// How an ask ended: a certificate, with its mark if it has one.
type End = Result<(AgentRecord, AgentCertificate, Option<Genesis>), Refusal>;

fn ends(
    asks: &[Waiting],
    authority: &mut Authority<'_>,
    room: Result<(), Refusal>,
    now: UnixTime,
) -> Result<Vec<End>, StoreError> {
    // By a clock that went back nobody is certified, nor by one of which that cannot be said.
    let behind = authority.signed_after(now)?;
    let freezes = authority.store.freezes()?;
    let moment = Moment { now, behind, freezes, room };
    let Authority { store, issuing, keys, .. } = &mut *authority;
    let issuing: &[Issuing] = issuing;
    let (mut stages, mut work) = (Vec::with_capacity(asks.len()), Vec::with_capacity(asks.len()));
    store.batch(&mut |store| {
        for Waiting { ask, .. } in asks {
            stages.push(begin(ask, issuing, (keys, &mut work), store, &moment)?);
        }
        Ok(())
    })?;
    // INVARIANT: there is one for each that is recorded, in the same order.
    let mut sealed = sign(work, keys).into_iter();
    let (mut stages, mut ends) = (Some(stages), Vec::with_capacity(asks.len()));
    store.batch(&mut |store| {
        for stage in stages.take().into_iter().flatten() {
            ends.push(match stage {
                Stage::No(refusal) => Err(refusal),
                Stage::Again(agent, certificate) => Ok((agent, *certificate, None)),
                Stage::Before(id, agent, certificate) => {
                    store.audit_outcome(id, &Outcome::Done, now)?;
                    Ok((agent, *certificate, None))
                }
                Stage::Recorded(id, agent) => {
                    let done = sealed.next().unwrap_or(Err(AuthorityError::NoIssuer));
                    let done = done.and_then(|(signed, mark)| Ok((signed.keep(store)?, mark)));
                    let (outcome, done) = came_of(done);
                    store.audit_outcome(id, &outcome, now)?;
                    done.map(|(issued, mark)| (agent, issued.certificate().clone(), mark))
                }
            });
        }
        Ok(())
    })?;
    Ok(ends)
}

/// Looks whether it may be, and records the intent and what is to be signed.
fn begin<'a>(
    ask: &Ask,
    issuing: &'a [Issuing],
    (keys, work): (&mut Keys<'_>, &mut Vec<Work<'a>>),
    store: &mut dyn Store,
    moment: &Moment,
) -> Result<Stage, StoreError> {
    let now = moment.now;
    let stands = ask.caller.still_stands(store, now).and_then(|()| moment.room.clone());
    let agent = match stands.and_then(|()| known(store, &ask.caller, &ask.who)) {
        Ok(agent) => agent,
        Err(refusal) => return Ok(Stage::No(refusal)),
    };
    // Also no certificate of before: it may be one of those for which it was frozen. Clients ask again and again, and leave
    // no trace of it in the audit log.
    if let Some(freeze) = frozen(&moment.freezes, &agent.tenant) {
        return Ok(Stage::No(freeze.refusal().into()));
    }
    if let Some(held) = ask.held.as_ref().filter(|_| agent.standing == Standing::Good) {
        // Asked before anything is written down: who asks again and again leaves no trace of it in the audit log.
        match again(held, &agent, issuing, store, now) {
            Ok(Some(newest)) => return Ok(Stage::Again(agent, Box::new(newest))),
            Ok(None) => {}
            Err(error) => return Ok(Stage::No(error.into())),
        }
    }
    let intent = Intent {
        what: ask.what,
        subject: agent.id.to_string(),
        before: Some(agent.standing.word().into()),
        after: Some(Standing::Good.word().into()),
        text: String::new(),
    };
    let id = store.audit_intent(&record_of(&ask.caller, intent, now)?)?;
    Ok(match prepare(ask, &agent, issuing, keys, store, moment) {
        Ok(Begun::Before(certificate)) => Stage::Before(id, agent, certificate),
        Ok(Begun::Recorded(stored)) => {
            work.push((stored, ask.begins));
            Stage::Recorded(id, agent)
        }
        Err(error) => {
            let (outcome, refused) = came_of::<()>(Err(error));
            store.audit_outcome(id, &outcome, now)?;
            Stage::No(refused.err().unwrap_or_else(Refusal::internal))
        }
    })
}

enum Begun<'a> {
    Before(Box<AgentCertificate>),
    Recorded(Stored<'a>),
}

/// The newest certificate by the key of the one that is held, if there were enough of them for now.
fn again(
    held: &AgentCertificate,
    agent: &AgentRecord,
    issuing: &[Issuing],
    store: &dyn Store,
    now: UnixTime,
) -> Result<Option<AgentCertificate>, AuthorityError> {
    if store.is_revoked_key(&agent.tenant, agent.id, held.decoded().key().key_id())? {
        // Refused by the rules, and written down.
        return Ok(None);
    }
    renewed_enough(store, current(issuing, &agent.tenant)?.id, agent, held, now)
}

/// The rules about who gets a certificate.
fn prepare<'a>(
    ask: &Ask,
    agent: &AgentRecord,
    issuing: &'a [Issuing],
    keys: &mut Keys<'_>,
    store: &mut dyn Store,
    &Moment { now, behind, .. }: &Moment,
) -> Result<Begun<'a>, AuthorityError> {
    let token = ask.caller.token();
    if let Some(token) = token
        && let Some(before) = enrolled_by(store, agent, token, &ask.key)?
    {
        return Ok(Begun::Before(Box::new(before)));
    }
    let scope = Scope::from_der(&agent.scope)?;
    // Whoever allowed every action allowed it for the agent and not for a week.
    let any = ask.held.as_ref().is_some_and(|held| held.scope().allows_any_action());
    refuse_any(&scope, if any { AnyAction::Allow } else { AnyAction::Refuse })?;
    match agent.standing {
        Standing::Good => {}
        Standing::Held => return Err(StandingError::Held.into()),
        Standing::Revoked => return Err(StandingError::NeedsAfterRevocation.into()),
    }
    refuse_revoked_key(store, &agent.tenant, agent.id, &ask.key)?;
    let current = current(issuing, &agent.tenant)?;
    // The key opens first: a wrong passphrase must not take a number.
    keys.signer(current.id)?;
    if let Some(last) = behind {
        return Err(AuthorityError::ClockBehind { now, last });
    }
    let wanted = Wanted { name: &agent.name, scope: &scope, key: &ask.key, days: ask.days, token };
    Ok(Begun::Recorded(record(&wanted, current, store, now)?))
}

/// Signs what is recorded, on half of the cores: the others answer meanwhile.
fn sign(work: Vec<Work<'_>>, keys: &Keys<'_>) -> Vec<Sealed> {
    let open = &keys.open;
    let one = |(stored, begins): Work<'_>| -> Sealed {
        let signer = open.get(&stored.issuer()).ok_or(AuthorityError::NoIssuer)?;
        let signed = stored.signed(signer)?;
        let mark = begins.then(|| mark(&signed, signer)).transpose()?;
        Ok((signed, mark))
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get) / 2;
    let each = work.len().div_ceil(threads.max(1)).max(LEAST);
    if work.len() <= each {
        return work.into_iter().map(one).collect();
    }
    let (mut work, mut parts) = (work.into_iter(), Vec::new());
    loop {
        let part: Vec<_> = work.by_ref().take(each).collect();
        if part.is_empty() {
            break;
        }
        parts.push(part);
    }
    thread::scope(|scope| {
        let parts: Vec<_> = parts
            .into_iter()
            .map(|part| scope.spawn(|| part.into_iter().map(one).collect::<Vec<_>>()))
            .collect();
        let join =
            |part: thread::ScopedJoinHandle<'_, _>| part.join().unwrap_or_else(|fault| resume_unwind(fault));
        parts.into_iter().flat_map(join).collect()
    })
}

fn mark(signed: &Signed, signer: &Signer) -> Result<Genesis, AuthorityError> {
    let (agent, thumbprint) = signed.named();
    Ok(Genesis::sign(agent, thumbprint, signer)?)
}

/// What goes with a certificate.
fn papers(
    authority: &mut Authority<'_>,
    ask: &Ask,
    (agent, certificate, mark): (AgentRecord, AgentCertificate, Option<Genesis>),
) -> Result<Papers, AuthorityError> {
    authority.act_for(&agent.tenant)?;
    let genesis = match (ask.begins, mark) {
        (true, None) => Some(authority.mark(&certificate)?),
        (_, mark) => mark,
    };
    let (scope_diff, succession) = match &ask.held {
        Some(held) => {
            (scope_diff(held.scope(), certificate.scope()), authority.succession(held, &certificate)?)
        }
        None => (Vec::new(), None),
    };
    Ok(Papers { genesis, scope_diff, succession, ..authority.papers(agent, certificate)? })
}

/// A thread is worth so many signatures.
const LEAST: usize = 8;

#[cfg(test)]
mod tests {
    use kakunin_core::key::{Algorithm, SoftKey};
    use kakunin_core::scope::DraftScope;

    use super::*;
    use crate::agent::AgentName;
    use crate::api_key::OwnerKey;
    use crate::authority::FeedMode;
    use crate::home::Home;
    use crate::http::sequencer::{Next, Orders};
    use crate::signer::PassphraseSources;
    use crate::standing::Order;
    use crate::store::AuditFilter;
    use crate::term::{Hours, Minutes};
    use crate::token::EnrolmentToken;

    const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);

    /// An authority with a feed, three agents, and its owner.
    fn office(work: impl FnOnce(&mut Authority<'_>, &Home, &[AgentRecord], &Caller)) {
        let folder = tempfile::tempdir().unwrap();
        let ask = |_: &str| Err(std::io::Error::other("nobody"));
        let own = folder.path().join("passphrase");
        std::fs::write(&own, "correct horse\n").unwrap();
        rustix::fs::chmod(&own, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        let home = Home::at(&folder.path().join("home"));
        let sources = PassphraseSources { named: None, own: &own, ask: &ask };
        let mut authority = Authority::init(&home, sources, NOW, Hours::default()).unwrap().0;
        authority.set_feed(FeedMode::On);
        let _ = authority.publish(Hours::default(), NOW).unwrap();
        let key = authority.make_owner_key(OwnerKey::Another, NOW).unwrap().unwrap();
        let owner = Caller::of_key(authority.records().key(key.prefix()).unwrap().unwrap());
        let none = |_: &str| Err(std::io::Error::other("none"));
        let draft = DraftScope::parse("actions = [\"read:*\"]", &none).unwrap();
        let agents = ["one", "two", "three"].map(|name| {
            authority.create(&AgentName::parse(name).unwrap(), &draft, AnyAction::Refuse, NOW).unwrap()
        });
        work(&mut authority, &home, &agents, &owner);
    }

    fn key() -> PublicKey {
        SoftKey::generate(Algorithm::P256).unwrap().0.public().clone()
    }

    type Answer = oneshot::Receiver<Result<Papers, Refusal>>;

    fn ask(caller: &Caller, agent: &AgentRecord, key: &PublicKey) -> (Waiting, Answer) {
        let (answer, answered) = oneshot::channel();
        let (who, key, days) = (Who::Id(agent.id), key.clone(), Days::DAY);
        let what = "certificate.issue";
        let ask = Ask { caller: caller.clone(), what, who, key, days, held: None, begins: true };
        (Waiting { ask, answer }, answered)
    }

    fn carried_out(asks: Vec<Waiting>, authority: &mut Authority<'_>) -> Result<(), StoreError> {
        issue(asks, authority, Ok(()), NOW, &|_| ())
            .unwrap()
            .map(|answers| answers.into_iter().for_each(|deliver| deliver()))
    }

    #[test]
    fn certificates_that_are_asked_for_together_are_recorded_before_any_is_signed_and_no_list_is() {
        office(|authority, _, agents, owner| {
            let [one, two, three] = agents else { panic!("three") };
            let held = authority.order(&Who::Id(two.id), Order::Suspend, "", Hours::default(), NOW).unwrap();
            let keys = [key(), key(), key(), key()];
            let wanted = [(one, &keys[0]), (two, &keys[1]), (three, &keys[2]), (one, &keys[3])];
            let (asks, answers): (Vec<_>, Vec<_>) =
                wanted.into_iter().map(|(agent, key)| ask(owner, agent, key)).unzip();
            carried_out(asks, authority).unwrap();
            let answers: Vec<_> = answers.into_iter().map(|mut answer| answer.try_recv().unwrap()).collect();
            for (at, (agent, key)) in wanted.into_iter().enumerate() {
                if at == 1 {
                    assert_eq!(answers[at].as_ref().unwrap_err().code, "agent.standing");
                    continue;
                }
                let papers = answers[at].as_ref().unwrap();
                let decoded = papers.certificate.decoded();
                assert_eq!((papers.agent.id, papers.certificate.agent()), (agent.id, agent.id));
                assert_eq!(decoded.key(), key);
                assert!(papers.genesis.is_some());
                let record = authority.records().certificate(decoded.serial()).unwrap().unwrap();
                assert_eq!((record.der.as_deref(), record.key), (Some(decoded.der()), key.key_id()));
                // The list that goes with it is the one of before, and the feed goes on from it.
                assert_eq!(papers.published.list().number, held.publication.number);
            }
            let serials: std::collections::HashSet<_> =
                answers.iter().flatten().map(|papers| papers.certificate.decoded().serial()).collect();
            assert_eq!(serials.len(), 3);
            let issued = AuditFilter { what: Some("certificate.issue".into()), ..AuditFilter::default() };
            let log = authority.records().audit(owner.tenant(), &issued, 10).unwrap();
            let outcomes: Vec<_> = log.iter().map(|entry| entry.outcome.as_ref().unwrap().0.word()).collect();
            assert_eq!(outcomes, ["done", "done", "refused", "done"]);
            // After the last intent there are the outcomes of the three that were signed, and before it none of them.
            let head = authority.records().audit_head().unwrap().unwrap();
            assert_eq!(head.rows, log[0].id.number() + 3);
        });
    }

    #[test]
    fn what_cannot_be_recorded_is_neither_signed_nor_answered() {
        office(|authority, home, agents, owner| {
            let (asks, answers): (Vec<_>, Vec<_>) =
                agents.iter().map(|agent| ask(owner, agent, &key())).unzip();
            let other = rusqlite::Connection::open(home.store()).unwrap();
            other.execute_batch("ALTER TABLE audit RENAME TO gone").unwrap();
            assert!(carried_out(asks, authority).is_err());
            other.execute_batch("ALTER TABLE gone RENAME TO audit").unwrap();
            for mut answer in answers {
                assert!(answer.try_recv().is_err());
            }
            for agent in agents {
                assert_eq!(authority.records().certificates(owner.tenant(), agent.id).unwrap(), []);
            }
            // It goes on as soon as it can be.
            let (again, mut answer) = ask(owner, &agents[0], &key());
            carried_out(vec![again], authority).unwrap();
            assert!(answer.try_recv().unwrap().is_ok());
        });
    }

    #[test]
    fn by_a_clock_that_no_record_speaks_for_nobody_is_certified() {
        office(|authority, home, agents, owner| {
            let other = rusqlite::Connection::open(home.store()).unwrap();
            other.execute_batch("ALTER TABLE signed_lists RENAME TO gone").unwrap();
            let (waiting, mut answer) = ask(owner, &agents[0], &key());
            assert!(carried_out(vec![waiting], authority).is_err());
            other.execute_batch("ALTER TABLE gone RENAME TO signed_lists").unwrap();
            assert!(answer.try_recv().is_err());
            assert_eq!(authority.records().certificates(owner.tenant(), agents[0].id).unwrap(), []);
            // One that is behind is named with the time it should be later than.
            let (waiting, mut answer) = ask(owner, &agents[0], &key());
            issue(vec![waiting], authority, Ok(()), NOW.plus(-121), &|_| ())
                .unwrap()
                .unwrap()
                .into_iter()
                .for_each(|deliver| deliver());
            let refusal = answer.try_recv().unwrap().unwrap_err();
            assert_eq!(refusal.code, "clock.untrusted");
            assert!(refusal.text.contains(&NOW.to_string()), "{}", refusal.text);
        });
    }

    #[test]
    fn a_token_that_comes_twice_at_once_gives_one_certificate() {
        office(|authority, _, agents, owner| {
            let agent = &agents[0];
            let token = EnrolmentToken::generate(authority.root().decoded().thumbprint()).unwrap();
            let kept = authority.keep_token(&Who::Id(agent.id), &token, Minutes::default(), NOW).unwrap();
            let (bearer, same) = (Caller::of_token(kept), key());
            let orders = Orders::default();
            let mut answers = Vec::new();
            for (caller, key) in [(&bearer, &same), (owner, &key()), (&bearer, &same), (&bearer, &key())] {
                let (waiting, answer) = ask(caller, agent, key);
                orders.enter_ask(waiting).unwrap();
                answers.push(answer);
            }
            let mut groups = Vec::new();
            while orders.waiting().3 > 0 {
                let Next::Asks(asks) =
                    orders.next(std::time::Instant::now() + std::time::Duration::from_secs(60))
                else {
                    panic!("asks wait")
                };
                groups.push(asks.len());
                carried_out(asks, authority).unwrap();
            }
            assert_eq!(groups, [2, 2]);
            let answers: Vec<_> = answers.into_iter().map(|mut answer| answer.try_recv().unwrap()).collect();
            let der = |at: usize| answers[at].as_ref().unwrap().certificate.decoded().der().to_vec();
            assert_eq!(der(0), der(2), "whoever comes again with it and the same key gets the same one");
            assert_ne!(der(0), der(1));
            assert_eq!(answers[3].as_ref().unwrap_err().code, "token.used");
            assert_eq!(authority.records().certificates(owner.tenant(), agent.id).unwrap().len(), 2);
        });
    }
}
