//! `secrets:` of a stage, checked by name. Values are a matter of the run.

use crate::spec::{Diagnostic, types::StageSpec};

use super::variables::{Variables, is_name};

/// What is wrong with the names of a stage's secrets.
pub(super) fn check(stage: &StageSpec, variables: &Variables, findings: &mut Vec<Diagnostic>) {
    for (index, name) in stage.secrets.iter().enumerate() {
        let wrong = |message: String| Diagnostic::error("plan::secret", message).at(name.span.clone(), "");
        let twice = stage.secrets[..index].iter().any(|other| other.value == name.value);
        let declared = variables.fixed.contains_key(&name.value) || variables.late.contains_key(&name.value);
        if !is_name(&name.value) {
            findings.push(
                wrong(format!("`{}` can't be the name of a variable, and so of no secret", name.value)).hint(
                    "a secret is the name of a variable of the environment that `stagewright run` starts in",
                ),
            );
        } else if twice {
            findings.push(wrong(format!("secret `{}` is listed twice", name.value)));
        } else if declared {
            findings.push(
                wrong(format!("`{}` is a secret and a variable under `env`", name.value))
                    .hint("the program would see one of them; remove the other"),
            );
        }
    }
}
