//! Guards that stay connected while the node that leads is killed and another one takes over.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kakunin_client::{Client, ConnectOptions};
use kakunin_core::guard::Guard;
use kakunin_core::request::ActionRequest;
use serde_json::json;

use super::super::nodes::{Second, database, desk};
use super::super::office::{Office, wait};
use super::super::web::Request;
use crate::desk::Desk;

/// A guard with its line to both nodes.
struct Robot {
    name: String,
    client: Client,
    guard: Guard,
}

impl Robot {
    fn new(desk: &Desk, number: usize, urls: &[String]) -> Self {
        let name = format!("robot-{number}");
        let directory = format!("agents/{name}");
        let mut options = ConnectOptions::new(&name);
        options.urls = urls.to_vec();
        options.directory = Some(desk.path(&directory));
        options.timeout = Duration::from_secs(60);
        let client = Client::connect(options).unwrap();
        let guard = client.guard().unwrap();
        Self { name, client, guard }
    }

    /// What the guard says: `allow`, or why not.
    fn ask(&self) -> &'static str {
        match self.guard.admit(&ActionRequest::new("read:invoices")) {
            Ok(permit) => permit.begin().map_or("late", |running| {
                running.returned();
                "allow"
            }),
            Err(denied) => denied.code(),
        }
    }

    fn becomes(&self, code: &str) -> Duration {
        let start = Instant::now();
        wait(&format!("{} answers {code}", self.name), || (self.ask() == code).then_some(()));
        start.elapsed()
    }
}

#[test]
fn the_guards_of_a_leader_that_is_killed_go_on_and_hear_the_next_one() {
    let Some(database) = database() else { return };
    let desk = desk(&database);
    for number in 0..4 {
        let name = format!("robot-{number}");
        desk.yes(&["agent", "create", &name, "--scope", "scope.toml", "--out", &format!("agents/{name}")]);
    }
    let first = Office::open(&desk);
    let owner = first.owner().to_owned();
    let second = Second::open(&desk, first.url());
    let urls = [first.url().to_owned(), second.url().to_owned()];
    let robots: Vec<Robot> = (0..4).map(|number| Robot::new(&desk, number, &urls)).collect();
    let order = |what: &str, agent: &str| {
        Request::post(&format!("/v1/agents/{agent}/{what}"), &json!({ "reason": "drill" })).bearer(&owner)
    };
    for robot in &robots {
        robot.becomes("allow");
    }
    assert_eq!(first.send(&order("suspend", "robot-0")).status, 200);
    robots[0].becomes("certificate.held");

    let (over, answers) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for robot in &robots[1..] {
            let (over, answers) = (&over, &answers);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let said = robot.ask();
                    // As long as the last word counts it is gone by, and not a moment longer.
                    let fresh = robot.client.status().fresh_for.is_some_and(|left| !left.is_zero());
                    assert!(
                        said == "allow" || (said == "revocation.stale" && !fresh),
                        "{} {said}",
                        robot.name
                    );
                    answers.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(5));
                }
            });
        }
        first.kill();
        assert_eq!(robots[0].ask(), "certificate.held");
        let led = second.leads();
        // Nobody heard of anything yet.
        over.store(true, Ordering::Relaxed);
        eprintln!("the second node led after {led:?}; {} answers meanwhile", answers.load(Ordering::Relaxed));
    });
    assert!(answers.load(Ordering::Relaxed) > 0);
    // Each change is heard by whom it is about, whoever told it.
    let (mut told, mut epochs) = (Vec::new(), 1);
    for robot in &robots[1..] {
        for (what, code) in
            [("suspend", "certificate.held"), ("resume", "allow"), ("revoke", "certificate.revoked")]
        {
            let done = second.try_send(&order(what, &robot.name)).unwrap();
            assert_eq!(done.status, 200, "{}", done.text());
            epochs += 1;
            assert_eq!(done.json()["data"]["epoch"], epochs);
            told.push(robot.becomes(code));
        }
    }
    told.sort();
    eprintln!(
        "from the answer to the guard: {:?} half of them, {:?} all",
        told[told.len() / 2],
        told[told.len() - 1]
    );
    assert_eq!(second.try_send(&order("resume", "robot-0")).unwrap().status, 200);
    robots[0].becomes("allow");
    for robot in &robots[1..] {
        assert_eq!(robot.ask(), "certificate.revoked");
        wait("every change is known", || (robot.client.status().epoch == Some(epochs + 1)).then_some(()));
    }
}
