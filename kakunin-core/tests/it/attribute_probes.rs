//! Rows P1 to P18 of docs/attacks.md through `#[verify_agent_scope(..)]`: whatever the probe, no body may run.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kakunin_core::guard::{Clock, Guard, GuardOptions, ManualClock, current_agent, in_agent, with_agent};
use kakunin_core::selector::{
    SelectedAmount, SelectedCurrency, SelectedMinor, SelectedNames, SelectedWritten,
};
use kakunin_macros::verify_agent_scope;
use rcgen::{RevocationReason, date_time_ymd};
use serde_json::json;

use crate::attribute::{Failure, code, pause, poll, wait};
use crate::authority;
use crate::guard::{Faulty, House, replace};

const SCOPE: &str = r#"
actions = ["payments:send", "write:drafts"]
[[limit]]
for = ["payments:send"]
currency = "EUR"
per_action = "10000.00"
[[counterparties]]
for = ["payments:send"]
allow = ["acme", "globex"]
[hours]
zone = "UTC"
slots = ["Mon-Fri 09:00-17:00"]
"#;

/// How often a body ran on this thread.
#[derive(Default)]
struct Ran(AtomicUsize);

/// An agent, and a count of the bodies that ran.
struct Probe {
    house: House,
    guard: Guard,
    ran: Ran,
}

impl Probe {
    fn new() -> Self {
        let house = House::of(SCOPE);
        Self { guard: house.guard(), house, ran: Ran::default() }
    }

    /// Every kind of value that is asked for is one of these.
    #[verify_agent_scope("payments:send", amount = total, currency = currency, counterparty = to, agent = self.guard)]
    fn send(
        &self,
        total: impl SelectedAmount,
        currency: impl SelectedCurrency,
        to: impl SelectedNames,
    ) -> Result<(), Failure> {
        self.ran.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    #[verify_agent_scope("payments:send", amount_minor = cents, currency = "EUR", counterparty = "acme", agent = self.guard)]
    fn send_minor(&self, cents: impl SelectedMinor) -> Result<(), Failure> {
        self.ran.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    #[verify_agent_scope("payments:send", amount = as_written(number), currency = "EUR", counterparty = "acme", agent = self.guard)]
    fn send_as_written(&self, number: impl SelectedWritten) -> Result<(), Failure> {
        self.ran.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    #[verify_agent_scope(action, agent = self.guard)]
    fn act(&self, action: &str) -> Result<(), Failure> {
        self.ran.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The same, so that a probe which is denied for another reason than it is meant to shows itself.
    fn is_good(&self) -> bool {
        let before = self.ran.0.swap(0, Ordering::Relaxed);
        let good = code(self.send("10000.00", "EUR", "acme"));
        assert_eq!(self.ran.0.swap(0, Ordering::Relaxed), 1);
        before == 0 && good == "allow"
    }
}

#[test]
fn attribute_takes_no_text_that_is_no_plain_decimal() {
    let probe = Probe::new();
    for wrong in
        ["999,999", "1e9", "٣", " 5", "5 ", "5 EUR", "", "+5", "05", ".5", "5.", "1_000", "-1", "NaN", "inf"]
    {
        assert_eq!(code(probe.send(wrong, "EUR", "acme")), "request.amount_invalid", "{wrong}");
        assert_eq!(code(probe.send_as_written(json!(wrong))), "request.amount_invalid", "{wrong}");
    }
    // More decimals than the limit are not rounded.
    for wrong in ["1.005", "1.000", "0.001"] {
        assert_eq!(code(probe.send(wrong, "EUR", "acme")), "request.amount_invalid", "{wrong}");
    }
    assert!(probe.is_good());
}

#[test]
fn attribute_denies_what_is_no_exact_decimal_and_never_reads_a_zero() {
    let probe = Probe::new();
    assert_eq!(code(probe.send(None::<&str>, "EUR", "acme")), "request.amount_missing");
    assert_eq!(code(probe.send(json!(null), "EUR", "acme")), "request.amount_missing");
    assert_eq!(code(probe.send(json!({})["total"].clone(), "EUR", "acme")), "request.amount_missing");
    assert_eq!(code(probe.send_minor(None::<i64>)), "request.amount_missing");
    for wrong in [json!(true), json!(12.5), json!(5), json!(["5"]), json!({"amount": "5"})] {
        assert_eq!(code(probe.send(wrong.clone(), "EUR", "acme")), "request.amount_invalid", "{wrong}");
    }
    assert_eq!(code(probe.send(Err::<&str, _>("no amount"), "EUR", "acme")), "request.amount_invalid");
    for wrong in [f64::NAN, f64::INFINITY, -1.0, -0.0, 1e300, 0.1 + 0.2, 9_007_199_254_740_993.0] {
        assert_eq!(code(probe.send_as_written(wrong)), "request.amount_invalid", "{wrong}");
    }
    assert_eq!(code(probe.send_as_written(json!(true))), "request.amount_invalid");
    assert_eq!(code(probe.send_minor(-1)), "request.amount_invalid");
    assert_eq!(code(probe.send_minor(1_u64 << 63)), "request.amount_invalid");
    assert_eq!(code(probe.send_minor(i128::MAX)), "request.amount_invalid");
    assert_eq!(code(probe.send_minor(json!(12.0))), "request.amount_invalid");
    assert_eq!(code(probe.send_minor(1_000_001)), "scope.amount");
    assert_eq!(code(probe.send_as_written(10_000.01)), "scope.amount");
    assert!(probe.is_good());
}

#[test]
fn attribute_takes_a_currency_to_the_letter() {
    let probe = Probe::new();
    let of = |currency: &str| code(probe.send("1", currency, "acme"));
    assert_eq!(code(probe.send("1", None::<&str>, "acme")), "request.currency_missing");
    for wrong in ["eur", "EUR ", "\u{415}UR", "", "EU", "€"] {
        assert_eq!(of(wrong), "request.currency_invalid", "{wrong}");
    }
    assert_eq!(code(probe.send("1", json!(978), "acme")), "request.currency_invalid");
    assert_eq!(of("USD"), "scope.currency");
    assert!(probe.is_good());
}

#[test]
fn attribute_takes_a_counterparty_to_the_letter() {
    let probe = Probe::new();
    assert_eq!(code(probe.send("1", "EUR", None::<&str>)), "request.counterparty_missing");
    for empty in [json!(""), json!({"name": "acme"}), json!(7), json!(["acme", 7]), json!(["acme", null])] {
        assert_eq!(code(probe.send("1", "EUR", empty.clone())), "request.counterparty_invalid", "{empty}");
    }
    for stranger in ["ACME", "acme ", "acme\u{200b}", "\u{430}cme", "evil"] {
        assert_eq!(code(probe.send("1", "EUR", stranger)), "scope.counterparty", "{stranger}");
        assert_eq!(code(probe.send("1", "EUR", ["acme", stranger])), "scope.counterparty", "{stranger}");
        assert_eq!(
            code(probe.send("1", "EUR", json!(["acme", stranger]))),
            "scope.counterparty",
            "{stranger}"
        );
    }
    assert_eq!(code(probe.send("1", "EUR", Vec::<String>::new())), "request.counterparty_missing");
    assert!(probe.is_good());
}

#[test]
fn attribute_never_folds_or_trims_an_action() {
    let probe = Probe::new();
    let long = "a".repeat(1 << 20);
    let wrong = [
        "write:../x",
        "write::x",
        "write:*",
        "",
        "Write:drafts",
        "write:drafts ",
        "wr\u{131}te:drafts",
        &long,
    ];
    for action in wrong {
        assert_eq!(
            code(probe.act(action)),
            "request.action_invalid",
            "{}",
            action.chars().take(20).collect::<String>()
        );
    }
    assert_eq!(code(probe.act("write:other")), "scope.action");
    assert!(probe.is_good());
}

#[test]
fn attribute_takes_no_agent_of_before_a_fork() {
    let house = House::of(SCOPE);
    let (_, guard) = house.memory();
    let probe = Probe { guard, house, ran: Ran::default() };
    probe.guard.before_fork();
    probe.guard.after_fork_in_child();
    assert_eq!(code(probe.act("write:drafts")), "agent.forked");
    assert_eq!(probe.ran.0.load(Ordering::Relaxed), 0);
}

#[test]
fn attribute_denies_by_lists_that_are_none_or_too_old_or_rolled_back() {
    let lists = |house: &House| house.temp.path().join("lists.pem");
    let first = |change: &dyn Fn(&House)| {
        let house = House::of(SCOPE);
        change(&house);
        let probe = Probe { guard: house.guard(), house, ran: Ran::default() };
        let answer = code(probe.act("write:drafts"));
        assert_eq!(probe.ran.0.load(Ordering::Relaxed), usize::from(answer == "allow"));
        (answer, probe)
    };
    assert_eq!(first(&|house| fs::remove_file(lists(house)).unwrap()).0, "revocation.missing");
    assert_eq!(first(&|house| replace(&lists(house), "no list")).0, "revocation.missing");
    let future =
        |house: &House| house.publish_with(1, &[], |list| list.this_update = date_time_ymd(2026, 11, 25));
    assert_eq!(first(&future).0, "revocation.invalid");
    let old = |house: &House| {
        house.publish_with(1, &[], |list| {
            list.this_update = date_time_ymd(2026, 11, 22);
            list.next_update = date_time_ymd(2026, 11, 23);
        });
    };
    assert_eq!(first(&old).0, "revocation.stale");
    let (good, probe) = first(&|house| house.publish(5, &[]));
    assert_eq!(good, "allow");
    probe.house.publish(4, &[]);
    probe.guard.close();
    let again = Probe { guard: probe.house.guard(), house: probe.house, ran: Ran::default() };
    assert_eq!(code(again.act("write:drafts")), "revocation.rollback");
    assert_eq!(again.ran.0.load(Ordering::Relaxed), 0);
}

#[test]
fn attribute_does_not_trust_a_clock_that_is_set_back_a_day() {
    let probe = Probe::new();
    assert!(probe.is_good());
    let today = probe.house.clock.wall();
    probe.house.clock.set_wall(today.plus_millis(-86_400_000));
    assert_eq!(code(probe.act("write:drafts")), "clock.untrusted");
    probe.house.clock.set_wall(today);
    probe.guard.refresh();
    assert!(probe.is_good());
    probe.house.clock.advance(5 * 3_600_000);
    assert_eq!(code(probe.act("write:drafts")), "scope.hours");
}

#[test]
fn attribute_judges_a_future_when_it_is_polled() {
    static RAN: AtomicUsize = AtomicUsize::new(0);
    #[verify_agent_scope("write:drafts", agent = guard)]
    async fn write(guard: &Guard) -> Result<(), Failure> {
        RAN.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
    #[verify_agent_scope("write:drafts", agent = guard)]
    fn write_boxed(guard: &Guard) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Failure>> + '_>> {
        RAN.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(())))
    }
    #[verify_agent_scope("write:drafts", agent = guard)]
    fn write_future(guard: &Guard) -> impl Future<Output = Result<(), Failure>> {
        RAN.fetch_add(1, Ordering::Relaxed);
        async { Ok(()) }
    }
    let probe = Probe::new();
    let (made, boxed, future) = (write(&probe.guard), write_boxed(&probe.guard), write_future(&probe.guard));
    probe.house.publish(2, &[RevocationReason::KeyCompromise]);
    probe.guard.refresh();
    for answer in [wait(made), wait(boxed), wait(future)] {
        assert_eq!(code(answer), "certificate.revoked");
    }
    let probe = Probe::new();
    let made = write(&probe.guard);
    probe.house.clock.advance(5 * 86_400_000);
    assert_eq!(code(wait(made)), "certificate.expired");
    assert_eq!(RAN.load(Ordering::Relaxed), 0);
}

const DAILY: &str = r#"
actions = ["payments:send"]
[[limit]]
for = ["payments:send"]
currency = "EUR"
per_day = "100.00"
"#;

#[verify_agent_scope("payments:send", amount = "10.00", currency = "EUR")]
fn send_ten(ran: &AtomicUsize) -> Result<(), Failure> {
    ran.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

#[verify_agent_scope("payments:send", amount = "10.00", currency = "EUR")]
async fn send_ten_later(ran: &AtomicUsize) -> Result<(), Failure> {
    pause().await;
    ran.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// A signer that a busy machine starves is waited for.
fn patiently(mut call: impl FnMut() -> &'static str) -> &'static str {
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        match call() {
            "journal.unsigned_backlog" if Instant::now() < patience => {
                std::thread::sleep(Duration::from_millis(5))
            }
            answer => return answer,
        }
    }
}

#[test]
fn attribute_never_passes_a_daily_limit_with_64_threads() {
    let house = House::of(DAILY);
    let (guard, ran) = (house.guard(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                let answer = patiently(|| with_agent(&guard, || code(send_ten(&ran))));
                assert!(answer == "allow" || answer == "budget.window", "{answer}");
            });
        }
    });
    assert_eq!(ran.load(Ordering::Relaxed), 10);
}

#[test]
fn attribute_never_passes_a_daily_limit_with_64_tasks() {
    let house = House::of(DAILY);
    let (guard, ran) = (house.guard(), AtomicUsize::new(0));
    let mut tasks: Vec<_> = (0..64).map(|_| Box::pin(in_agent(&guard, send_ten_later(&ran)))).collect();
    // All are admitted before any of them runs its body.
    let denied = tasks.iter_mut().map(|task| usize::from(poll(task.as_mut()).is_ready())).sum::<usize>();
    assert_eq!((denied, ran.load(Ordering::Relaxed)), (54, 0));
    let running: Vec<_> = tasks.drain(..10).map(|task| code(wait(task))).collect();
    assert_eq!((running, ran.load(Ordering::Relaxed)), (vec!["allow"; 10], 10));
    assert_eq!(patiently(|| with_agent(&guard, || code(send_ten(&ran)))), "budget.window");
}

#[test]
fn attribute_denies_where_the_journal_was_taken_away_or_cannot_be_written() {
    let probe = Probe::new();
    assert_eq!(code(probe.act("write:drafts")), "allow");
    fs::rename(probe.house.state().join("journal"), probe.house.state().join("gone")).unwrap();
    let start = Instant::now();
    while code(probe.act("write:drafts")) == "allow" {
        assert!(start.elapsed() < Duration::from_secs(1), "still allowed after a second");
        std::thread::sleep(Duration::from_millis(5));
    }
    let before = probe.ran.0.load(Ordering::Relaxed);
    assert_eq!(code(probe.act("write:drafts")), "journal.unavailable");
    assert_eq!(probe.ran.0.load(Ordering::Relaxed), before);

    let house = House::of(SCOPE);
    fs::write(house.state(), "a file where the folder should be").unwrap();
    let probe = Probe { guard: house.guard(), house, ran: Ran::default() };
    assert_eq!(code(probe.act("write:drafts")), "journal.unavailable");
    assert_eq!(probe.ran.0.load(Ordering::Relaxed), 0);
}

#[test]
fn attribute_denies_at_a_fault_in_the_guard_and_the_host_lives() {
    let house = House::of(SCOPE);
    let clock = Faulty(ManualClock::new(authority::now().to_millis()), AtomicBool::new(false));
    let faulty = Arc::new(clock);
    let options = GuardOptions { clock: Arc::clone(&faulty) as Arc<dyn Clock>, ..GuardOptions::default() };
    let probe = Probe { guard: house.guard_with(options), house, ran: Ran::default() };
    assert_eq!(code(probe.act("write:drafts")), "allow");
    faulty.1.store(true, Ordering::Relaxed);
    assert_eq!(code(probe.act("write:drafts")), "internal");
    assert_eq!(probe.ran.0.load(Ordering::Relaxed), 1);
    faulty.1.store(false, Ordering::Relaxed);
}

/// In a thread that ends, nobody knows whose block it was.
#[test]
fn attribute_denies_where_nobody_can_say_who_acts() {
    static ANSWERS: std::sync::Mutex<Vec<&str>> = std::sync::Mutex::new(Vec::new());
    struct Last(Guard);
    impl Drop for Last {
        fn drop(&mut self) {
            let ran = AtomicUsize::new(0);
            let inside = with_agent(&self.0, || code(send_ten(&ran)));
            let named = code(named(&self.0));
            assert_eq!(ran.load(Ordering::Relaxed), usize::from(inside == "allow"));
            ANSWERS.lock().unwrap().extend([inside, named]);
        }
    }
    #[verify_agent_scope("payments:send", amount = "10.00", currency = "EUR", agent = guard)]
    fn named(guard: &Guard) -> Result<(), Failure> {
        Ok(())
    }
    thread_local!(static LAST: std::cell::RefCell<Option<Last>> = const { std::cell::RefCell::new(None) });
    let house = House::of(DAILY);
    let guard = house.guard();
    let kept = guard.clone();
    let thread = std::thread::spawn(move || {
        // Of a thread's values those go first that came first: what is asked for below goes before this one asks.
        with_agent(&kept, || assert!(current_agent().is_some()));
        assert_eq!(code(named(&kept)), "allow");
        LAST.with(|last| *last.borrow_mut() = Some(Last(kept)));
    });
    thread.join().unwrap();
    let answers = ANSWERS.lock().unwrap().clone();
    // Either order of ending is right, and neither takes another agent than was meant.
    assert!(
        answers.iter().all(|answer| ["internal", "allow"].contains(answer)) && answers.len() == 2,
        "{answers:?}"
    );
}
