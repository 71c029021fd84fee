//! A run on the screen: a line per running stage with bar, rate, ETA and latest metric; plain lines without a terminal.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use console::{StyledObject, style};
use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use stagewright::{
    plan::StageId,
    record::{Failure, Outcome, RunEvent, RunOutcome, RunState, TargetVerdict, WaivedGate},
};
use stagewright_protocol::{ErrorClass, Gate, GateStatus, Level};

use super::{screen, verified};

/// Without a terminal, a stage's progress is worth a line this often.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// Lines go out when they are longer than this together.
const GATHERED: usize = 16 << 10;

/// Shows the events of one run.
pub struct Display {
    live: Option<MultiProgress>,
    /// Lines that go out once the run waits for something: a thousand reused stages are one write.
    lines: String,
    running: BTreeMap<StageId, Running>,
    width: usize,
    warnings: Vec<String>,
    ended: BTreeMap<Outcome, usize>,
}

/// One stage at work.
struct Running {
    bar: ProgressBar,
    phase: String,
    /// What it says it is at.
    message: String,
    metric: Option<String>,
    headline: Vec<(String, String)>,
    last_line: Instant,
}

impl Running {
    /// What it is at, and its latest metric.
    fn telling(&self) -> String {
        let parts = [Some(&self.message), self.metric.as_ref()];
        let parts = parts.into_iter().flatten().filter(|part| !part.is_empty()).map(String::as_str);
        parts.collect::<Vec<_>>().join(" · ")
    }
}

impl Display {
    /// A display on stdout.
    pub fn new() -> Self {
        let live = std::io::stdout().is_terminal().then(MultiProgress::new);
        Self {
            live,
            lines: String::new(),
            running: BTreeMap::new(),
            width: 0,
            warnings: Vec::new(),
            ended: BTreeMap::new(),
        }
    }

    /// Shows an event.
    pub fn event(&mut self, event: &RunEvent) {
        match event {
            RunEvent::RunStarted { run, pipeline, stages, warnings, .. } => {
                self.width = stages.iter().map(|stage| stage.0.chars().count()).max().unwrap_or(0);
                self.warnings.extend(warnings.iter().cloned());
                self.line(&format!(
                    "{}, {}, run {run}",
                    style(pipeline).bold(),
                    screen::count(stages.len() as u64, "stage")
                ));
            }
            RunEvent::StageStarted { stage, attempt, reasons, .. } => {
                let why: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                if self.live.is_none() {
                    let again = if *attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
                    self.line(&format!(
                        "{:width$}  started{again}  {}",
                        stage.0,
                        why.join(", "),
                        width = self.width
                    ));
                }
                self.start(stage);
            }
            RunEvent::StageWaits { stage, waits_for, .. } => self.line(&format!(
                "{:width$}  {}  for {waits_for}",
                stage.0,
                style("waits").yellow(),
                width = self.width
            )),
            RunEvent::StageProgress { stage, done, total, unit, message, .. } => {
                self.progress(stage, *done, *total, unit, message);
            }
            RunEvent::StageMetric { stage, name, value, unit, .. } => {
                self.metric(stage, name, *value, unit.as_deref())
            }
            RunEvent::StageLog { stage, level: Level::Warning, message, .. } => {
                self.warnings.push(format!("{stage}: {message}"));
            }
            RunEvent::StageLog { stage, level: Level::Info, message, .. } => {
                if let Some(running) = self.running.get(stage) {
                    running.bar.set_message(message.clone());
                }
            }
            RunEvent::StageRetried { stage, attempt, failure, pause_ms, .. } => {
                self.stop(stage);
                let pause = screen::duration(Duration::from_millis(*pause_ms));
                self.line(&format!(
                    "{:width$}  {}  attempt {attempt}: {}; again in {pause}",
                    stage.0,
                    style("retry  ").yellow(),
                    failure.fault.message,
                    width = self.width
                ));
            }
            RunEvent::StageEnded { .. } => self.ended(event),
            RunEvent::HitsChosen { stages, hits, seed, .. } if !stages.is_empty() => self.line(&format!(
                "verifying {} of {} (seed {seed})",
                stages.len(),
                screen::count(*hits, "hit")
            )),
            RunEvent::HitVerified { hit, .. } => self.line(&verified::lines(hit, self.width)),
            RunEvent::TargetChecked { verdict, .. } => self.target(verdict),
            RunEvent::GateWaived { waived, .. } => self.line(&waiver(waived)),
            RunEvent::RunEnded { outcome, duration_ms, .. } => self.finish(*outcome, *duration_ms),
            RunEvent::CaughtUp => self.flush(),
            _ => {}
        }
    }

    fn start(&mut self, stage: &StageId) {
        let bar = match &self.live {
            Some(live) => live.add(ProgressBar::new_spinner()),
            None => ProgressBar::hidden(),
        };
        bar.set_style(spinner());
        bar.set_prefix(format!("{:width$}", stage.0, width = self.width));
        bar.enable_steady_tick(Duration::from_millis(120));
        let running = Running {
            bar,
            phase: String::new(),
            message: String::new(),
            metric: None,
            headline: Vec::new(),
            last_line: Instant::now(),
        };
        self.running.insert(stage.clone(), running);
    }

    fn stop(&mut self, stage: &StageId) -> Option<Running> {
        let running = self.running.remove(stage)?;
        running.bar.finish_and_clear();
        Some(running)
    }

    fn progress(&mut self, stage: &StageId, done: u64, total: u64, unit: &str, message: &str) {
        let Some(running) = self.running.get_mut(stage) else { return };
        let phase = format!("{total} {unit}");
        if running.phase != phase || done < running.bar.position() {
            running.bar.reset();
            running.bar.set_style(if total > 0 { bar(unit) } else { spinner() });
            running.bar.set_length(total);
            running.phase = phase;
        }
        running.bar.set_position(done);
        message.clone_into(&mut running.message);
        let message = running.telling();
        if self.live.is_none() && running.last_line.elapsed() >= PLAIN_INTERVAL {
            running.last_line = Instant::now();
            let of = if total > 0 { format!("/{total}") } else { String::new() };
            let line = format!("{:width$}  {done}{of} {unit}  {message}", stage.0, width = self.width);
            self.line(&line);
        } else {
            running.bar.set_message(message);
        }
    }

    fn metric(&mut self, stage: &StageId, name: &str, value: f64, unit: Option<&str>) {
        if let Some(running) = self.running.get_mut(stage) {
            let shown = measured(value, unit);
            running.metric = Some(format!("{name} {shown}"));
            running.headline.retain(|(known, _)| known != name);
            running.headline.push((name.to_owned(), shown));
            running.bar.set_message(running.telling());
        }
    }

    fn ended(&mut self, event: &RunEvent) {
        let RunEvent::StageEnded {
            stage, outcome, reason, measured, failure, duration_ms, made_in_ms, ..
        } = event
        else {
            return;
        };
        *self.ended.entry(*outcome).or_default() += 1;
        let running = self.stop(stage);
        let took = match outcome {
            Outcome::Ran | Outcome::Failed => screen::duration(Duration::from_millis(*duration_ms)),
            Outcome::Cached => {
                format!("saved {}", screen::duration(Duration::from_millis(made_in_ms.unwrap_or(0))))
            }
            _ => String::new(),
        };
        // The last metrics that a stage reports are what it was about.
        let headline = running.map_or_else(Vec::new, |running| running.headline);
        let headline = headline.iter().rev().take(2).rev().map(|(name, shown)| format!("{name} {shown}"));
        let mut notes: Vec<String> = (!reason.is_empty()).then(|| reason.clone()).into_iter().collect();
        notes.extend(headline);
        self.line(&format!(
            "{:width$}  {}  {took:>15}  {}",
            stage.0,
            coloured(*outcome, format!("{outcome:<9}")),
            style(notes.join(" · ")).dim(),
            width = self.width
        ));
        if *outcome == Outcome::Cached {
            self.warnings.extend(measured.warnings.iter().map(|warning| format!("{stage}: {warning}")));
        }
        for gate in &measured.gates {
            self.gate(gate);
        }
        if let Some(failure) = failure.as_ref().filter(|_| *outcome == Outcome::Failed) {
            self.line(&failure_text(failure));
        }
    }

    fn gate(&mut self, gate: &Gate) {
        self.line(&format!(
            "{:width$}  {}  {}: {}",
            "",
            verdict(gate.status),
            gate.name,
            gate.reason,
            width = self.width
        ));
    }

    fn target(&mut self, checked: &TargetVerdict) {
        self.line(&format!("target {}  {}: {}", verdict(checked.status), checked.target, checked.reason));
    }

    fn finish(&mut self, outcome: RunOutcome, duration_ms: u64) {
        for warning in std::mem::take(&mut self.warnings) {
            self.line(&format!("{} {warning}", style("warning:").yellow().bold()));
        }
        let counts: Vec<String> =
            self.ended.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        self.line(&format!(
            "{} in {}: {}",
            ended(outcome).bold(),
            screen::duration(Duration::from_millis(duration_ms)),
            counts.join(", ")
        ));
        self.flush();
    }

    fn line(&mut self, text: &str) {
        self.lines.push_str(text.trim_end());
        self.lines.push('\n');
        if self.lines.len() > GATHERED {
            self.flush();
        }
    }

    /// Shows the lines gathered so far.
    pub fn flush(&mut self) {
        // Fails only when terminal or reader have gone, and then there is nobody to tell.
        let _ = match &self.live {
            _ if self.lines.is_empty() => Ok(()),
            Some(live) => live.println(self.lines.trim_end()),
            None => std::io::stdout().write_all(self.lines.as_bytes()),
        };
        self.lines.clear();
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.flush();
    }
}

/// `93.1 %`, `2.7 ms`, `12`.
pub fn measured(value: f64, unit: Option<&str>) -> String {
    match unit {
        Some(unit) => format!("{} {unit}", screen::number(value)),
        None => screen::number(value),
    }
}

/// A failure in full: whose fault, what, the program's last words, what to do.
pub fn failure_text(failure: &Failure) -> String {
    let fault = &failure.fault;
    let whose = match fault.class {
        ErrorClass::User => "in the pipeline or its data",
        ErrorClass::Environment => "in this machine's set-up",
        ErrorClass::Internal => "in the stage program",
    };
    let mut text = format!("{} ({whose}) {}", style("error").red().bold(), fault.message);
    for line in &failure.tail {
        text.push_str(&format!("\n  │ {line}"));
    }
    if let Some(hint) = &fault.hint {
        text.push_str(&format!("\n{} {hint}", style("hint:").cyan()));
    }
    text
}

/// A gate's verdict as a coloured word of fixed width.
pub fn verdict(status: GateStatus) -> StyledObject<&'static str> {
    match status {
        GateStatus::Passed => style("passed        ").green(),
        GateStatus::Failed => style("failed        ").red().bold(),
        GateStatus::NotApplicable => style("not applicable").yellow(),
    }
}

/// A waiver in a line, loud where it has expired or does not cover what was found.
pub fn waiver(waived: &WaivedGate) -> String {
    let WaivedGate { stage, gate, by, until, reason, holds, exceeded, .. } = waived;
    let what = match stage {
        Some(stage) => format!("gate {gate} of {stage}"),
        None => format!("target {gate}"),
    };
    if *holds {
        return format!("{} {what}: by {by} until {until}: {reason}", style("waived").yellow().bold());
    }
    if let Some(why) = exceeded {
        return format!(
            "{} {what}: the waiver by {by} until {until} does not cover it: {why}; so it counts as failed ({reason})",
            style("NOT WAIVED").red().bold()
        );
    }
    format!(
        "{} {what}: the waiver by {by} ended on {until}, so it counts as failed ({reason})",
        style("EXPIRED").red().bold()
    )
}

/// Where a run stands, in its colour.
pub fn state(state: RunState) -> StyledObject<String> {
    match state {
        RunState::Ended(outcome) => ended(outcome),
        RunState::Running => style("running".to_owned()).cyan(),
        RunState::Interrupted => style("interrupted".to_owned()).yellow(),
    }
}

fn ended(outcome: RunOutcome) -> StyledObject<String> {
    let word = style(outcome.to_string());
    match outcome {
        RunOutcome::Succeeded => word.green(),
        RunOutcome::Cancelled => word.yellow(),
        RunOutcome::Failed | RunOutcome::GateFailed => word.red(),
    }
}

/// Something about an outcome in the outcome's colour.
pub fn coloured(outcome: Outcome, text: String) -> StyledObject<String> {
    match outcome {
        Outcome::Ran => style(text).green(),
        Outcome::Cached => style(text).cyan(),
        Outcome::Skipped => style(text).dim(),
        Outcome::Failed => style(text).red().bold(),
        Outcome::Cancelled | Outcome::Blocked => style(text).yellow(),
    }
}

fn spinner() -> ProgressStyle {
    template("{prefix}  {spinner} {elapsed}  {wide_msg}")
}

fn bar(unit: &str) -> ProgressStyle {
    // Braces in a unit would be read as a placeholder.
    let unit: String = unit.chars().filter(|c| c.is_alphanumeric() || *c == ' ').collect();
    template(&format!(
        "{{prefix}}  {{bar:20.cyan/dim}} {{human_pos}}/{{human_len}} {unit} · {{rate}} · {{eta}} left  {{wide_msg}}"
    ))
    .with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let rate = state.per_sec();
        // A place that can't be written to shows nothing.
        let _ = if rate < 10.0 { write!(out, "{rate:.1}/s") } else { write!(out, "{}/s", HumanCount(rate as u64)) };
    })
}

fn template(text: &str) -> ProgressStyle {
    ProgressStyle::with_template(text)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .progress_chars("━╸─")
}
