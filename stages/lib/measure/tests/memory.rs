//! Watching this process's memory. A process of its own with one test after the other, so that nothing else allocates.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use stagewright_measure::{
    memory::{observe, resident},
    statistics::theil_sen,
};
use stagewright_sdk::StageFault;

/// Memory that is written to, so that it is resident.
fn block(bytes: usize) -> Vec<u8> {
    black_box(vec![1; bytes])
}

#[test]
fn a_loop_that_keeps_what_it_allocates_is_told_from_one_that_does_not() {
    let mut kept = Vec::with_capacity(2200);
    let leaking = observe(2000, || {
        kept.push(block(8 << 10));
        Ok(())
    })
    .unwrap();
    assert_eq!(kept.len(), 2200, "a tenth more for warm-up");
    assert_eq!(leaking.len(), 100);
    assert_eq!((leaking[0].0, leaking[99].0), (20.0, 2000.0));
    let slope = theil_sen(&leaking).unwrap();
    // 8 KiB and what the allocator keeps beside them.
    assert!(slope.low > 8000.0 && slope.high < 10_000.0, "{slope:?}");

    let clean = observe(2000, || {
        drop(block(8 << 10));
        Ok(())
    })
    .unwrap();
    let slope = theil_sen(&clean).unwrap();
    assert!(slope.low <= 0.0 && slope.estimate.abs() < 50.0, "{slope:?}");
    drop(kept);

    let before = resident().unwrap();
    let large = block(64 << 20);
    let grown = resident().unwrap() - before;
    assert!((60 << 20..70 << 20).contains(&grown), "{grown} bytes for {}", large.len());
}

#[test]
fn there_are_at_most_a_hundred_points() {
    for (count, points) in
        [(0, 0), (1, 1), (99, 99), (100, 100), (150, 75), (199, 99), (201, 67), (1000, 100)]
    {
        assert_eq!(observe(count, || Ok(())).unwrap().len(), points, "{count}");
    }
}

#[test]
fn a_failure_ends_the_loop() {
    let mut done = 0;
    let error = observe(100, || {
        done += 1;
        if done == 15 { Err(StageFault::user("enough")) } else { Ok(()) }
    })
    .unwrap_err();
    assert_eq!((error.to_string().as_str(), done), ("enough", 15));
}
