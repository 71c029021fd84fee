//! Hits that were carried out again, in words.

use console::{StyledObject, style};
use stagewright::record::{HitVerdict, VerifiedHit};

use super::{display::failure_text, screen};

/// A verdict as a coloured word.
fn word(verdict: &HitVerdict) -> StyledObject<&'static str> {
    if verdict.is_sound() { style("verified").green() } else { style("differs ").red().bold() }
}

/// A line for a hit that is what it was, more for one that is not.
pub fn lines(hit: &VerifiedHit, width: usize) -> String {
    let took = screen::duration(std::time::Duration::from_millis(hit.duration_ms));
    let what = match &hit.verdict {
        HitVerdict::Same => "the same bytes".to_owned(),
        HitVerdict::Within { tolerance } => {
            format!("the same metrics, within {} %", screen::number(100.0 * tolerance))
        }
        HitVerdict::NotPromised => "it runs; its results are measurements, which vary".to_owned(),
        HitVerdict::Differs { differences } => differences.join("\n  "),
        HitVerdict::Failed { .. } => "it can't be made again".to_owned(),
    };
    let mut text = format!("{:width$}  {}  {took:>8}  {what}", hit.stage.0, word(&hit.verdict));
    if let HitVerdict::Failed { failure } = &hit.verdict {
        text.push_str(&format!("\n{}", failure_text(failure)));
    }
    if !hit.verdict.is_sound() {
        let stage = &hit.stage;
        let made = hit.made_in.map(|run| format!(", made in run {run},")).unwrap_or_default();
        text.push_str(&format!(
            "\n{} the stored result{made} was kept; the stage reads something that it does not declare, or promises more than it \
             holds. `stagewright run --force {stage}` makes it anew",
            style("hint:").cyan()
        ));
    }
    text
}
