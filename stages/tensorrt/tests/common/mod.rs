//! ONNX models and stand-in programs for the tests.
#![allow(dead_code)] // each test file uses its part

use std::{
    cell::RefCell,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use stagewright_onnx::{
    Dim, attributes, node,
    proto::{DataType, GraphProto, ModelProto, OperatorSetIdProto, TensorProto},
    set_metadata, value_info, write_model,
};
use stagewright_sdk::{Context, Manifest, Platform, Result, Stage};
use stagewright_stage_tensorrt::{Machine, Params, TensorRt, platform, run_on};

/// What the model computes in, and how.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Fp32,
    Fp16,
    /// Signed activations around 0.
    Int8,
    /// Unsigned activations, as for processors.
    Uint8,
    /// Signed activations around another number.
    Shifted,
}

/// A classifier of three classes: channel means. `dims` are those of its input, −1 where open.
pub fn onnx(path: &Path, kind: Kind, dims: [i64; 4]) {
    let mut nodes = Vec::new();
    let mut initializer = Vec::new();
    let mut read = "image";
    match kind {
        Kind::Fp32 => {}
        Kind::Fp16 => {
            nodes.push(node(
                "Cast",
                "to-half",
                &["image"],
                &["half"],
                vec![attributes::int("to", DataType::Float16 as i64)],
            ));
            nodes.push(node(
                "Cast",
                "to-float",
                &["half"],
                &["float"],
                vec![attributes::int("to", DataType::Float as i64)],
            ));
            read = "float";
        }
        Kind::Int8 | Kind::Uint8 | Kind::Shifted => {
            initializer.push(TensorProto::of_f32("scale", &[], &[0.1]));
            initializer.push(match kind {
                Kind::Uint8 => TensorProto::of_u8("zero", &[], &[128]),
                Kind::Shifted => TensorProto::of_i8("zero", &[], &[-5]),
                _ => TensorProto::of_i8("zero", &[], &[0]),
            });
            nodes.push(node("QuantizeLinear", "image/q", &["image", "scale", "zero"], &["q"], vec![]));
            nodes.push(node("DequantizeLinear", "image/dq", &["q", "scale", "zero"], &["dq"], vec![]));
            read = "dq";
        }
    }
    nodes.push(node("GlobalAveragePool", "mean", &[read], &["means"], vec![]));
    nodes.push(node("Flatten", "flat", &["means"], &["logits"], vec![attributes::int("axis", 1)]));
    let dim = |(index, dim): (usize, &i64)| match dim {
        -1 => Dim::Symbol(["batch", "channels", "height", "width"][index].to_owned()),
        size => Dim::Size(*size),
    };
    let dims: Vec<Dim> = dims.iter().enumerate().map(dim).collect();
    let output = [dims[0].clone(), Dim::Size(3)];
    let mut model = ModelProto {
        ir_version: Some(8),
        opset_import: vec![OperatorSetIdProto { version: Some(17), ..Default::default() }],
        graph: Some(GraphProto {
            name: Some("means".to_owned()),
            node: nodes,
            initializer,
            input: vec![value_info("image", DataType::Float, &dims)],
            output: vec![value_info("logits", DataType::Float, &output)],
            ..Default::default()
        }),
        ..Default::default()
    };
    set_metadata(
        &mut model,
        "stagewright.preprocess",
        r#"{"format":"stagewright/preprocess@1","size":[24,32]}"#,
    );
    write_model(&model, path).unwrap();
}

/// A folder with stand-ins for `trtexec` and `nvidia-smi`.
pub struct Stand {
    pub folder: PathBuf,
}

/// How the stand-in for `trtexec` behaves.
pub struct Trtexec<'a> {
    /// As in the banner: 101600.
    pub number: u32,
    /// Options it knows, one a line.
    pub options: &'a str,
    /// Shell commands between parsing and building, where failures are played.
    pub play: &'a str,
    /// What it exports of its layers.
    pub layers: &'a str,
}

pub const OPTIONS_10: &str = include_str!("../../../../tests/fixtures/tensorrt/options-10.16.txt");
pub const OPTIONS_11: &str = include_str!("../../../../tests/fixtures/tensorrt/options-11.1.txt");
pub const OPTIONS_10_0: &str = include_str!("../../../../tests/fixtures/tensorrt/options-10.0.txt");

pub const INT8_LAYERS: &str = r#"{"Layers": [
  {"Name": "image/q", "LayerType": "Reformat", "Inputs": [{"Name": "image", "Dimensions": [1,3,32,32], "Format/Datatype": "Row major linear FP32"}],
   "Outputs": [{"Name": "q", "Dimensions": [1,3,32,32], "Format/Datatype": "Four wide channel vectorized row major Int8 format"}]},
  {"Name": "conv1 + relu1", "LayerType": "CaskConvolution", "TacticName": "sm80_xmma_fprop_i8",
   "Inputs": [{"Name": "q", "Dimensions": [1,3,32,32], "Format/Datatype": "Four wide channel vectorized row major Int8 format"}],
   "Outputs": [{"Name": "y", "Dimensions": [1,8,32,32], "Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format"}]},
  {"Name": "fc", "LayerType": "gemm", "TacticName": "sm80_gemm_f16", "Inputs": [{"Name": "z", "Dimensions": [1,8], "Format/Datatype": "Half"}],
   "Outputs": [{"Name": "logits", "Dimensions": [1,3], "Format/Datatype": "Float"}]}
], "Bindings": ["image", "logits"]}"#;

pub const FP32_LAYERS: &str = r#"{"Layers": [{"Name": "mean", "LayerType": "CaskPooling",
  "Inputs": [{"Name": "image", "Dimensions": [1,3,32,32], "Format/Datatype": "Row major linear FP32"}],
  "Outputs": [{"Name": "logits", "Dimensions": [1,3], "Format/Datatype": "Row major linear FP32"}]}], "Bindings": []}"#;

impl Stand {
    pub fn new(folder: &Path) -> Self {
        let folder = folder.join("bin");
        fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    pub fn program(&self, name: &str, text: &str) {
        // Written by another process: a program that this one had open for writing while another test's thread forks
        // could not be started ("text file busy").
        let mut shell = Command::new("sh")
            .args(["-c", "cat > \"$1\" && chmod 755 \"$1\"", "sh"])
            .arg(self.folder.join(name))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        shell.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success());
    }

    /// A `trtexec` that says what the real one says, refuses options its release does not have, and writes its files.
    pub fn trtexec(&self, stand_in: &Trtexec) -> &Self {
        let record = self.folder.join("argv");
        fs::write(self.folder.join("options"), stand_in.options).unwrap();
        fs::write(self.folder.join("layers"), stand_in.layers).unwrap();
        let text = format!(
            r##"#!/bin/sh
echo "&&&& RUNNING TensorRT.trtexec [TensorRT v{number}] [b72] # $0 $*"
if [ "$1" = --help ]; then echo "=== Model Options ==="; exit 0; fi
printf '%s\n' "$@" > '{record}'
say() {{ echo "[11/24/2026-10:00:00] $*"; }}
fail() {{ say "[E] Engine set up failed"; echo "&&&& FAILED TensorRT.trtexec [TensorRT v{number}] [b72] # $0 $*"; exit 1; }}
for argument in "$@"; do
  name=${{argument%%=*}}; value=${{argument#*=}}
  if ! grep -qx -- "$name" '{options}'; then
    say "[E] Unknown option: $name $value"; fail
  fi
  case $name in
    --onnx) onnx=$value ;; --saveEngine) engine=$value ;; --exportLayerInfo) layers=$value ;; --timingCacheFile) cache=$value ;;
  esac
done
say "[I] === Device Information ==="
say "[I] Selected Device: NVIDIA H100 80GB HBM3"
say "[I] Compute Capability: 9.0"
say "[I] TensorRT version: {number}"
say "[I] Start parsing network model."
{play}
test -r "$onnx" || {{ say "[E] Failed to parse onnx file"; fail; }}
say "[I] Finished parsing network model. Parse time: 0.01"
say "[W] [TRT] a warning from the builder" >&2
say "[I] [TRT] Engine generation completed in 1.5 seconds."
{{ echo plan; cat "$onnx"; }} > "$engine"
say "[I] Engine built in 1.6 sec."
if [ -n "$cache" ]; then echo measured >> "$cache"; fi
cp '{layer_file}' "$layers"
say "[I] Skipped inference phase since --skipInference is added."
echo "&&&& PASSED TensorRT.trtexec [TensorRT v{number}] [b72] # $0 $*"
"##,
            number = stand_in.number,
            play = stand_in.play,
            record = record.display(),
            options = self.folder.join("options").display(),
            layer_file = self.folder.join("layers").display(),
        );
        self.program("trtexec", &text);
        self
    }

    pub fn nvidia_smi(&self, said: &str) -> &Self {
        self.program("nvidia-smi", &format!("#!/bin/sh\ncat <<'END'\n{said}\nEND\n"));
        self
    }

    /// A machine that has these programs and, for the shell of the scripts, the system's.
    pub fn machine(&self) -> Machine {
        Machine { path: self.folder.clone().into_os_string(), ..Machine::default() }
    }

    /// Arguments of the last build.
    pub fn argv(&self) -> Vec<String> {
        fs::read_to_string(self.folder.join("argv")).unwrap().lines().map(str::to_owned).collect()
    }
}

pub const H100: &str = "NVIDIA H100 80GB HBM3, 9.0, 570.86.15, 81559, GPU-0000-1111";

thread_local! {
    static MACHINE: RefCell<Machine> = RefCell::new(Machine::default());
}

/// The stage on the machine given with [`on`]: a test can't change its process's environment safely.
pub struct OnMachine;

impl Stage for OnMachine {
    type Params = Params;

    fn manifest() -> Manifest {
        TensorRt::manifest()
    }

    fn probe() -> Platform {
        MACHINE.with_borrow(platform)
    }

    fn run(context: &mut Context, params: Params) -> Result<()> {
        let machine = MACHINE.with_borrow(Clone::clone);
        run_on(context, &params, &machine)
    }
}

/// Sets the machine of this test.
pub fn on(machine: Machine) {
    MACHINE.set(machine);
}
