//! `memory-leak`: resident memory over thousands of inferences and over opening and closing the model, in a process of its own.

use stagewright_measure::{
    memory::Growth,
    statistics::{median, theil_sen},
};

use crate::{
    finding::{Case, Finding},
    params::MemoryLeak,
};

const CHECK: &str = "memory-leak";

/// Growth below this from the first quarter to the last is the allocator's, whatever slope a line through it has.
const PLATEAU: f64 = 512.0 * 1024.0;

/// What a loop's memory does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// Bytes each time, with the bounds of the 95 % interval.
    pub slope: [f64; 3],
    /// Median of the last quarter minus median of the first, in bytes.
    pub rise: f64,
    /// Growth is certain and not the allocator's settling.
    pub grows: bool,
}

/// Weighs the points (times done, resident bytes) of a loop. None for too few points.
pub fn trend(points: &[(f64, f64)]) -> Option<Trend> {
    let slope = theil_sen(points)?;
    let quarter = (points.len() / 4).max(1);
    let level = |part: &[(f64, f64)]| median(&part.iter().map(|point| point.1).collect::<Vec<_>>());
    let rise = level(&points[points.len() - quarter..]) - level(&points[..quarter]);
    Some(Trend {
        slope: [slope.estimate, slope.low, slope.high],
        rise,
        grows: slope.low > 0.0 && rise > PLATEAU,
    })
}

/// Weighs both loops of a model.
pub fn judge(growth: &Growth, bounds: &MemoryLeak) -> Finding {
    let (Some(inferences), Some(sessions)) = (trend(&growth.inferences), trend(&growth.sessions)) else {
        return Finding::not_applicable(CHECK, "too few points were measured to tell a trend");
    };
    let done = |points: &[(f64, f64)]| points.last().map_or(0.0, |point| point.0);
    let budget = bounds.budget as f64;
    let allowed = bounds.max_growth * budget;
    let mut case = Case::default();
    let projected = inferences.slope[0] * 1e6;
    case.must(
        "growth projected to a million inferences",
        format!(
            "{:.2} MB (slope {}, {:.0} kB rise over {})",
            projected / 1e6,
            interval(inferences.slope),
            inferences.rise / 1e3,
            done(&growth.inferences)
        ),
        format!("at most {:.2} MB, or not certain", allowed / 1e6),
        !(inferences.grows && projected > allowed),
    );
    // Models are opened seldom: a thousand times in a process's life is much.
    let projected = sessions.slope[0] * 1e3;
    case.must(
        "growth projected to a thousand openings of the model",
        format!(
            "{:.2} MB (slope {}, {:.0} kB rise over {})",
            projected / 1e6,
            interval(sessions.slope),
            sessions.rise / 1e3,
            done(&growth.sessions)
        ),
        format!("at most {:.2} MB, or not certain", allowed / 1e6),
        !(sessions.grows && projected > allowed),
    );
    let summary = format!(
        "{} inferences and {} openings: no growth that is certain and above {:.2} MB a million",
        done(&growth.inferences),
        done(&growth.sessions),
        allowed / 1e6
    );
    case.close(CHECK, summary)
}

fn interval([slope, low, high]: [f64; 3]) -> String {
    format!("{slope:+.1} B each, 95 % interval {low:+.1} to {high:+.1}")
}
