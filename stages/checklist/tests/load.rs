//! `stress` and `memory-leak` on handlers and loops whose faults are known.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    hint::black_box,
    thread::sleep,
    time::{Duration, Instant},
};

use stagewright_measure::memory::{Growth, observe};
use stagewright_sdk::{GateStatus, StageFault};
use stagewright_stage_checklist::{
    Finding, MemoryLeak,
    leak::{self, trend},
    stress::{Load, drive, judge},
};

const SECOND: Duration = Duration::from_secs(1);

fn failed(finding: &Finding) -> Vec<&str> {
    let broken = finding.evidence.iter().filter(|evidence| !evidence.holds);
    broken.map(|evidence| evidence.what.as_str()).collect()
}

#[test]
fn requests_are_sent_when_they_are_due() {
    let began = Instant::now();
    let mut ticks = Vec::new();
    let mut numbers = Vec::new();
    let handler = |number| {
        numbers.push(number);
        Ok(true)
    };
    let load = drive(100.0, SECOND / 5, handler, |now| {
        ticks.push(now);
        Ok(())
    })
    .unwrap();
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());
    assert!(ticks.len() == 20 && ticks.is_sorted());
    assert_eq!((load.latencies.len(), load.errors, load.wrong, load.unsent), (20, 0, 0, 0));
    // The last one is due after 190 ms.
    assert!(began.elapsed() >= Duration::from_millis(190));
}

#[test]
fn a_stall_makes_the_requests_behind_it_late() {
    // 100 requests a second; the tenth takes 150 ms, the others nothing.
    let handler = |number| {
        if number == 10 {
            sleep(Duration::from_millis(150));
        }
        Ok(true)
    };
    let load = drive(100.0, SECOND / 2, handler, |_| Ok(())).unwrap();
    assert_eq!(load.latencies.len(), 50);
    // Request 11 was due 10 ms after request 10 and waited 140 ms; request 20 waited 50 ms. A closed loop would have seen one
    // slow request.
    for (number, least) in [(10, 150.0), (11, 140.0), (15, 100.0), (20, 50.0)] {
        assert!(load.latencies[number] >= least - 0.5, "request {number}: {} ms", load.latencies[number]);
    }
    assert!(
        load.latencies[11..24].is_sorted_by(|one, other| one > other),
        "the queue drains: {:?}",
        &load.latencies[10..26]
    );
    let late = load.latencies.iter().filter(|latency| **latency > 5.0).count();
    assert!(late >= 15, "{late} late");
    let finding = judge(&load, 100.0, 100.0, 1e6, 0.01);
    assert_eq!((finding.status, failed(&finding)), (GateStatus::Failed, vec!["p99 from due to answered"]));
}

#[test]
fn a_handler_slower_than_the_rate_falls_behind_and_is_given_up() {
    // 1000 a second for 0.1 s, but 10 ms each: 100 are due and about 20 sent in twice the time.
    let handler = |_| {
        sleep(Duration::from_millis(10));
        Ok(true)
    };
    let began = Instant::now();
    let load = drive(1000.0, SECOND / 10, handler, |_| Ok(())).unwrap();
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
    assert!(load.latencies.len() <= 20, "{}", load.latencies.len());
    assert_eq!(load.latencies.len() as u64 + load.unsent, 100);
    let finding = judge(&load, 1000.0, 50.0, 1e6, 10.0);
    assert_eq!(failed(&finding), ["requests not sent in twice the time", "p99 from due to answered"]);
}

#[test]
fn wrong_answers_and_errors_are_counted() {
    let handler = |number| match number {
        3 => Ok(false),
        5 | 7 => Err(StageFault::internal(format!("request {number} broke"))),
        _ => Ok(true),
    };
    let load = drive(1000.0, SECOND / 100, handler, |_| Ok(())).unwrap();
    assert_eq!((load.latencies.len(), load.wrong, load.errors), (10, 1, 2));
    assert_eq!(load.first_error.as_deref(), Some("request 5 broke"));
    let finding = judge(&load, 1000.0, 1e6, 1e6, 0.01);
    assert_eq!(failed(&finding), ["requests that failed", "answers unlike the golden ones"]);
    assert!(
        finding.reason.contains("requests that failed is 2 (request 5 broke), 0 is wanted"),
        "{}",
        finding.reason
    );
}

#[test]
fn the_test_ends_when_it_is_called_off() {
    let mut answered = 0;
    let handler = |_| {
        answered += 1;
        Ok(true)
    };
    let tick = |now| if now > SECOND / 50 { Err(StageFault::environment("cancelled")) } else { Ok(()) };
    let error = drive(500.0, SECOND * 3600, handler, tick).unwrap_err();
    assert_eq!(error.to_string(), "cancelled");
    assert!(answered < 30, "{answered}");
}

fn latencies(of: impl Fn(usize) -> f64) -> Load {
    Load { latencies: (0..1000).map(of).collect(), ..Load::default() }
}

#[test]
fn a_p99_that_drifts_fails_and_one_that_does_not_passes() {
    let steady = judge(&latencies(|number| 10.0 + (number % 7) as f64), 100.0, 20.0, 0.1, 1.0);
    assert_eq!((steady.status, steady.evidence.len()), (GateStatus::Passed, 7), "{}", steady.reason);
    assert_eq!(steady.reason, "1000 requests at 100/s: p99 16.00 ms, none failed, every answer right");

    let rising = latencies(|number| 10.0 + number as f64 / 100.0);
    let finding = judge(&rising, 100.0, 50.0, 0.1, 1.0);
    // Tenths of 100: nearest rank 99 of each.
    assert_eq!(
        finding.reason,
        "growth of p99 from the first tenth to the last is 82 % (10.98 to 19.98 ms), at most 10 % is wanted"
    );
    assert_eq!(judge(&rising, 100.0, 50.0, 1.0, 1.0).status, GateStatus::Passed);
    assert_eq!(judge(&rising, 100.0, 19.0, 1.0, 1.0).status, GateStatus::Failed, "p99 is 19.89");

    // Doubled, but by less than a millisecond: the clock's.
    assert_eq!(
        judge(&latencies(|number| 0.5 + number as f64 / 2000.0), 100.0, 50.0, 0.1, 1.0).status,
        GateStatus::Passed
    );
    assert_eq!(judge(&Load::default(), 100.0, 50.0, 0.1, 1.0).status, GateStatus::Failed, "nothing was sent");
}

fn growth(inferences: f64, sessions: f64) -> Growth {
    let line = |slope: f64, step: usize| {
        (1..=100)
            .map(|index| {
                ((index * step) as f64, 5e7 + slope * (index * step) as f64 + (index % 3) as f64 * 4096.0)
            })
            .collect()
    };
    Growth { inferences: line(inferences, 50), sessions: line(sessions, 2) }
}

#[test]
fn growth_fails_where_it_is_certain_and_above_the_bound() {
    // 1 % of 1 GiB: 10.7 MB over a million inferences, or over a thousand openings.
    let bounds = MemoryLeak::default();
    let judged = |inferences, sessions| leak::judge(&growth(inferences, sessions), &bounds);
    assert_eq!(judged(0.0, 0.0).status, GateStatus::Passed);
    let finding = judged(200.0, 0.0);
    assert_eq!(
        (finding.status, failed(&finding)),
        (GateStatus::Failed, vec!["growth projected to a million inferences"])
    );
    assert!(
        finding.reason.contains("is 200.00 MB (slope +200.0 B each")
            && finding.reason.contains("at most 10.74 MB"),
        "{}",
        finding.reason
    );
    let finding = judged(0.0, 20_000.0);
    assert_eq!(failed(&finding), ["growth projected to a thousand openings of the model"]);
    assert!(finding.reason.contains("is 20.00 MB"), "{}", finding.reason);
    assert_eq!(judged(-500.0, -500.0).status, GateStatus::Passed, "memory that is given back");
    // Certain, but below the bound; above the bound of a smaller process.
    assert_eq!(judged(0.0, 10_000.0).status, GateStatus::Passed);
    let small = MemoryLeak { budget: 500 << 20, ..bounds.clone() };
    assert_eq!(leak::judge(&growth(0.0, 10_000.0), &small).status, GateStatus::Failed);
    // 20 bytes each is 20 MB over a million, but 100 kB in all so far: may be the allocator's settling.
    assert_eq!(judged(20.0, 0.0).status, GateStatus::Passed);
    let none = leak::judge(&Growth { inferences: vec![(1.0, 1.0)], sessions: vec![] }, &bounds);
    assert_eq!(
        (none.status, none.reason.as_str()),
        (GateStatus::NotApplicable, "too few points were measured to tell a trend")
    );
}

#[test]
fn a_step_and_a_spike_are_no_trend() {
    let points =
        |of: fn(usize) -> f64| (1..=100).map(|index| (index as f64 * 50.0, of(index))).collect::<Vec<_>>();
    let step = trend(&points(|index| if index < 8 { 4e7 } else { 6e7 })).unwrap();
    assert!(!step.grows && step.slope[0] == 0.0, "settles early: {step:?}");
    let spike = trend(&points(|index| if index == 50 { 9e7 } else { 4e7 })).unwrap();
    assert!(!spike.grows, "{spike:?}");
    let leak = trend(&points(|index| 4e7 + index as f64 * 16384.0)).unwrap();
    assert!(
        leak.grows && (leak.slope[0] - 327.68).abs() < 1e-6 && (leak.rise - 75.0 * 16384.0).abs() < 1e-6,
        "{leak:?}"
    );
}

#[test]
fn a_loop_that_leaks_fails_for_real() {
    let mut kept: Vec<Vec<u8>> = Vec::with_capacity(2200);
    let leaking = observe(2000, || {
        kept.push(black_box(vec![1; 8 << 10]));
        Ok(())
    })
    .unwrap();
    let clean = observe(2000, || {
        drop(black_box(vec![1_u8; 8 << 10]));
        Ok(())
    })
    .unwrap();
    let judged = |inferences: &Vec<(f64, f64)>| {
        leak::judge(
            &Growth { inferences: inferences.clone(), sessions: clean.clone() },
            &MemoryLeak::default(),
        )
    };
    assert_eq!(judged(&leaking).status, GateStatus::Failed, "{} blocks", kept.len());
    assert_eq!(judged(&clean).status, GateStatus::Passed);
}
