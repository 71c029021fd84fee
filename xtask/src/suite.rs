//! `cargo xtask test`: everything that must hold before a change is taken.

use std::time::Instant;

use crate::{
    Outcome, full, native,
    step::{self, cargo, say, seconds},
};

/// Fetches the native libraries, then checks format and lints, builds, and runs all tests. Stops at the first step that fails.
pub fn run(with_other_tools: bool) -> Outcome {
    let started = Instant::now();
    tools()?;
    native::run(&native::Request::default())?;
    step::run("format", &mut cargo(&["fmt", "--all", "--check"]))
        .map_err(|error| format!("{error}; `cargo fmt --all` puts it right"))?;
    step::run("lints", &mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    // Tests of the orchestrator run the stages' programs, which cargo builds for no package but their own. Together with the
    // tests, because the features of their dependencies would have everything compiled a second time.
    step::run("build", &mut cargo(&["build", "--workspace", "--bins", "--tests", "--examples"]))?;
    let nextest = step::answers(&mut cargo(&["nextest", "--version"]));
    if nextest {
        step::run("tests", &mut cargo(&["nextest", "run", "--workspace"]))?;
    } else {
        say("Note", "cargo-nextest is not installed; `cargo test` runs the tests instead");
        step::run("tests", &mut cargo(&["test", "--workspace", "--lib", "--bins", "--tests", "--examples"]))?;
    }
    step::run("doctests", &mut cargo(&["test", "--workspace", "--doc"]))?;
    if with_other_tools {
        full::run(nextest)?;
    }
    say("Passed", format_args!("the whole suite, in {}", seconds(started.elapsed())));
    Ok(())
}

/// Names everything that is missing at once, before minutes are spent.
fn tools() -> Outcome {
    let missing: Vec<&str> = [("fmt", "rustfmt"), ("clippy", "clippy")]
        .into_iter()
        .filter(|(subcommand, _)| !step::answers(&mut cargo(&[subcommand, "--version"])))
        .map(|(_, component)| component)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    Err(format!("the toolchain lacks {names}; install with `rustup component add {names}`"))
}
