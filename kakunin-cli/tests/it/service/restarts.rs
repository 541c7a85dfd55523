//! A database that crashes and comes back, again and again, under load.
//!
//! KAKUNIN_TEST_POSTGRES_RESTARTS says how often, and that nobody else uses the server meanwhile.

use std::collections::BTreeSet;
use std::env;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kakunin_authority::store::Place;
use serde_json::{Value, json};

use super::nodes::{database, desk};
use super::office::Office;
use super::web::Request;

#[test]
fn what_was_answered_outlives_a_database_that_is_restarted_under_load() {
    let Some(rounds) =
        env::var("KAKUNIN_TEST_POSTGRES_RESTARTS").ok().and_then(|many| many.parse::<u32>().ok())
    else {
        eprintln!("SKIPPED: nobody said how often the database may be restarted");
        return;
    };
    let Some(database) = database() else { return };
    let control = env::var("KAKUNIN_TEST_POSTGRES_CONTROL").unwrap();
    let desk = desk(&database);
    let office = Office::open(&desk);
    let (over, address) = (AtomicBool::new(false), office.url().strip_prefix("http://").unwrap());
    let answered: Vec<(String, String)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|worker| {
                let (over, owner) = (&over, office.owner());
                scope.spawn(move || load(worker, over, owner, address))
            })
            .collect();
        let restarted = (0..rounds).all(|_| {
            thread::sleep(Duration::from_secs(2));
            Command::new(&control).arg("restart").status().is_ok_and(|status| status.success())
        });
        thread::sleep(Duration::from_secs(2));
        // Before anything is asserted: a panic here would wait for them for ever.
        over.store(true, Ordering::Relaxed);
        assert!(restarted, "the database did not come back");
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    // It recovers by itself.
    let start = Instant::now();
    while office.get("/ready").status != 200 {
        assert!(start.elapsed() < Duration::from_secs(60), "{}", office.log());
        thread::sleep(Duration::from_millis(100));
    }
    assert!(!answered.is_empty(), "{}", office.log());
    eprintln!("{} certificates were answered over {rounds} restarts", answered.len());
    let mut serials = BTreeSet::new();
    for (name, serial) in &answered {
        assert!(serials.insert(serial), "{serial} was given twice");
        let known = office.get_as_owner(&format!("/v1/agents/{name}")).json();
        let kept = known["data"]["certificates"].as_array().unwrap();
        assert!(kept.iter().any(|kept| kept["serial_number"] == **serial), "{name} {serial}: {known}");
        assert_eq!(office.get(&format!("/v1/verify/{serial}")).status, 200);
    }
    assert_eq!(office.end(), Some(0));
    let records = Place::named(&database).unwrap().reader().unwrap();
    assert!(records.check_audit(None).unwrap().is_some());
}

/// Makes agents and certifies them until it is over; gives those that were answered.
fn load(worker: u32, over: &AtomicBool, owner: &str, address: &str) -> Vec<(String, String)> {
    let mut answered = Vec::new();
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("agent-{worker}-{number}");
        let order = json!({ "name": name, "scope": { "actions": ["read:*"] } });
        let made = Request::post("/v1/agents", &order).bearer(owner).try_send(address);
        if made.is_none_or(|reply| reply.status != 201) {
            thread::sleep(Duration::from_millis(50));
            continue;
        }
        let certify = Request::post(&format!("/v1/agents/{name}/certify"), &json!({})).bearer(owner);
        let Some(reply) = certify.try_send(address).filter(|reply| reply.status == 201) else { continue };
        let issued = reply.json();
        answered.extend(
            issued
                .pointer("/data/serial_number")
                .and_then(Value::as_str)
                .map(|serial| (name, serial.to_owned())),
        );
    }
    answered
}
