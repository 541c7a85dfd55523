//! The guard: an agent's directory, its lists and clocks, and what must be denied when they are not right.
//!
//! Time stands at [`authority::NOW`] on a clock that tests move by hand; files, locks, threads and processes are real.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use kakunin_core::certificate::{AgentCertificate, CaCertificate, CaRole, TrustAnchors};
use kakunin_core::digest::Digest;
use kakunin_core::genesis::Genesis;
use kakunin_core::guard::{Clock, Denied, Guard, GuardOptions, ManualClock, MemorySource, Pass, StateChoice};
use kakunin_core::home::{AgentHome, Papers};
use kakunin_core::journal::JournalOptions;
use kakunin_core::key::{Signer, SoftKey};
use kakunin_core::receipt::{Answer, Control, Event, Mode};
use kakunin_core::request::ActionRequest;
use kakunin_core::scope::{DraftScope, NameLists, Scope};
use kakunin_core::time::UnixMillis;
use kakunin_core::verify;
use rcgen::{CertificateRevocationListParams, RevocationReason, SerialNumber, date_time_ymd};

use crate::authority::{self, Authority, By, SERIAL, agent_id, entry, seeded_key};

pub(crate) const SCOPE: &str = r#"
actions = ["payments:send", "read:*"]
[[limit]]
for = ["payments:send"]
currency = "EUR"
per_action = "100.00"
per_day = "1000.00"
per_minute = "500.00"
[[counterparties]]
for = ["payments:send"]
allow = ["acme"]
"#;

/// An authority and the directory of one agent of it.
pub(crate) struct House {
    pub(crate) temp: tempfile::TempDir,
    pub(crate) authority: Authority,
    pub(crate) clock: Arc<ManualClock>,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::of(SCOPE)
    }

    pub(crate) fn of(scope: &str) -> Self {
        let house = Self { temp: tempfile::tempdir().unwrap(), authority: Authority::new(), clock: clock() };
        fs::create_dir(house.dir()).unwrap();
        let key = pem("PRIVATE KEY", &seeded_key(3).serialize_der());
        fs::write(house.dir().join("key.pem"), key).unwrap();
        fs::set_permissions(house.dir().join("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(house.dir().join("ca.pem"), pem("CERTIFICATE", &house.authority.root)).unwrap();
        fs::write(house.dir().join("chain.pem"), pem("CERTIFICATE", &house.authority.issuing)).unwrap();
        fs::write(house.dir().join("agent.toml"), "lists = \"../lists.pem\"\n").unwrap();
        house.certify(scope, 1);
        house.publish(1, &[]);
        house
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.temp.path().join("agent")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir().join("state")
    }

    pub(crate) fn scope(text: &str) -> Scope {
        let draft = DraftScope::parse(text, &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
        draft.for_agent(agent_id()).unwrap()
    }

    /// Writes a certificate and its genesis mark.
    pub(crate) fn certify(&self, scope: &str, serial: u8) {
        self.certify_with(scope, serial, |_| {});
    }

    fn certify_with(&self, scope: &str, serial: u8, change: impl FnOnce(&mut rcgen::CertificateParams)) {
        let der = self.authority.agent_with(&Self::scope(scope).to_der(), |params| {
            params.serial_number = Some(if serial == 1 { SERIAL.to_vec() } else { vec![serial; 16] }.into());
            change(params);
        });
        let issuing = Signer::soft(SoftKey::from_pkcs8(&seeded_key(2).serialize_der()).unwrap());
        let mark = Genesis::sign(agent_id(), Digest::of(&der), &issuing).unwrap();
        if serial == 1 {
            fs::write(self.dir().join("genesis"), mark.to_text()).unwrap();
        }
        replace(&self.dir().join("agent.pem"), &pem("CERTIFICATE", &der));
    }

    /// Publishes list `number` of the issuing authority.
    pub(crate) fn publish(&self, number: u8, entries: &[RevocationReason]) {
        self.publish_with(number, entries, |_| {});
    }

    pub(crate) fn publish_with(
        &self,
        number: u8,
        reasons: &[RevocationReason],
        change: impl Fn(&mut CertificateRevocationListParams),
    ) {
        let list = self.authority.list(By::Issuing, |params| {
            params.crl_number = SerialNumber::from(vec![number]);
            params.revoked_certs = reasons.iter().map(|reason| entry(&SERIAL, Some(*reason))).collect();
            change(params);
        });
        let root = self.authority.list(By::Root, |_| {});
        let text = [list, root].map(|list| pem("X509 CRL", &list)).concat();
        replace(&self.temp.path().join("lists.pem"), &text);
    }

    /// Another issuing authority under the same root takes the agent over; `root` is the number of the root's list.
    fn rotate(&mut self, root: u8) {
        let keys = [seeded_key(1), seeded_key(9), seeded_key(3)];
        self.authority = Authority::of(
            keys,
            |_| {},
            |params| {
                params.distinguished_name = authority::name("Next Issuing");
                params.serial_number = Some(vec![0x43; 16].into());
            },
        );
        self.publish_pair(1, root);
        fs::write(self.dir().join("chain.pem"), pem("CERTIFICATE", &self.authority.issuing)).unwrap();
        self.pin();
        self.certify(SCOPE, 5);
    }

    /// Names the present issuing authority in the settings, as `agent renew` does.
    pub(crate) fn pin(&self) {
        let text = format!("lists = \"../lists.pem\"\nissuer = \"{}\"\n", self.authority.issuing_key());
        fs::write(self.dir().join("agent.toml"), text).unwrap();
    }

    /// Publishes both lists, by their numbers.
    fn publish_pair(&self, issuing: u8, root: u8) {
        let list = |by, number: u8| {
            let list = self.authority.list(by, |params| params.crl_number = SerialNumber::from(vec![number]));
            pem("X509 CRL", &list)
        };
        let text = [list(By::Issuing, issuing), list(By::Root, root)].concat();
        replace(&self.temp.path().join("lists.pem"), &text);
    }

    /// The file that keeps the list of this authority.
    fn kept(&self, authority: &[u8], role: CaRole) -> PathBuf {
        let key = CaCertificate::decode(authority, role).unwrap().decoded().key().key_id();
        self.state().join("lists").join(format!("{key}.crl"))
    }

    pub(crate) fn options(&self) -> GuardOptions {
        GuardOptions { clock: Arc::clone(&self.clock) as Arc<dyn Clock>, ..GuardOptions::default() }
    }

    pub(crate) fn guard(&self) -> Guard {
        self.guard_with(self.options())
    }

    pub(crate) fn guard_with(&self, options: GuardOptions) -> Guard {
        Guard::open(AgentHome::open(&self.dir(), None).unwrap(), options).unwrap()
    }

    pub(crate) fn memory(&self) -> (Arc<MemorySource>, Guard) {
        self.memory_of(Self::papers(&self.authority))
    }

    pub(crate) fn memory_of(&self, papers: Papers) -> (Arc<MemorySource>, Guard) {
        let lists = fs::read(self.temp.path().join("lists.pem")).unwrap();
        let source = Arc::new(MemorySource::new(papers, lists, seeded_key(3).serialize_der().into()));
        (Arc::clone(&source), Guard::in_memory(source, self.options()).unwrap())
    }

    /// The agent certified by `authority`.
    pub(crate) fn papers(authority: &Authority) -> Papers {
        Papers {
            agent: authority.agent(&Self::scope(SCOPE)),
            chain: vec![authority.issuing.clone()],
            roots: vec![authority.root.clone()],
            issuer: None,
            names: NameLists::default(),
        }
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(authority::now().to_millis()))
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let body = Base64::encode_string(der);
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

pub(crate) fn replace(path: &Path, text: &str) {
    let temp = path.with_extension("new");
    fs::write(&temp, text).unwrap();
    fs::rename(temp, path).unwrap();
}

pub(crate) fn pay(amount: &str) -> ActionRequest<'_> {
    ActionRequest::new("payments:send").amount(amount, "EUR").counterparty("acme")
}

/// The code of the answer: `allow`, or why not. What is allowed ran and returned.
pub(crate) fn ask(guard: &Guard, request: &ActionRequest<'_>) -> &'static str {
    match admit(guard, request) {
        Ok(pass) => {
            pass.begin().unwrap().returned();
            "allow"
        }
        Err(denied) => denied.code(),
    }
}

/// Asks as a caller in a hurry does: a signer that a busy machine starves is waited for.
pub(crate) fn admit(guard: &Guard, request: &ActionRequest<'_>) -> Result<Pass, Denied> {
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        match guard.admit(request) {
            Err(denied) if denied.code() == "journal.unsigned_backlog" && Instant::now() < patience => {
                std::thread::sleep(Duration::from_millis(5));
            }
            answer => return answer,
        }
    }
}

#[test]
fn a_payment_inside_the_scope_runs_and_one_outside_does_not() {
    let house = House::new();
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("10.00")), "allow");
    assert_eq!(ask(&guard, &pay("100.01")), "scope.amount");
    assert_eq!(ask(&guard, &pay("1.00").counterparty("evil")), "scope.counterparty");
    assert_eq!(ask(&guard, &ActionRequest::new("payments:refund")), "scope.action");
    let denied = guard.admit(&pay("100.01")).unwrap_err();
    let id = denied.decision_id().unwrap();
    assert_eq!(
        denied.to_string(),
        format!(
            "payments:send denied: 100.01 EUR is over this certificate's 100.00 EUR per action; \
             ask the owner to renew with a higher limit [scope.amount, decision {id}]"
        )
    );
    assert!(!denied.for_model().contains("100.00"), "{}", denied.for_model());
}

#[test]
fn held_agent_is_denied_until_lifted() {
    let house = House::new();
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    house.publish(2, &[RevocationReason::CertificateHold]);
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "certificate.held");
    house.publish(3, &[]);
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "allow");
}

#[test]
fn a_revocation_reaches_a_running_guard_by_itself_and_is_final() {
    let house = House::new();
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    house.publish(2, &[RevocationReason::KeyCompromise]);
    let start = Instant::now();
    while ask(&guard, &ActionRequest::new("read:a")) == "allow" {
        assert!(start.elapsed() < Duration::from_secs(1), "still allowed after a second");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(ask(&guard, &pay("1")), "certificate.revoked");
    // A later list that forgets it is refused, now and by the next process.
    house.publish(3, &[]);
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "certificate.revoked");
    assert!(guard.take_notices().concat().contains("revoked and is missing"));
    drop(guard);
    assert_eq!(ask(&house.guard(), &pay("1")), "revocation.rollback");
}

#[test]
fn an_older_list_is_refused_while_running_and_at_the_next_start() {
    let house = House::new();
    house.publish(5, &[]);
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    house.publish(4, &[]);
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "allow", "the held list goes on");
    assert!(guard.take_notices().concat().contains("number 4 is offered after number 5"));
    drop(guard);
    assert_eq!(ask(&house.guard(), &pay("1")), "revocation.rollback");
    house.publish(6, &[]);
    assert_eq!(ask(&house.guard(), &pay("1")), "allow");
}

#[test]
fn two_lists_of_one_number_are_refused() {
    let house = House::new();
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    house.publish_with(1, &[], |params| params.next_update = date_time_ymd(2027, 1, 1));
    guard.refresh();
    let told = guard.take_notices().concat();
    assert!(told.contains("two different lists carry number 1"));
    // Both are kept, each signed by the issuing authority: nobody has to be believed.
    let folders = fs::read_dir(house.state().join("evidence")).unwrap().map(|entry| entry.unwrap().path());
    let [evidence] = folders.collect::<Vec<_>>().try_into().unwrap();
    assert!(told.contains(&evidence.display().to_string()), "{told}");
    let issuing = CaCertificate::decode(&house.authority.issuing, CaRole::Issuing).unwrap();
    let [known, offered] = ["known.crl", "offered.crl"].map(|name| {
        let der = fs::read(evidence.join(name)).unwrap();
        kakunin_core::revocation::UnverifiedList::decode(&der)
            .unwrap()
            .verify(&issuing.list_issuer())
            .unwrap()
    });
    assert_eq!(known.number(), offered.number());
    assert_ne!(known.digest(), offered.digest());
    // They are not read again as long as the file is the same one.
    fs::remove_dir_all(&evidence).unwrap();
    for _ in 0..3 {
        guard.refresh();
        assert_eq!(ask(&guard, &pay("1")), "allow", "the held list goes on");
    }
    assert!(!evidence.exists());
    drop(guard);
    let guard = house.guard();
    for _ in 0..3 {
        assert_eq!(ask(&guard, &pay("1")), "revocation.rollback");
        guard.refresh();
    }
    assert!(evidence.exists(), "kept once more by whoever begins anew");
    fs::remove_dir_all(&evidence).unwrap();
    guard.refresh();
    assert!(!evidence.exists());
    // Another file is another matter.
    house.publish(2, &[]);
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    drop(guard);
    house.publish_with(2, &[], |params| params.next_update = date_time_ymd(2027, 1, 1));
    assert_eq!(ask(&house.guard(), &pay("1")), "revocation.rollback");
    // However many come, a disk is not filled with them.
    let guard = house.guard();
    for day in 2..14 {
        house.publish_with(2, &[], |params| params.next_update = date_time_ymd(2027, 1, day));
        guard.refresh();
        assert_eq!(ask(&guard, &pay("1")), "revocation.rollback");
    }
    assert_eq!(fs::read_dir(house.state().join("evidence")).unwrap().count(), 8);
}

#[test]
fn a_list_that_cannot_decide_denies_with_its_own_code() {
    let house = House::new();
    let lists = house.temp.path().join("lists.pem");
    fs::remove_file(&lists).unwrap();
    assert_eq!(ask(&house.guard(), &pay("1")), "revocation.missing");
    fs::write(&lists, "no list").unwrap();
    assert_eq!(ask(&house.guard(), &pay("1")), "revocation.missing");
    house.publish_with(1, &[], |params| params.this_update = date_time_ymd(2026, 11, 25));
    assert_eq!(ask(&house.guard(), &pay("1")), "revocation.invalid");
    house.publish_with(1, &[], |params| {
        params.this_update = date_time_ymd(2026, 11, 20);
        params.next_update = date_time_ymd(2026, 11, 22);
    });
    assert_eq!(ask(&house.guard(), &pay("1")), "revocation.stale");
    // It heals without a restart.
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "revocation.stale");
    house.publish(2, &[]);
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "allow");
}

#[test]
fn past_the_next_update_everything_is_stale_and_past_the_end_expired() {
    let house = House::new();
    house.publish_with(1, &[], |params| params.next_update = date_time_ymd(2026, 11, 24));
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    house.clock.advance(12 * 3_600_000 - 1);
    assert_eq!(ask(&guard, &pay("1")), "allow");
    house.clock.advance(1);
    assert_eq!(ask(&guard, &pay("1")), "revocation.stale");
    house.clock.advance(4 * 86_400_000);
    assert_eq!(ask(&guard, &pay("1")), "certificate.expired");
}

#[test]
fn a_clock_set_back_denies_and_a_night_asleep_does_not() {
    let house = House::new();
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    house.clock.sleep(8 * 3_600_000);
    assert_eq!(ask(&guard, &pay("1")), "allow");
    let today = house.clock.wall();
    house.clock.set_wall(today.plus_millis(-86_400_000));
    assert_eq!(ask(&guard, &pay("1")), "clock.untrusted");
    house.clock.set_wall(today);
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    drop(guard);
    // A clock behind the list that was accepted is untrusted in the next process too.
    house.clock.set_wall(UnixMillis::parse_rfc3339("2026-11-22T12:00:00Z").unwrap());
    assert_eq!(ask(&house.guard(), &pay("1")), "clock.untrusted");
}

#[test]
fn a_jump_of_the_clock_is_stated_before_the_next_decision() {
    let house = House::new();
    let guard = house.guard();
    let today = house.clock.wall();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    house.clock.sleep(3_600_000);
    assert_eq!(ask(&guard, &pay("1")), "allow");
    guard.refresh();
    house.clock.set_wall(today.plus_millis(3_600_000 - 60_000));
    assert_eq!(ask(&guard, &pay("1")), "allow");
    house.clock.set_wall(today.plus_millis(-86_400_000));
    assert_eq!(ask(&guard, &pay("1")), "clock.untrusted");
    guard.close();
    let told: Vec<String> = crate::journal::statements(&house.state().join("journal"))
        .iter()
        .filter_map(|statement| match &statement.event {
            Event::Control(Control::Clock { forward, millis }) => Some(format!("{forward} {millis}")),
            Event::Decision { answer: Answer::Allow, .. } => Some("allow".to_owned()),
            Event::Decision { answer: Answer::Deny(code), .. } => Some(code.clone()),
            _ => None,
        })
        .collect();
    let back = format!("false {}", 86_400_000 + 3_600_000 - 60_000);
    let expected = ["allow", "true 3600000", "allow", "false 60000", "allow", &back, "clock.untrusted"];
    assert_eq!(told, expected);
}

#[test]
fn sleeping_past_the_deadline_is_noticed_before_the_first_decision() {
    let house = House::new();
    house.publish_with(1, &[], |params| params.next_update = date_time_ymd(2026, 11, 24));
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    house.clock.sleep(13 * 3_600_000);
    assert_eq!(ask(&guard, &pay("1")), "revocation.stale");
}

#[test]
fn sixty_four_threads_at_the_edge_never_exceed_the_window() {
    let house = House::new();
    let guard = house.guard();
    let allowed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                for _ in 0..4 {
                    match ask(&guard, &pay("7.00")) {
                        "allow" => _ = allowed.fetch_add(1, Ordering::Relaxed),
                        code => assert!(matches!(code, "budget.window" | "budget.busy"), "{code}"),
                    }
                }
            });
        }
    });
    let sum = allowed.load(Ordering::Relaxed) * 7;
    assert!(sum <= 500, "{sum}");
    assert!(sum > 400, "{sum}");
}

#[test]
fn two_guards_of_one_directory_share_what_was_spent_and_a_restart_remembers() {
    let house = House::new();
    let (one, other) = (house.guard(), house.guard());
    for guard in [&one, &other, &one, &other, &one] {
        assert_eq!(ask(guard, &pay("100.00")), "allow");
    }
    assert_eq!(ask(&one, &pay("0.01")), "budget.window");
    assert_eq!(ask(&other, &pay("0.01")), "budget.window");
    drop((one, other));
    let again = house.guard();
    let denied = again.admit(&pay("1")).unwrap_err();
    assert_eq!((denied.code(), denied.limit().as_deref()), ("budget.window", Some("500.00 EUR in 60 s")));
    house.clock.advance(61_001);
    assert_eq!(ask(&again, &pay("100.00")), "allow");
}

#[test]
fn what_did_not_run_is_room_again_and_what_ended_unknown_is_spent() {
    let house = House::new();
    let guard = house.guard();
    for _ in 0..20 {
        drop(guard.admit(&pay("100.00")).unwrap());
        guard.admit(&pay("100.00")).unwrap().begin().unwrap().not_executed();
    }
    for end in 0..5 {
        let running = guard.admit(&pay("100.00")).unwrap().begin().unwrap();
        match end {
            0 => running.returned(),
            1 => running.raised(),
            2 => running.cancelled(),
            _ => drop(running),
        }
    }
    assert_eq!(ask(&guard, &pay("0.01")), "budget.window");
}

#[test]
fn a_question_is_answered_as_if_nothing_was_spent_and_spends_nothing() {
    let house = House::of(&SCOPE.replace("per_action = \"100.00\"\n", ""));
    let guard = house.guard();
    for _ in 0..3 {
        assert!(guard.check(&pay("500.00"), None).is_ok());
    }
    let denied = guard.check(&pay("500.01"), None).unwrap_err();
    assert_eq!((denied.code(), denied.receipt()), ("budget.window", None));
    assert_eq!(ask(&guard, &pay("500.00")), "allow");
    assert!(guard.check(&pay("500.00"), None).is_ok());
}

#[test]
fn a_clock_set_forward_makes_no_room_until_a_list_proves_the_time() {
    let house = House::new();
    let guard = house.guard();
    let spend = || (0..10).filter(|_| ask(&guard, &pay("100.00")) == "allow").count();
    assert_eq!(spend(), 5, "500.00 a minute");
    house.clock.set_wall(house.clock.wall().plus_millis(2 * 86_400_000));
    guard.refresh();
    assert_eq!(spend(), 0);
    house.publish_with(2, &[], |params| params.this_update = date_time_ymd(2026, 11, 25));
    guard.refresh();
    assert_eq!(spend(), 5, "a new day is proven");
}

#[test]
fn damaged_marks_deny() {
    let house = House::new();
    assert_eq!(ask(&house.guard(), &pay("1")), "allow");
    fs::write(house.state().join("clock"), [0xff; 64]).unwrap();
    assert_eq!(ask(&house.guard(), &pay("1")), "journal.unavailable");
}

#[test]
fn a_lost_budget_file_denies_for_one_window() {
    let house = House::new();
    assert_eq!(ask(&house.guard(), &pay("1")), "allow");
    fs::remove_file(house.state().join("budget.seg")).unwrap();
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "budget.unknown");
    assert_eq!(ask(&guard, &ActionRequest::new("read:a")), "allow", "only budgets are unknown");
    house.clock.advance(86_400_000);
    house.publish_with(2, &[], |_| {});
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "budget.unknown");
    house.clock.advance(1_500_000);
    assert_eq!(ask(&guard, &pay("1")), "allow");
}

#[test]
fn a_budget_file_that_lost_its_end_is_noticed() {
    let house = House::new();
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("100")), "allow");
    let path = house.state().join("budget.seg");
    let before = fs::metadata(&path).unwrap().len();
    assert_eq!(ask(&guard, &pay("100")), "allow");
    drop(guard);
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(before).unwrap();
    assert_eq!(ask(&house.guard(), &pay("1")), "budget.unknown");
}

#[test]
fn a_new_agent_without_its_mark_is_denied_by_budget_and_nothing_else() {
    let house = House::new();
    fs::remove_file(house.dir().join("genesis")).unwrap();
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "budget.unknown");
    assert_eq!(ask(&guard, &ActionRequest::new("read:a")), "allow");
}

#[test]
fn a_mark_counts_once_and_never_for_another_certificate() {
    let house = House::new();
    let mark = fs::read(house.dir().join("genesis")).unwrap();
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("100")), "allow");
    assert!(!house.dir().join("genesis").exists());
    drop(guard);
    fs::write(house.dir().join("genesis"), &mark).unwrap();
    fs::remove_file(house.state().join("budget.seg")).unwrap();
    assert_eq!(ask(&house.guard(), &pay("1")), "budget.unknown", "consumed already");

    let other = House::new();
    other.certify(SCOPE, 2);
    assert_eq!(ask(&other.guard(), &pay("1")), "budget.unknown", "the mark is for serial one");
}

#[test]
fn a_mark_beside_a_state_elsewhere_ends_after_a_day() {
    let house = House::new();
    let elsewhere = |name: &str| GuardOptions {
        state: StateChoice::Path(house.temp.path().join(name)),
        ..house.options()
    };
    // The certificate began three days ago.
    assert_eq!(ask(&house.guard_with(elsewhere("late")), &pay("1")), "budget.unknown");
    let young = House::new();
    young.certify_with(SCOPE, 1, |params| params.not_before = date_time_ymd(2026, 11, 23));
    let options = GuardOptions { state: StateChoice::Path(young.temp.path().join("own")), ..young.options() };
    assert_eq!(ask(&young.guard_with(options.clone()), &pay("1")), "allow");
    assert!(!young.dir().join("genesis").exists());
    // Whoever loses that state loses the mark's word with it, as far as the record there was kept.
    fs::remove_file(young.temp.path().join("own/budget.seg")).unwrap();
    assert_eq!(ask(&young.guard_with(options), &pay("1")), "budget.unknown");
}

#[test]
fn many_reservations_are_compacted_and_none_is_forgotten() {
    let house = House::of("actions = [\"tick\"]\n[[rate]]\nfor = [\"tick\"]\nmax = 9000\nseconds = 86400\n");
    let guard = house.guard();
    for _ in 0..9000 {
        assert_eq!(ask(&guard, &ActionRequest::new("tick")), "allow");
    }
    let compacted = fs::metadata(house.state().join("budget.seg")).unwrap();
    assert!(compacted.len() < 1 << 20);
    assert_eq!(compacted.permissions().mode() & 0o077, 0, "amounts stand there in clear");
    assert_eq!(ask(&guard, &ActionRequest::new("tick")), "budget.rate");
    drop(guard);
    assert_eq!(ask(&house.guard(), &ActionRequest::new("tick")), "budget.rate");
}

#[test]
fn renewal_swaps_the_scope_without_a_restart_and_keeps_what_was_spent() {
    let house = House::new();
    let guard = house.guard();
    for _ in 0..5 {
        assert_eq!(ask(&guard, &pay("100.00")), "allow");
    }
    house.certify(&SCOPE.replace("\"read:*\"", "\"read:*\", \"mail:send\""), 9);
    guard.refresh();
    assert_eq!(ask(&guard, &ActionRequest::new("mail:send")), "allow");
    assert_eq!(ask(&guard, &pay("1")), "budget.window");
}

#[test]
fn after_a_revocation_the_agent_comes_back_with_a_new_key_without_a_restart() {
    let house = House::new();
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    house.publish(2, &[RevocationReason::KeyCompromise]);
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "certificate.revoked");
    let key = seeded_key(4);
    fs::write(house.dir().join("key.pem"), pem("PRIVATE KEY", &key.serialize_der())).unwrap();
    let der = house.authority.agent_of_key(&House::scope(SCOPE).to_der(), &key, |params| {
        params.serial_number = Some(vec![0x55; 16].into());
    });
    replace(&house.dir().join("agent.pem"), &pem("CERTIFICATE", &der));
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    guard.close();
    let roots = TrustAnchors::new([house.authority.root.as_slice()]).unwrap();
    let report = verify::journal(&house.state(), &roots).unwrap();
    assert_eq!(report.verdict().exit_code(), 3, "{:?}", report.verdict());
}

#[test]
fn a_broken_renewal_leaves_the_good_certificate_and_says_so() {
    let house = House::new();
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    replace(&house.dir().join("agent.pem"), "nothing");
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    assert!(guard.take_notices().concat().contains("papers changed and are refused"));
}

#[test]
fn a_certificate_of_another_agent_is_a_mismatch() {
    let house = House::new();
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    let other = kakunin_core::id::AgentId::from_random([8; 16]);
    let draft = DraftScope::parse(SCOPE, &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
    let der = house.authority.agent_with(&draft.for_agent(other).unwrap().to_der(), |params| {
        params.subject_alt_names = vec![rcgen::SanType::URI(other.to_urn().try_into().unwrap())];
    });
    assert_eq!(AgentCertificate::decode(&der).unwrap().agent(), other);
    replace(&house.dir().join("agent.pem"), &pem("CERTIFICATE", &der));
    guard.refresh();
    assert!(guard.take_notices().concat().contains("another agent"));
    assert_eq!(ask(&guard, &pay("1")), "allow", "the certificate it has is still good");
}

#[test]
fn the_journal_taken_away_is_noticed_within_a_second() {
    let house = House::new();
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    fs::rename(house.state().join("journal"), house.state().join("gone")).unwrap();
    let start = Instant::now();
    while ask(&guard, &ActionRequest::new("read:a")) == "allow" {
        assert!(start.elapsed() < Duration::from_secs(1), "still allowed after a second");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(ask(&guard, &pay("1")), "journal.unavailable");
}

#[test]
fn a_state_that_cannot_be_written_denies_unless_memory_was_chosen() {
    let house = House::new();
    fs::write(house.state(), "a file where the folder should be").unwrap();
    assert_eq!(ask(&house.guard(), &pay("1")), "journal.unavailable");
    let memory = GuardOptions { state: StateChoice::Memory, ..house.options() };
    assert_eq!(ask(&house.guard_with(memory), &pay("1")), "allow");
}

#[test]
fn a_level_for_nothing_is_told_and_one_without_a_disk_refused() {
    let house = House::new();
    let levels = |pairs: &[(&str, &str)]| JournalOptions {
        levels: kakunin_core::level::Levels::parse(pairs.iter().copied()).unwrap(),
        ..JournalOptions::default()
    };
    let journal =
        levels(&[("payment:*", "sync"), ("payments:send", "sync"), ("payments:*", "sync"), ("*", "write")]);
    let guard = house.guard_with(GuardOptions { journal, ..house.options() });
    let notices = guard.take_notices();
    assert!(notices.len() == 1 && notices[0].contains("`payment:*`"), "{notices:?}");
    let home = || AgentHome::open(&house.dir(), None).unwrap();
    let memory = |journal| GuardOptions { state: StateChoice::Memory, journal, ..house.options() };
    let error = Guard::open(home(), memory(levels(&[("payments:*", "sync")]))).unwrap_err();
    assert!(error.to_string().contains("no levels"), "{error}");
    Guard::open(home(), memory(JournalOptions::default())).unwrap().close();
}

#[test]
fn a_state_that_another_process_holds_locked_denies_until_it_lets_go() {
    let house = House::new();
    fs::create_dir(house.state()).unwrap();
    let held = fs::File::create(house.state().join("budget.seg")).unwrap();
    held.lock().unwrap();
    let guard = house.guard();
    assert_eq!(ask(&guard, &ActionRequest::new("read:a")), "journal.locked");
    held.unlock().unwrap();
    assert_eq!(ask(&guard, &ActionRequest::new("read:a")), "allow");
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let house = House::new();
    fs::set_permissions(house.dir().join("key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    let error = Guard::open(AgentHome::open(&house.dir(), None).unwrap(), house.options()).unwrap_err();
    assert!(error.to_string().contains("chmod 600"), "{error}");
}

#[test]
fn a_list_of_names_that_is_gone_denies_its_actions_only() {
    let house =
        House::of("actions = [\"pay\", \"read\"]\n[[counterparties]]\nfor = [\"pay\"]\nallow = [\"a\"]\n");
    let names: String = (0..40).map(|n| format!("\"name{n}\",")).collect();
    house.certify(
        &format!("actions = [\"pay\", \"read\"]\n[[counterparties]]\nfor = [\"pay\"]\nallow = [{names}]\n"),
        1,
    );
    let guard = house.guard();
    let pay = ActionRequest::new("pay").counterparty("name1");
    assert_eq!(ask(&guard, &pay), "scope.names_missing");
    assert_eq!(ask(&guard, &ActionRequest::new("read")), "allow");
}

#[test]
fn observing_lets_the_scope_be_broken_and_nothing_else() {
    let house = House::new();
    let guard = house.guard_with(GuardOptions { mode: Mode::Observe, ..house.options() });
    assert_eq!(ask(&guard, &pay("100000.00")), "allow");
    assert_eq!(ask(&guard, &ActionRequest::new("no:such")), "allow");
    house.publish(2, &[RevocationReason::KeyCompromise]);
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "certificate.revoked");
}

#[test]
fn a_fork_ends_an_agent_in_memory_and_gives_one_with_files_a_stream_of_its_own() {
    let house = House::new();
    let (_, memory) = house.memory();
    assert_eq!(ask(&memory, &pay("1")), "allow");
    memory.after_fork_in_child();
    assert_eq!(ask(&memory, &pay("1")), "agent.forked");
    let (_, unused) = house.memory();
    unused.after_fork_in_child();
    assert_eq!(ask(&unused, &pay("1")), "agent.forked", "each child would have the whole budget");

    let files = house.guard();
    assert_eq!(ask(&files, &pay("1")), "allow");
    files.before_fork();
    files.after_fork_in_child();
    assert_eq!(ask(&files, &pay("1")), "allow");
    let streams = fs::read_dir(house.state().join("journal")).unwrap();
    let streams = streams.filter(|entry| entry.as_ref().unwrap().file_name().len() == 32).count();
    assert_eq!(streams, 2);
}

/// It gave up without a word, and what was asked next was answered by the world of before.
#[test]
fn a_look_that_could_not_be_made_is_told() {
    let house = House::new();
    let guard = house.guard();
    assert!(guard.refresh());
    guard.before_fork();
    assert!(!guard.refresh(), "the fork has what a look needs");
    guard.after_fork_in_parent();
    assert!(guard.refresh());
}

#[test]
fn closing_an_agent_in_memory_makes_no_room() {
    let house = House::new();
    let (_, guard) = house.memory();
    for _ in 0..5 {
        assert_eq!(ask(&guard, &pay("100.00")), "allow");
    }
    guard.close();
    assert_eq!(ask(&guard, &pay("0.01")), "budget.window");
}

#[test]
fn published_in_memory_is_seen_at_the_next_look() {
    let house = House::new();
    let (source, guard) = house.memory();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    house.publish(2, &[RevocationReason::CertificateHold]);
    source.publish(fs::read(house.temp.path().join("lists.pem")).unwrap());
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "certificate.held");
}

/// A clock with a bug: what a fault inside the guard looks like.
#[derive(Debug)]
pub(crate) struct Faulty(pub(crate) ManualClock, pub(crate) AtomicBool);

impl Clock for Faulty {
    fn wall(&self) -> UnixMillis {
        assert!(!self.1.load(Ordering::Relaxed), "a bug");
        self.0.wall()
    }

    fn mono_nanos(&self) -> i64 {
        self.0.mono_nanos()
    }

    fn boot_millis(&self) -> i64 {
        self.0.boot_millis()
    }
}

#[test]
fn a_panic_inside_the_guard_is_a_denial_and_the_host_lives() {
    let house = House::new();
    let faulty = Arc::new(Faulty(ManualClock::new(authority::now().to_millis()), AtomicBool::new(false)));
    let guard = house
        .guard_with(GuardOptions { clock: Arc::clone(&faulty) as Arc<dyn Clock>, ..GuardOptions::default() });
    assert_eq!(ask(&guard, &pay("1")), "allow");
    faulty.1.store(true, Ordering::Relaxed);
    assert_eq!(ask(&guard, &pay("1")), "internal");
    // Long enough for the keeper to meet the bug as well.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(ask(&guard, &pay("1")), "internal");
    faulty.1.store(false, Ordering::Relaxed);
    assert_eq!(ask(&guard, &pay("1")), "allow");
}

#[test]
fn a_thousand_answers_name_a_thousand_receipts() {
    let house = House::new();
    let guard = house.guard();
    let mut receipts = std::collections::HashSet::new();
    for _ in 0..1000 {
        let pass = admit(&guard, &ActionRequest::new("read:a")).unwrap();
        receipts.insert(pass.receipt().unwrap());
        pass.begin().unwrap().returned();
    }
    assert_eq!(receipts.len(), 1000);
}

/// Row 12 of the fail-open probes: processes killed at random never spend more than the window together.
#[test]
fn eight_processes_killed_at_random_never_exceed_the_window() {
    let house = House::of("actions = [\"tick\"]\n[[rate]]\nfor = [\"tick\"]\nmax = 400\nseconds = 86400\n");
    let acks = house.temp.path().join("acks");
    fs::create_dir(&acks).unwrap();
    let rounds = if std::env::var_os("KAKUNIN_SOAK").is_some() { 100 } else { 10 };
    for round in 0..rounds {
        let children: Vec<_> = (0..8)
            .map(|n| {
                Command::new(std::env::current_exe().unwrap())
                    .args(["guard::child_that_ticks_until_it_is_killed", "--exact", "--nocapture"])
                    .env("KAKUNIN_TEST_AGENT", house.dir())
                    .env("KAKUNIN_TEST_ACKS", acks.join(format!("{round}-{n}")))
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for (n, mut child) in (0_u64..).zip(children) {
            std::thread::sleep(Duration::from_millis(10 + (round * 7 + n * 13) % 30));
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
    let ran: u64 = fs::read_dir(&acks).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(ran > 0 && ran <= 400, "{ran} bodies ran");
    let guard = house.guard();
    let left = (0..=400).take_while(|_| ask(&guard, &ActionRequest::new("tick")) == "allow").count();
    assert!(ran + u64::try_from(left).unwrap() <= 400, "{ran} ran and {left} were left");
}

#[test]
fn child_that_ticks_until_it_is_killed() {
    let (Some(dir), Some(acks)) =
        (std::env::var_os("KAKUNIN_TEST_AGENT"), std::env::var_os("KAKUNIN_TEST_ACKS"))
    else {
        return;
    };
    let options = GuardOptions { clock: clock(), ..GuardOptions::default() };
    let guard = Guard::open(AgentHome::open(Path::new(&dir), None).unwrap(), options).unwrap();
    let mut acks = fs::OpenOptions::new().create(true).append(true).open(acks).unwrap();
    loop {
        if let Ok(pass) = guard.admit(&ActionRequest::new("tick")) {
            let running = pass.begin().unwrap();
            std::io::Write::write_all(&mut acks, b".").unwrap();
            running.returned();
        }
    }
}

#[test]
fn a_budget_file_locked_by_another_is_busy_for_what_has_budgets_only() {
    let house = House::new();
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    let other = fs::File::open(house.state().join("budget.seg")).unwrap();
    other.lock().unwrap();
    let start = Instant::now();
    assert_eq!(ask(&guard, &pay("1")), "budget.busy");
    assert!(start.elapsed() < Duration::from_secs(1), "a call is not held up by a stopped process");
    assert_eq!(ask(&guard, &ActionRequest::new("read:a")), "allow");
    other.unlock().unwrap();
    assert_eq!(ask(&guard, &pay("1")), "allow");
}

#[test]
fn a_budget_file_lost_or_cut_under_a_running_guard_makes_no_room() {
    for taken in ["removed", "emptied", "cut", "put back"] {
        let house = House::new();
        let guard = house.guard();
        let path = house.state().join("budget.seg");
        assert_eq!(ask(&guard, &pay("100")), "allow");
        let before = fs::read(&path).unwrap();
        let running = guard.admit(&pay("100")).unwrap().begin().unwrap();
        for _ in 0..3 {
            assert_eq!(ask(&guard, &pay("100")), "allow");
        }
        match taken {
            "removed" => fs::remove_file(&path).unwrap(),
            "emptied" => fs::write(&path, "").unwrap(),
            "cut" => fs::write(&path, &before).unwrap(),
            _ => {
                fs::write(path.with_extension("old"), &before).unwrap();
                fs::rename(path.with_extension("old"), &path).unwrap();
            }
        }
        running.not_executed();
        let codes: Vec<_> = (0..6).map(|_| ask(&guard, &pay("100"))).collect();
        assert!(!codes.contains(&"allow"), "{taken}: {codes:?}");
        assert_eq!(codes[5], "budget.unknown", "{taken}");
        drop(guard);
        assert_eq!(ask(&house.guard(), &pay("1")), "budget.unknown", "{taken}");
    }
}

#[test]
fn a_mark_that_could_not_be_kept_spends_the_reservation_and_nothing_else() {
    let house = House::new();
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("100")), "allow");
    let (clock, aside) = (house.state().join("clock"), house.state().join("aside"));
    fs::rename(&clock, &aside).unwrap();
    fs::create_dir(&clock).unwrap();
    assert_eq!(ask(&guard, &pay("100")), "journal.unavailable");
    fs::remove_dir(&clock).unwrap();
    fs::rename(&aside, &clock).unwrap();
    for guard in [&guard, &house.guard(), &guard] {
        assert_eq!(ask(guard, &pay("100")), "allow");
    }
    assert_eq!(ask(&guard, &pay("0.01")), "budget.window");
}

#[test]
fn a_list_that_was_refused_is_taken_when_what_was_wrong_has_passed() {
    let house = House::new();
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    // This clock lags: the list that revokes is from twelve hours ahead.
    house.publish_with(2, &[RevocationReason::KeyCompromise], |params| {
        params.this_update = date_time_ymd(2026, 11, 24);
    });
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    house.clock.advance(12 * 3_600_000);
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "certificate.revoked");
}

#[test]
fn a_list_that_could_not_be_read_for_a_moment_is_read_again() {
    let house = House::new();
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    // The file is there, by its name, size and time, and cannot be read: as when descriptors run out.
    let lists = house.temp.path().join("lists.pem");
    house.publish(2, &[RevocationReason::KeyCompromise]);
    let good = fs::read(&lists).unwrap();
    fs::write(&lists, vec![b'x'; good.len()]).unwrap();
    let when = fs::metadata(&lists).unwrap().modified().unwrap();
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    fs::write(&lists, good).unwrap();
    fs::File::options().write(true).open(&lists).unwrap().set_modified(when).unwrap();
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "certificate.revoked");
}

#[test]
fn a_list_copied_with_its_old_time_over_one_of_the_same_size_is_seen() {
    let house = House::new();
    let lists = house.temp.path().join("lists.pem");
    house.publish(3, &[RevocationReason::KeyCompromise]);
    let third = fs::read(&lists).unwrap();
    house.publish(2, &[RevocationReason::CertificateHold]);
    let when = fs::metadata(&lists).unwrap().modified().unwrap();
    assert_eq!(fs::metadata(&lists).unwrap().len(), third.len() as u64);
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "certificate.held");
    fs::write(&lists, third).unwrap();
    fs::File::options().write(true).open(&lists).unwrap().set_modified(when).unwrap();
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "certificate.revoked");
}

#[test]
fn a_guard_that_began_with_an_expired_certificate_signs_as_the_renewed_one() {
    let house = House::new();
    house.certify_with(SCOPE, 1, |params| params.not_after = date_time_ymd(2026, 11, 23));
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "certificate.expired");
    house.certify(SCOPE, 9);
    guard.refresh();
    assert_eq!(ask(&guard, &ActionRequest::new("read:a")), "allow");
    guard.close();
    let anchors = TrustAnchors::new([house.authority.root.as_slice()]).unwrap();
    let report = verify::journal(&house.dir(), &anchors).unwrap();
    assert_eq!(report.verdict().word(), "AUTHENTIC-NOT-COMPLETE", "{report:?}");
}

/// The first decision opens the state; no other may be made before what was known there is taken up.
#[test]
fn no_thread_decides_by_a_rolled_back_list_while_another_opens_the_state() {
    for _ in 0..10 {
        let house = House::new();
        let old = fs::read(house.temp.path().join("lists.pem")).unwrap();
        house.publish(2, &[RevocationReason::KeyCompromise]);
        assert_eq!(ask(&house.guard(), &ActionRequest::new("read:a")), "certificate.revoked");
        fs::write(house.temp.path().join("lists.pem"), &old).unwrap();
        let guard = house.guard();
        std::thread::scope(|scope| {
            for wait in 0..40 {
                let guard = &guard;
                scope.spawn(move || {
                    std::thread::sleep(Duration::from_micros(wait * 250));
                    assert_ne!(ask(guard, &ActionRequest::new("read:a")), "allow", "after {wait} waits");
                });
            }
        });
    }
}

#[test]
fn kept_lists_are_never_lowered_by_a_process_that_was_late() {
    let house = House::new();
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    // All lists are of the same second. Another process kept the third while this one read the second.
    let third = house.authority.list(By::Issuing, |params| {
        params.crl_number = SerialNumber::from(vec![3]);
        params.revoked_certs = vec![entry(&SERIAL, Some(RevocationReason::KeyCompromise))];
    });
    let kept = house.kept(&house.authority.issuing, CaRole::Issuing);
    house.publish(2, &[]);
    fs::write(&kept, &third).unwrap();
    guard.refresh();
    assert!(fs::read(&kept).unwrap() == third, "an older list is kept");
    assert_eq!(ask(&house.guard(), &pay("1")), "revocation.rollback");
}

#[test]
fn kept_lists_that_are_damaged_deny_instead_of_being_forgotten() {
    let house = House::new();
    let old = fs::read(house.temp.path().join("lists.pem")).unwrap();
    house.publish(2, &[RevocationReason::KeyCompromise]);
    assert_eq!(ask(&house.guard(), &pay("1")), "certificate.revoked");
    fs::write(house.temp.path().join("lists.pem"), &old).unwrap();
    let kept = house.kept(&house.authority.issuing, CaRole::Issuing);
    let of_root = fs::read(house.kept(&house.authority.root, CaRole::Root)).unwrap();
    for damage in [b"", b"no list".as_slice(), &[0x30, 0], &of_root] {
        fs::write(&kept, damage).unwrap();
        assert_eq!(ask(&house.guard(), &pay("1")), "revocation.invalid", "{damage:?}");
    }
}

/// The root's list was forgotten with the list of the authority that was left.
#[test]
fn a_rollback_of_the_roots_list_is_noticed_across_a_rotation() {
    let mut house = House::new();
    house.publish_pair(1, 2);
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    house.rotate(1);
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "revocation.rollback", "while it runs");
    drop(guard);
    assert_eq!(ask(&house.guard(), &pay("1")), "revocation.rollback", "and at the next start");
    house.publish_pair(1, 2);
    assert_eq!(ask(&house.guard(), &pay("1")), "allow");
}

/// What was known of an authority was overwritten by its successor's list, so a way back met an empty memory.
#[test]
fn the_list_of_an_authority_that_was_left_is_still_known() {
    let mut house = House::new();
    house.publish_pair(7, 2);
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    let left = Authority::new();
    house.rotate(2);
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    house.authority = left;
    fs::write(house.dir().join("chain.pem"), pem("CERTIFICATE", &house.authority.issuing)).unwrap();
    house.pin();
    house.publish_pair(6, 2);
    house.certify(SCOPE, 6);
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "revocation.rollback");
    drop(guard);
    assert_eq!(ask(&house.guard(), &pay("1")), "revocation.rollback");
}

/// A process that went on under the old authority asks the state what others knew of the new one.
#[test]
fn a_rotation_meets_what_another_process_knew_of_the_next_authority() {
    let mut house = House::new();
    let late = house.guard();
    assert_eq!(ask(&late, &pay("1")), "allow");
    late.before_fork(); // Its keeper rests, so it sees nothing of the rotation by itself.
    house.rotate(1);
    house.publish_pair(5, 1);
    assert_eq!(ask(&house.guard(), &pay("1")), "allow");
    house.publish_pair(4, 1);
    late.after_fork_in_parent();
    assert_eq!(ask(&late, &pay("1")), "revocation.rollback");
}

/// The first look read until a writer came, which for a pipe is never.
#[test]
fn what_is_no_regular_file_is_an_answer_and_no_wait() {
    let start = Instant::now();
    for (file, code) in [("../lists.pem", "revocation.missing"), ("genesis", "budget.unknown")] {
        let house = House::new();
        pipe(&house.dir().join(file));
        assert_eq!(ask(&house.guard(), &pay("1")), code, "{file}");
    }
    for file in ["agent.pem", "ca.pem", "chain.pem", "agent.toml", "key.pem"] {
        let house = House::new();
        let running = house.guard();
        assert_eq!(ask(&running, &pay("1")), "allow");
        pipe(&house.dir().join(file));
        let opened = AgentHome::open(&house.dir(), None)
            .map_err(|error| error.to_string())
            .and_then(|home| Guard::open(home, house.options()).map_err(|error| error.to_string()));
        assert!(opened.unwrap_err().contains("not a regular file"), "{file}");
        running.refresh();
        // Of the papers only the certificate is watched; what it is refused for is known to the operator.
        let noticed = running.take_notices().concat().contains("not a regular file");
        assert_eq!(noticed, file == "agent.pem", "{file}");
        assert_eq!(ask(&running, &pay("1")), "allow", "{file}");
    }
    let house = House::new();
    fs::create_dir(house.dir().join("names")).unwrap();
    pipe(&house.dir().join("names").join(format!("{}.txt", Digest::of(b"names"))));
    assert!(Guard::open(AgentHome::open(&house.dir(), None).unwrap(), house.options()).is_err());
    for file in ["clock", "budget.seg", "genesis"] {
        let house = House::new();
        assert_eq!(ask(&house.guard(), &pay("1")), "allow");
        pipe(&house.state().join(file));
        assert_eq!(ask(&house.guard(), &pay("1")), "journal.unavailable", "{file}");
    }
    assert!(start.elapsed() < Duration::from_secs(20));
}

/// A list of any size was read whole before it was found to be none.
#[test]
fn a_file_beyond_any_use_is_refused_unread() {
    let house = House::new();
    let lists = house.temp.path().join("lists.pem");
    fs::File::create(&lists).unwrap().set_len(1 << 28).unwrap();
    let denied = house.guard().admit(&pay("1")).unwrap_err();
    assert_eq!(denied.code(), "revocation.missing");
    assert!(denied.to_string().contains("has more than 100663296 bytes"), "{denied}");
}

/// A pipe in the place of a file, with nobody at its other end.
fn pipe(path: &Path) {
    let made = path.with_extension("pipe");
    assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&made).status().unwrap().success());
    fs::rename(made, path).unwrap();
}

/// A clock that counts the looks: only they read the clock that goes on while a machine sleeps.
#[derive(Debug)]
struct Counting(ManualClock, AtomicUsize);

impl Clock for Counting {
    fn wall(&self) -> UnixMillis {
        self.0.wall()
    }

    fn mono_nanos(&self) -> i64 {
        self.0.mono_nanos()
    }

    fn boot_millis(&self) -> i64 {
        self.1.fetch_add(1, Ordering::SeqCst);
        // Long enough that a fork would fall into a look.
        std::thread::sleep(Duration::from_millis(5));
        self.0.boot_millis()
    }
}

/// Another thread's look went on over the fork, and the child waited for it in vain.
#[test]
fn nobody_looks_while_the_process_forks_and_the_child_goes_on() {
    for child in [false, true] {
        let house = House::new();
        let clock = Arc::new(Counting(ManualClock::new(authority::now().to_millis()), AtomicUsize::new(0)));
        let options = GuardOptions { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..GuardOptions::default() };
        let guard = house.guard_with(options);
        assert_eq!(ask(&guard, &pay("1")), "allow");
        let (done, mut over) = (AtomicBool::new(false), 0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        guard.refresh();
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(20));
            guard.before_fork();
            let looks = clock.1.load(Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(300));
            over += clock.1.load(Ordering::SeqCst) - looks;
            if child {
                guard.after_fork_in_child();
            } else {
                guard.after_fork_in_parent();
            }
            std::thread::sleep(Duration::from_millis(50));
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(over, 0, "looks went on over the fork");
        assert_eq!(ask(&guard, &pay("1")), "allow");
    }
}

/// Calls queue for the journal, and while they do another list is taken up.
#[test]
fn no_decision_stands_behind_one_by_a_newer_list() {
    let house = House::new();
    let guard = house.guard();
    assert_eq!(ask(&guard, &ActionRequest::new("read:a")), "allow");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let answer = ask(&guard, &ActionRequest::new("read:a"));
                    assert!(matches!(answer, "allow" | "journal.unsigned_backlog"), "{answer}");
                }
            });
        }
        for number in 2..60 {
            house.publish(number, &[]);
            guard.refresh();
        }
        done.store(true, Ordering::Relaxed);
    });
    guard.close();
    let anchors = TrustAnchors::new([house.authority.root.as_slice()]).unwrap();
    let report = verify::journal(&house.dir(), &anchors).unwrap();
    assert!(matches!(report.verdict(), verify::Verdict::AuthenticNotComplete(_)), "{:?}", report.verdict());
}

/// A clock that holds the first look after it is armed inside, until it is let go.
#[derive(Debug)]
struct Holding {
    clock: ManualClock,
    armed: AtomicBool,
    inside: AtomicBool,
    let_go: AtomicBool,
}

impl Clock for Holding {
    fn wall(&self) -> UnixMillis {
        self.clock.wall()
    }

    fn mono_nanos(&self) -> i64 {
        self.clock.mono_nanos()
    }

    fn boot_millis(&self) -> i64 {
        if self.armed.swap(false, Ordering::SeqCst) {
            self.inside.store(true, Ordering::SeqCst);
            while !self.let_go.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        self.clock.boot_millis()
    }
}

/// A fork that nobody prepared, in the middle of a look: the child must not wait for a thread it does not have.
#[test]
fn a_child_that_was_forked_in_the_middle_of_a_look_denies_at_once() {
    let house = House::new();
    let clock = Arc::new(Holding {
        clock: ManualClock::new(authority::now().to_millis()),
        armed: AtomicBool::new(false),
        inside: AtomicBool::new(false),
        let_go: AtomicBool::new(false),
    });
    let options = GuardOptions { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..GuardOptions::default() };
    let guard = house.guard_with(options);
    clock.armed.store(true, Ordering::SeqCst);
    let (code, took) = std::thread::scope(|scope| {
        scope.spawn(|| guard.refresh());
        while !clock.inside.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        // The other thread is inside now and stays there, as a fork would leave it.
        guard.after_fork_in_child();
        let start = Instant::now();
        let answer = (ask(&guard, &pay("1")), start.elapsed());
        clock.let_go.store(true, Ordering::SeqCst);
        answer
    });
    assert_eq!(code, "agent.forked");
    assert!(took < Duration::from_millis(500), "{took:?}");
}
