//! Set-up and chores of the project: `cargo xtask native`, `cargo xtask demo`, `cargo xtask test`.

mod demo;
mod full;
mod native;
mod step;
mod suite;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// What a chore ends with: an error is for the person at the terminal, whole sentences with what to do.
type Outcome<T = ()> = Result<T, String>;

const USAGE: &str = "\
Usage: cargo xtask <chore>

  native [--cuda] [--into FOLDER]   fetch libtorch and ONNX Runtime into .native (or FOLDER); with --cuda, libtorch's
                                    half for NVIDIA GPUs as well
  demo [-- ARGUMENT...]             native, build everything in release, run examples/quickstart from end to end;
                                    the arguments go to `stagewright run`
  test [--full]                     native, then format, lints, build, tests and doctests of the whole workspace; with --full
                                    also the tests that ask other tools (dvc), which are fetched into .native
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match Chore::parse(&arguments) {
        Ok(Chore::Help) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Ok(Chore::Native(request)) => native::run(&request),
        Ok(Chore::Demo(arguments)) => demo::run(&arguments),
        Ok(Chore::Test { full }) => suite::run(full),
        Err(complaint) => {
            eprint!("{complaint}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A command line, understood.
#[derive(Debug, PartialEq)]
enum Chore {
    Help,
    Native(native::Request),
    Demo(Vec<String>),
    /// With the tests that want other tools.
    Test {
        full: bool,
    },
}

impl Chore {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let Some((name, rest)) = arguments.split_first() else { return Err("which chore?".to_owned()) };
        match name.as_str() {
            "native" => native_request(rest).map(Self::Native),
            "demo" => match rest.split_first() {
                None => Ok(Self::Demo(Vec::new())),
                Some((dashes, rest)) if dashes == "--" => Ok(Self::Demo(rest.to_vec())),
                Some((other, _)) => {
                    Err(format!("demo does not know `{other}`; put arguments of `stagewright run` after --"))
                }
            },
            "test" => match rest {
                [] => Ok(Self::Test { full: false }),
                [full] if full == "--full" => Ok(Self::Test { full: true }),
                [other, ..] => Err(format!("test does not know `{other}`")),
            },
            "help" | "-h" | "--help" => Ok(Self::Help),
            other => Err(format!("there is no chore `{other}`")),
        }
    }
}

fn native_request(arguments: &[String]) -> Result<native::Request, String> {
    let mut request = native::Request::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--cuda" => request.cuda = true,
            "--into" => {
                request.into = Some(PathBuf::from(rest.next().ok_or("--into needs a folder")?));
            }
            other => return Err(format!("native does not know `{other}`")),
        }
    }
    Ok(request)
}

/// Root of the workspace.
fn root() -> &'static Path {
    // This package lies directly in the root.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Chore, String> {
        Chore::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn command_lines_are_understood_or_refused_by_name() {
        assert_eq!(parse("test"), Ok(Chore::Test { full: false }));
        assert_eq!(parse("test --full"), Ok(Chore::Test { full: true }));
        assert_eq!(parse("native"), Ok(Chore::Native(native::Request::default())));
        let request = native::Request { cuda: true, into: Some(PathBuf::from("x")) };
        assert_eq!(parse("native --into x --cuda"), Ok(Chore::Native(request)));
        assert_eq!(parse("demo -- --seed 3"), Ok(Chore::Demo(vec!["--seed".to_owned(), "3".to_owned()])));
        for (line, complaint) in [
            ("", "which chore?"),
            ("build", "there is no chore `build`"),
            ("native --gpu", "native does not know `--gpu`"),
            ("native --into", "--into needs a folder"),
            ("demo --seed 3", "demo does not know `--seed`; put arguments of `stagewright run` after --"),
            ("test --fast", "test does not know `--fast`"),
        ] {
            assert_eq!(parse(line), Err(complaint.to_owned()), "{line}");
        }
    }
}
