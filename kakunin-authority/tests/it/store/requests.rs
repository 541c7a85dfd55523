//! A request under a key of its sender's has one effect and one answer.

use kakunin_authority::store::{Access, Answer, Begun, Requests, StoreError};
use kakunin_core::digest::Digest;

use super::{at, fresh, ours, theirs};

#[test]
fn a_request_that_comes_again_gets_the_answer_it_got() {
    let (_folder, mut store) = fresh();
    let (one, other) = (Digest::of(b"POST /v1/agents {}"), Digest::of(b"POST /v1/agents {\"name\":1}"));
    assert_eq!(store.begin_request(&ours(), "key", one, at(1)).unwrap(), Begun::New);
    assert_eq!(store.begin_request(&ours(), "key", one, at(2)).unwrap(), Begun::Unfinished);
    let answer = Answer { status: 201, body: b"{\"data\":{}}".to_vec() };
    store.answer_request(&ours(), "key", &answer).unwrap();
    assert_eq!(store.begin_request(&ours(), "key", one, at(3)).unwrap(), Begun::Answered(answer.clone()));
    assert_eq!(store.begin_request(&ours(), "key", other, at(3)).unwrap(), Begun::Another);
    for key in ["key", "nobody's"] {
        let again = store.answer_request(&ours(), key, &answer);
        assert!(matches!(again, Err(StoreError::UnknownRequest { .. })), "{again:?}");
    }
    let nobody = store.begin_request(&theirs(), "key", one, at(1));
    assert!(matches!(nobody, Err(StoreError::UnknownTenant { .. })), "{nobody:?}");
    store.add_tenant(&theirs(), at(1)).unwrap();
    assert_eq!(store.begin_request(&theirs(), "key", other, at(4)).unwrap(), Begun::New);
    assert_eq!(store.forget_requests(at(4)).unwrap(), 1);
    assert_eq!(store.begin_request(&ours(), "key", other, at(5)).unwrap(), Begun::New);
    assert_eq!(store.begin_request(&theirs(), "key", other, at(5)).unwrap(), Begun::Unfinished);
}
