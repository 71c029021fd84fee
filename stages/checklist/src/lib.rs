//! The stage `checklist`: five real checks before a model is deployed.
//!
//! Each is passed, failed, or not applicable with the reason, and becomes a gate of the run: a failed one fails the run, and the
//! report that says why is kept.

mod finding;
pub mod gpus;
pub mod leak;
mod params;
mod quantization;
mod report;
mod rollback;
pub mod stress;

pub use finding::{Evidence, Finding};
pub use params::{DurationParam, Extent, MemoryLeak, Params, Quantization, Rollback, Stress};
use serde::Serialize;
use serde_json::{Value, json};
use stagewright_dataset::Preprocess;
use stagewright_measure::{Samples, TestImages, check_model, evaluate, memory};
use stagewright_onnx::{Session, SessionOptions};
use stagewright_sdk::{
    Context, Determinism, FaultExt, GateStatus, Manifest, ManifestExt, NamedInput, Port, PortExt, Resources,
    Result, Stage, StageFault, manifest,
};

pub use stagewright_tensorrt::Machine;

/// First field of `checklist.json`.
pub const FORMAT: &str = "stagewright/checklist@1";

/// First field of the benchmark's results that are read.
const BENCHMARK_FORMAT: &str = "stagewright/benchmark@1";

/// Images per run while accuracy is measured.
const BATCH: usize = 64;

/// What `checklist.json` holds.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Results<'a> {
    format: &'a str,
    candidate: &'a str,
    baseline: &'a str,
    duration: DurationParam,
    findings: &'a [Finding],
    /// The candidate's figures in the benchmark; null without one.
    benchmark: Value,
    memory: memory::Growth,
}

/// The stage.
pub struct Checklist;

impl Stage for Checklist {
    type Params = Params;

    fn manifest() -> Manifest {
        manifest::<Params>(
            "checklist",
            env!("CARGO_PKG_VERSION"),
            1,
            "five real checks before a model is deployed",
        )
        .input(
            "models",
            Port::input("model/onnx", "the candidate and its FP32 origin, named by `as:`").many(),
        )
        .input("benchmark", Port::input("metrics/json", "results of the benchmark stage").optional())
        .input(
            "previous",
            Port::input("model/onnx", "the model to go back to: the previous release").optional(),
        )
        .input("data", Port::input("dataset/images", "the dataset; its test split is used"))
        .input("preprocess", Port::input("preprocess", "the preprocessing contract of all models"))
        .output("report", Port::output("report/markdown", "checklist.md", "verdicts and evidence for people"))
        .output("results", Port::output("metrics/json", "checklist.json", "the same for programs"))
        .metric("passed", "checks passed")
        .metric("failed", "checks failed")
        .metric("not-applicable", "checks that could not be made here")
        .resources(Resources { cpus: 0, exclusive: true, ..Resources::default() })
        .determinism(Determinism::None)
    }

    fn run(context: &mut Context, params: Params) -> Result<()> {
        let extent = params.duration.extent();
        Self::run_for(context, params, extent)
    }
}

impl Checklist {
    /// Carries the stage out with tests of another length than the one its params name.
    ///
    /// # Errors
    /// An input does not fit or can't be tested, or the run is cancelled. What a test finds is no error.
    pub fn run_for(context: &mut Context, params: Params, extent: Extent) -> Result<()> {
        Self::run_on(context, params, extent, &Machine::from_env())
    }

    /// As [`Checklist::run_for`], with the TensorRT and the GPUs of a given machine.
    ///
    /// # Errors
    /// As [`Checklist::run_for`].
    pub fn run_on(context: &mut Context, params: Params, extent: Extent, machine: &Machine) -> Result<()> {
        let models = context.inputs("models").to_vec();
        if models.is_empty() {
            return Err(StageFault::user("no model is bound to `models`")
                .hint("bind the candidate and its FP32 origin"));
        }
        let candidate = pick(&models, "candidate", params.candidate.as_deref(), models.len() - 1)?;
        let baseline = pick(&models, "baseline", params.baseline.as_deref(), 0)?;
        let threads = if params.threads > 0 { params.threads } else { context.limits().threads as usize };
        let contract_path = context.input("preprocess")?.to_owned();
        let contract = Preprocess::load(&contract_path)?;
        let benchmark = benchmark_figures(context, &candidate.name)?;
        let images = TestImages::load(context, &contract, 0)?;

        let mut session = open(&candidate, &contract, threads)?;
        let own = predictions(context, &mut session, &candidate, &images, &contract)?;
        let theirs = match candidate.name == baseline.name {
            true => own.clone(),
            false => {
                let mut session = open(&baseline, &contract, threads)?;
                predictions(context, &mut session, &baseline, &images, &contract)?
            }
        };
        let inputs = images.inputs(&contract, 1);
        let samples =
            Samples { inputs: &inputs, stride: 3 * contract.size[0] * contract.size[1], size: contract.size };
        let load = memory::Load { model: &candidate.path, batch: 1, size: contract.size, threads };

        let mut findings = vec![quantization::check(&candidate.path, &params.quantization, &theirs, &own)?];
        findings.push(stress::check(context, &mut session, &samples, &params.stress, extent)?);
        let golden = gpus::Golden::ask(&mut session, &samples)?;
        drop(session);
        context.progress(0, 0, "inferences", "memory-leak test")?;
        let growth = memory::growth(&load, extent.inferences, extent.sessions)?;
        findings.push(leak::judge(&growth, &params.memory_leak));
        findings.push(gpus::check(context, machine, &candidate.path, &golden)?);
        findings.push(rollback::check(context, &images, &contract, threads, &own, &params.rollback)?);

        let duration = json!(params.duration);
        let subject = report::Subject {
            candidate: &candidate.name,
            baseline: &baseline.name,
            duration: duration.as_str().unwrap_or_default(),
        };
        context.write("report", report::markdown(&subject, &findings).as_bytes())?;
        let results = Results {
            format: FORMAT,
            candidate: &candidate.name,
            baseline: &baseline.name,
            duration: params.duration,
            findings: &findings,
            benchmark,
            memory: growth,
        };
        context.write_json("results", &results)?;
        for (name, status) in [
            ("passed", GateStatus::Passed),
            ("failed", GateStatus::Failed),
            ("not-applicable", GateStatus::NotApplicable),
        ] {
            context.metric(
                name,
                findings.iter().filter(|finding| finding.status == status).count() as f64,
                None,
            );
        }
        for finding in findings {
            context.gate(finding.check, finding.status, finding.reason);
        }
        Ok(())
    }
}

fn pick(models: &[NamedInput], param: &str, wanted: Option<&str>, otherwise: usize) -> Result<NamedInput> {
    let Some(wanted) = wanted else { return Ok(models[otherwise].clone()) };
    models.iter().find(|model| model.name == wanted).cloned().ok_or_else(|| {
        let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
        StageFault::user(format!("`{param}` is `{wanted}`, but no model has that name"))
            .hint(format!("the models are named {}", names.join(", ")))
    })
}

fn open(model: &NamedInput, contract: &Preprocess, threads: usize) -> Result<Session> {
    let options = SessionOptions { threads, size: Some(contract.size), ..SessionOptions::default() };
    let session = Session::open(&model.path, &options)?;
    check_model(&session, &model.name, contract)?;
    Ok(session)
}

fn predictions(
    context: &mut Context,
    session: &mut Session,
    model: &NamedInput,
    images: &TestImages,
    contract: &Preprocess,
) -> Result<stagewright_measure::Predictions> {
    let (total, message) = (images.decoded.len() as u64, format!("accuracy of {}", model.name));
    evaluate(session, &images.decoded, contract, BATCH, |done| {
        context.progress(done, total, "images", message.as_str())
    })
}

/// The candidate's figures in the benchmark, which go into the evidence as they are.
fn benchmark_figures(context: &Context, candidate: &str) -> Result<Value> {
    let Some(path) = context.optional_input("benchmark") else { return Ok(Value::Null) };
    let text = std::fs::read(path).or_environment(format_args!("cannot read {}", path.display()))?;
    let results: Value =
        serde_json::from_slice(&text).or_user(format_args!("{} is not JSON", path.display()))?;
    let format = results.get("format").and_then(Value::as_str).unwrap_or("none");
    if format != BENCHMARK_FORMAT {
        let message =
            format!("{} has the format `{format}`; this release reads `{BENCHMARK_FORMAT}`", path.display());
        return Err(StageFault::user(message).hint("bind the `results` output of a benchmark stage"));
    }
    let variants = results.get("variants").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let own = variants.iter().find(|variant| variant.get("name").and_then(Value::as_str) == Some(candidate));
    own.cloned().ok_or_else(|| {
        StageFault::user(format!("the benchmark did not measure the candidate `{candidate}`"))
            .hint("give the model the same name with `as:` in both stages")
    })
}
