//! What comes from outside is read to a value or to an error, whatever it is.
//!
//! The bodies in [`text`] and [`files`] take bytes and are plain functions, so that a fuzzer can call them as they are.
//! Here they are driven with random bytes and with damaged samples, always the same ones: a failure comes again.

mod chunks;
mod edits;
mod files;
mod graphs;
mod models;
mod mutant;
mod outcome;
mod suites;
mod text;
mod tokens;

use std::cell::Cell;
use std::time::{Duration, Instant};

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::soak::rounds;

/// All that is random follows from it.
const SEED: u64 = 6;

/// Longest that one input may take, on a machine that is busy with other tests.
const TIME_MAX: Duration = Duration::from_secs(20);

/// Random choices that follow from the seed and a number.
fn runner(number: u64, cases: usize) -> TestRunner {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&SEED.to_le_bytes());
    key[8..16].copy_from_slice(&number.to_le_bytes());
    let cases = u32::try_from(cases).unwrap();
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 4096, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &key))
}

/// Gives a body random bytes and damaged samples, and says how many were taken for good.
fn drive(name: &str, samples: Vec<Vec<u8>>, rounds: usize, body: impl Fn(&[u8]) -> bool) {
    for sample in &samples {
        assert!(body(sample), "{name}: a sample is refused: {}", String::from_utf8_lossy(sample));
    }
    let (slowest, taken) = (Cell::new(Duration::ZERO), Cell::new(0));
    let result = runner(0, rounds).run(&edits::bytes(samples), |bytes| {
        let begin = Instant::now();
        taken.set(taken.get() + usize::from(body(&bytes)));
        let time = begin.elapsed();
        slowest.set(slowest.get().max(time));
        proptest::prop_assert!(time < TIME_MAX, "it took {time:?}");
        Ok(())
    });
    result.unwrap_or_else(|e| panic!("{name}, seed {SEED}: {e}"));
    println!("{name}: {rounds} rounds, {} taken, the slowest in {:?}", taken.get(), slowest.get());
}

#[test]
fn signatures() {
    drive("signature_yaml", text::signatures(), rounds(300, 20_000), text::signature_yaml);
}

#[test]
fn specs() {
    drive("check_spec", text::specs(), rounds(2000, 100_000), text::check_spec);
}

#[test]
fn parameters() {
    drive("parameters", text::parameter_samples(), rounds(2000, 100_000), text::parameters);
}

#[test]
fn gates() {
    drive("gate_expression", text::gates(), rounds(2000, 100_000), text::gate_expression);
}

#[test]
fn pictures() {
    drive("image", files::pictures(), rounds(500, 20_000), files::image);
}

#[test]
fn tensors() {
    drive("tensor", files::tensors(), rounds(2000, 100_000), files::tensor);
}

#[test]
fn files_of_cases() {
    drive("cases", files::cases_samples(), rounds(500, 20_000), files::cases);
}
