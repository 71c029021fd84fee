//! `rollback`: the previous release is fetched into a fresh place, verified, loaded, and asked.

use std::{fs, path::Path, time::Instant};

use sha2::{Digest, Sha256};
use stagewright_dataset::Preprocess;
use stagewright_measure::{Predictions, TestImages, check_model, evaluate};
use stagewright_onnx::{Session, SessionOptions};
use stagewright_sdk::{Context, FaultExt, Result};

use crate::{
    finding::{Case, Finding},
    params::Rollback,
};

const CHECK: &str = "rollback";

/// Goes back to the previous release as a deployment would.
///
/// # Errors
/// The run is cancelled, or the scratch folder can't be written. A release that can't be restored is a finding.
pub fn check(
    context: &mut Context,
    images: &TestImages,
    contract: &Preprocess,
    threads: usize,
    own: &Predictions,
    bounds: &Rollback,
) -> Result<Finding> {
    let Some(previous) = context.optional_input("previous").map(Path::to_owned) else {
        return Ok(Finding::not_applicable(
            CHECK,
            "no previous release is bound: bind the model to go back to as `previous`",
        ));
    };
    let mut case = Case::default();
    let began = Instant::now();
    let place = context.scratch_dir().join("restored.onnx");
    let wanted = digest(&previous)?;
    fs::copy(&previous, &place).or_environment(format_args!("cannot restore to {}", place.display()))?;
    let restored = digest(&place)?;
    case.must("digest of the restored file", short(&restored), short(&wanted), restored == wanted);

    let options = SessionOptions { threads, size: Some(contract.size), ..SessionOptions::default() };
    let mut session = match Session::open(&place, &options) {
        Ok(session) => session,
        Err(error) => {
            case.must("loading it", error.to_string(), "that it loads".to_owned(), false);
            return Ok(case.close(CHECK, String::new()));
        }
    };
    let fits = check_model(&session, "previous", contract);
    let found = fits.as_ref().map_or_else(ToString::to_string, |()| "fits".to_owned());
    case.must("classes and preprocessing", found, "those of the candidate".to_owned(), fits.is_ok());
    if fits.is_err() {
        return Ok(case.close(CHECK, String::new()));
    }
    let mut first_answer = None;
    let total = images.decoded.len() as u64;
    let answers = evaluate(&mut session, &images.decoded, contract, 1, |done| {
        first_answer.get_or_insert_with(|| began.elapsed().as_secs_f64());
        context.progress(done, total, "images", "rollback: replaying test images")
    });
    let answers = match answers {
        Ok(answers) => answers,
        Err(error) => {
            context.check_cancelled()?;
            case.must("answering the test images", error.to_string(), "an answer to each".to_owned(), false);
            return Ok(case.close(CHECK, String::new()));
        }
    };
    let seconds = first_answer.unwrap_or(f64::INFINITY);
    case.must(
        "time to the first answer",
        format!("{seconds:.2} s"),
        format!("at most {} s", bounds.max_time),
        seconds <= bounds.max_time,
    );
    case.must(
        "answers that are not finite",
        answers.not_finite().to_string(),
        "0".to_owned(),
        answers.not_finite() == 0,
    );
    let loss = own.top1_percent() - answers.top1_percent();
    case.must(
        "accuracy below the candidate's",
        format!("{loss:.2} pp ({:.2} %)", answers.top1_percent()),
        format!("at most {} pp", bounds.max_accuracy_loss),
        loss <= bounds.max_accuracy_loss,
    );
    let summary = format!(
        "restored, verified and answering in {seconds:.2} s, accuracy {:.2} %",
        answers.top1_percent()
    );
    Ok(case.close(CHECK, summary))
}

fn digest(path: &Path) -> Result<String> {
    let bytes = fs::read(path).or_environment(format_args!("cannot read {}", path.display()))?;
    Ok(hex::encode(Sha256::digest(bytes)))
}

fn short(digest: &str) -> String {
    format!("sha256:{}", &digest[..16.min(digest.len())])
}
