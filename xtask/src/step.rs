//! Saying what happens, and running other programs as steps that have a name and a time.

use std::{
    io::Write,
    process::Command,
    time::{Duration, Instant},
};

use crate::Outcome;

/// A line in cargo's manner: a verb, then what it is about.
pub fn say(verb: &str, text: impl std::fmt::Display) {
    println!("{verb:>12} {text}");
    // Programs that run next write to the same place.
    let _ = std::io::stdout().flush();
}

/// Runs a program with the terminal passed through.
///
/// # Errors
/// The step's name, and how it ended, if it did not succeed.
pub fn run(name: &str, command: &mut Command) -> Outcome {
    say("Step", format_args!("{name}: {}", line(command)));
    let started = Instant::now();
    let status =
        command.status().map_err(|error| format!("{name}: {} does not start: {error}", program(command)))?;
    if !status.success() {
        return Err(format!("{name} failed ({status}) after {}", seconds(started.elapsed())));
    }
    say("Done", format_args!("{name} in {}", seconds(started.elapsed())));
    Ok(())
}

/// The cargo that runs this chore.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(crate::root()).args(arguments);
    command
}

/// Does a program start and succeed with these arguments? Its output is not shown.
pub fn answers(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn program(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn line(command: &Command) -> String {
    let name = std::path::Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy());
    std::iter::once(name).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// Time for people: `0.4 s`, `3 min 12 s`.
pub fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        whole => format!("{} min {} s", whole / 60, whole % 60),
    }
}

/// Size for people, in powers of ten: `704 kB`, `527 MB`, `2.5 GB`.
pub fn bytes(size: u64) -> String {
    match size {
        0..1_000_000 => format!("{} kB", size.div_ceil(1000)),
        1_000_000..1_000_000_000 => format!("{} MB", (size + 500_000) / 1_000_000),
        _ => format!("{:.1} GB", size as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_well() {
        assert_eq!([bytes(1), bytes(526_574_961), bytes(2_512_000_000)], ["1 kB", "527 MB", "2.5 GB"]);
        assert_eq!(
            [seconds(Duration::from_millis(420)), seconds(Duration::from_secs(192))],
            ["0.4 s", "3 min 12 s"]
        );
    }

    #[test]
    fn a_failing_step_is_named() {
        let error = run("lints", Command::new("sh").args(["-c", "exit 3"])).expect_err("exit 3");
        assert!(error.starts_with("lints failed (exit status: 3) after "), "{error}");
        let error = run("lints", &mut Command::new("/no/such/program")).expect_err("no program");
        assert!(error.starts_with("lints: /no/such/program does not start: "), "{error}");
        assert_eq!(run("lints", &mut Command::new("true")), Ok(()));
    }
}
