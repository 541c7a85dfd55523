//! What a fork does to a client. The calls are the same in parent and child; a child's threads are not there, and here they are.

use crate::desk::{Desk, ask, becomes, until};
use kakunin_authority::standing::Order;

#[test]
fn the_thread_ends_before_a_fork_and_begins_anew_after_it() {
    let desk = Desk::new();
    let client = desk.connect();
    let guard = client.guard().unwrap();
    becomes(&guard, "allow");
    client.before_fork();
    desk.order(Order::Suspend);
    client.after_fork_in_parent();
    becomes(&guard, "certificate.held");
    let connections = client.status().connections;
    client.after_fork_in_parent();
    desk.order(Order::Resume);
    becomes(&guard, "allow");
    assert_eq!(client.status().connections, connections, "one thread is enough");
    // A child that nobody prepared forgets the thread it has not.
    client.after_fork_in_child();
    until("a connection of its own", || client.status().connections > connections);
    client.close();
    client.after_fork_in_child();
    // The thread that was forgotten is still here, where no process was forked; it has its stream, and sends receipts.
    let asked = desk.asked("/v1/feed");
    desk.order(Order::Revoke);
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert_eq!(desk.asked("/v1/feed"), asked, "what was closed stays closed");
}

/// A run that begins anew knows less than guards do; they go on by what they know.
#[test]
fn what_was_heard_before_a_fork_counts_after_it() {
    let desk = Desk::new();
    let client = desk.connect();
    let guard = client.guard().unwrap();
    becomes(&guard, "allow");
    client.before_fork();
    desk.stop();
    client.after_fork_in_parent();
    until("an attempt in vain", || client.status().last_error.is_some());
    guard.refresh();
    assert_eq!(ask(&guard), "allow");
    assert!(client.status().fresh_for.is_some_and(|left| !left.is_zero()));
    client.close();
}
