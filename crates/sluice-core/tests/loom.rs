//! The smallest programs of a send account, in every interleaving and with every value that the memory model allows.
//! Run with `RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test -p sluice-core --release --test loom`
#![cfg(loom)]

use loom::sync::Arc;
use loom::thread;
use sluice_core::member::{Claim, SendAccount, SendLimits};

const LIMITS: SendLimits = SendLimits {
    buffer: 10,
    high: 10,
};

#[test]
fn a_sender_that_finds_no_room_is_told_when_there_is() {
    loom::model(|| {
        let account = Arc::new(SendAccount::default());
        assert_eq!(account.claim(10, &LIMITS), Claim::Ok);
        let sender = {
            let account = Arc::clone(&account);
            thread::spawn(move || account.claim(10, &LIMITS))
        };
        // The reactor writes the message before, and has nothing else to do afterwards.
        account.arrived(10);
        account.set_output(0);
        let is_told = account.take_wants_drain(0);
        let claim = sender.join().unwrap();
        assert!(
            claim == Claim::Ok || is_told,
            "{claim:?} and nobody is told"
        );
    });
}

#[test]
fn room_that_comes_by_the_output_is_told_too() {
    loom::model(|| {
        let account = Arc::new(SendAccount::default());
        account.set_output(10);
        let sender = {
            let account = Arc::clone(&account);
            thread::spawn(move || account.claim(10, &LIMITS))
        };
        account.set_output(0);
        let is_told = account.take_wants_drain(0);
        let claim = sender.join().unwrap();
        assert!(
            claim == Claim::Ok || is_told,
            "{claim:?} and nobody is told"
        );
    });
}

#[test]
fn two_senders_never_take_more_than_the_buffer() {
    loom::model(|| {
        let account = Arc::new(SendAccount::default());
        let other = {
            let account = Arc::clone(&account);
            thread::spawn(move || account.claim(6, &LIMITS))
        };
        let claims = [account.claim(6, &LIMITS), other.join().unwrap()];
        assert_eq!(
            claims.iter().filter(|claim| **claim == Claim::Ok).count(),
            1
        );
        assert_eq!(account.queued(), 6);
    });
}
