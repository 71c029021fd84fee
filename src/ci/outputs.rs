//! Outputs of a step, as the file named by `GITHUB_OUTPUT` takes them.

use uuid::Uuid;

/// One output. The value may hold anything: what ends it is drawn at random, so that no value can end itself and go on as another.
pub fn output(name: &str, value: &str) -> String {
    let end = format!("end-{}", Uuid::now_v7().simple());
    format!("{name}<<{end}\n{value}\n{end}\n")
}
