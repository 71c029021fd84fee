"""INT8 by the stage `quantize` against onnxruntime.quantization, on the same FP32 model and the same images.

    python3 tests/benches/quantize_vs_onnxruntime.py [--program target/release/stagewright-stage-quantize]

Makes a network of ResNet-18's shape for 32×32 images, trains it for a moment on made-up textures, exports it, lets both
quantize it (U8 activations, S8 weights per channel, MinMax, the same calibration images), and runs FP32 and both INT8 models
alternately. Prints accuracy, prediction agreement with FP32, latency, size, and the ratios ours / theirs.

With `--model`, `--data` and `--preprocess` it takes a model and images of yours instead: `data` is a folder
`train/<class>/*.png` and `validation/<class>/*.png` at the contract's size.

Needs numpy, pillow, onnx, onnxruntime, and torch for a network of its own. `--program` may be a debug build: it makes the same
model, only the making takes longer.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ["checks", "dots", "stripes-flat", "stripes-steep"]


def texture(label, generator, size=32):
    """One image of a class, with noise strong enough that the classes overlap."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    period, phase = generator.uniform(5, 9), generator.uniform(0, 6.28, 2)
    angle = generator.normal(0, 0.22)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    a, b = np.sin(6.28 * u / period + phase[0]), np.sin(6.28 * v / period + phase[1])
    pattern = [np.sign(a * b), a * b * 1.4, b, a][label]
    image = 128 + 22 * pattern[..., None] * generator.uniform(0.4, 1.2, 3) + generator.normal(0, 52, (size, size, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def make_images(folder, per_class):
    generator = np.random.default_rng(0)
    for split, count in per_class.items():
        for label, name in enumerate(CLASSES):
            target = folder / split / name
            target.mkdir(parents=True)
            for index in range(count):
                Image.fromarray(texture(label, generator)).save(target / f"{index:05}.png")


def load(folder, split, contract):
    values, labels = [], []
    for label, name in enumerate(contract["classes"]):
        for path in sorted((folder / split / name).iterdir()):
            values.append(np.asarray(Image.open(path).convert("RGB"), dtype=np.float32))
            labels.append(label)
    mean, std = np.float32(contract["mean"]), np.float32(contract["std"])
    images = (np.stack(values) / np.float32(255) - mean) / std
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32), np.array(labels)


def network(widths, classes):
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, inside, out, stride):
            super().__init__()
            self.a = nn.Sequential(nn.Conv2d(inside, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU())
            self.b = nn.Sequential(nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out))
            same = stride == 1 and inside == out
            self.short = nn.Identity() if same else nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))

        def forward(self, x):
            return torch.relu(self.b(self.a(x)) + self.short(x))

    layers, inside = [nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()], widths[0]
    for stage, width in enumerate(widths):
        layers += [Block(inside, width, 1 if stage == 0 else 2), Block(width, width, 1)]
        inside = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, classes))


def train(path, images, labels, widths, steps):
    import torch

    torch.manual_seed(0)
    net = network(widths, len(CLASSES))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    images, labels = torch.from_numpy(images), torch.from_numpy(labels)
    for step in range(steps):
        batch = torch.randint(0, len(images), (64,))
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(images[batch]), labels[batch])
        loss.backward()
        optimizer.step()
        schedule.step()
    print(f"trained {steps} steps, loss {loss.item():.3f}", flush=True)
    torch.onnx.export(
        net.eval(), (images[:2],), path, dynamo=False, opset_version=18, input_names=["input"], output_names=["logits"],
        dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}},
    )


def ours(program, model, data, contract, params, folder):
    """Speaks the protocol with the stage program: one line a message."""
    folders = {name: folder / name for name in ("out", "scratch", "checkpoints")}
    for path in folders.values():
        path.mkdir()
    bound = lambda path, kind: [{"name": kind, "path": str(path), "type": kind}]
    request = {
        "kind": "run", "stage": "quantize", "params": params, "seed": 0, "limits": {"threads": os.cpu_count(), "memory": 0},
        "inputs": {
            "model": bound(model, "model/onnx"), "calibration": bound(data, "dataset/images"), "preprocess": bound(contract, "preprocess"),
        },
        "output_dir": str(folders["out"]), "scratch_dir": str(folders["scratch"]), "checkpoint_dir": str(folders["checkpoints"]),
    }
    request = {key.replace("_", "-"): value for key, value in request.items()}
    process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for message in ({"kind": "hello", "versions": [1], "speaker": "bench"}, request):
        process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()
    for line in process.stdout:
        message = json.loads(line)
        if message["kind"] == "error":
            raise SystemExit(f"the stage failed: {message}")
        if message["kind"] == "result":
            return folders["out"] / message["outputs"]["model"]
    raise SystemExit("the stage ended without a result")


class Reader(CalibrationDataReader):
    def __init__(self, name, images):
        self.batches = iter([{name: images[start : start + 32]} for start in range(0, len(images), 32)])

    def get_next(self):
        return next(self.batches, None)


def theirs(model, images, folder):
    optimized, quantized = folder / "optimized.onnx", folder / "theirs.onnx"
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(optimized)
    session = onnxruntime.InferenceSession(model, options)
    quantize_static(
        optimized, quantized, Reader(session.get_inputs()[0].name, images), quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, per_channel=True,
    )
    return quantized


def session(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    return onnxruntime.InferenceSession(path, options)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=str(ROOT / "target/release/stagewright-stage-quantize"))
    parser.add_argument("--model"), parser.add_argument("--data"), parser.add_argument("--preprocess")
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--methods", nargs="+", default=["minmax"], help="methods of ours to compare")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--keep", help="folder to copy the models to")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if arguments.model:
            model, data, contract_path = (Path(path).resolve() for path in (arguments.model, arguments.data, arguments.preprocess))
            contract = json.loads(contract_path.read_text())
            images, _ = load(data, "train", contract)
        else:
            model, data, contract_path = folder / "fp32.onnx", folder / "data", folder / "preprocess.json"
            contract = {
                "format": "stagewright/preprocess@1", "size": [32, 32], "resize": "squash", "interpolation": "bilinear",
                "channels": "rgb", "mean": [0.5, 0.5, 0.5], "std": [0.23, 0.23, 0.23], "classes": CLASSES,
                "splits": {"validation-fraction": 0.0, "test-fraction": 0.0, "seed": 0},
            }
            contract_path.write_text(json.dumps(contract))
            # All of the training split is calibrated on, so that both sides see the same images.
            make_images(data, {"train": arguments.samples // len(CLASSES), "validation": 250})
            images, labels = load(data, "train", contract)
            train(model, images, labels, arguments.widths, arguments.steps)
        validation, labels = load(data, "validation", contract)

        models = {"FP32": model, "onnxruntime": theirs(model, images[: arguments.samples], folder)}
        for method in arguments.methods:
            place = folder / method
            place.mkdir()
            params = {"samples": arguments.samples, "method": method}
            models[f"ours {method}"] = ours(arguments.program, model, data, contract_path, params, place)

        if arguments.keep:
            Path(arguments.keep).mkdir(parents=True, exist_ok=True)
            for key, path in models.items():
                shutil.copy(path, Path(arguments.keep) / f"{key.replace(' ', '-')}.onnx")
        sessions = {name: session(path, arguments.threads) for name, path in models.items()}
        name = next(iter(sessions.values())).get_inputs()[0].name
        logits = {
            key: np.concatenate([s.run(None, {name: validation[i : i + 50]})[0] for i in range(0, len(validation), 50)])
            for key, s in sessions.items()
        }
        times = {(key, batch): [] for key in sessions for batch in (1, 32)}
        for batch in (1, 32):
            values = np.ascontiguousarray(validation[:batch])
            for s in sessions.values():
                for _ in range(5):
                    s.run(None, {name: values})
            # Alternating, each time another one first: whatever else the machine does meets all of them alike.
            order = list(sessions.items())
            for turn in range(arguments.repetitions):
                for key, s in order[turn % len(order) :] + order[: turn % len(order)]:
                    start = time.perf_counter()
                    s.run(None, {name: values})
                    times[key, batch].append(1e3 * (time.perf_counter() - start))
        median = {key: float(np.median(values)) for key, values in times.items()}
        print(f"\nonnxruntime {onnxruntime.__version__}, {arguments.threads} threads, {len(labels)} validation images, medians of {arguments.repetitions}\n")
        print(f"{'':16} {'top-1 %':>8} {'agree %':>8} {'SQNR dB':>8} {'b1 ms':>8} {'b32 ms':>8} {'MB':>7} {'FP32/b1':>8} {'FP32/b32':>8}")
        for key in sessions:
            top1 = 100 * np.mean(logits[key].argmax(1) == labels)
            agree = 100 * np.mean(logits[key].argmax(1) == logits["FP32"].argmax(1))
            noise = np.sum((logits[key] - logits["FP32"]) ** 2)
            sqnr = 10 * np.log10(np.sum(logits["FP32"] ** 2) / noise) if noise > 0 else float("inf")
            one, many = median[key, 1], median[key, 32]
            size = Path(models[key]).stat().st_size / 1e6
            print(f"{key:16} {top1:8.2f} {agree:8.2f} {sqnr:8.2f} {one:8.2f} {many:8.2f} {size:7.2f} {median['FP32', 1] / one:8.2f} {median['FP32', 32] / many:8.2f}")
        for key in sessions:
            if key.startswith("ours"):
                gain = 100 * (np.mean(logits[key].argmax(1) == labels) - np.mean(logits["onnxruntime"].argmax(1) == labels))
                print(f"{key} against onnxruntime: accuracy {gain:+.2f} pp, speed", end="")
                for batch in (1, 32):
                    # The fastest run says most on a machine with other work.
                    fastest = min(times["onnxruntime", batch]) / min(times[key, batch])
                    print(f" ×{median['onnxruntime', batch] / median[key, batch]:.3f} (batch {batch}; fastest ×{fastest:.3f})", end="")
                print()


if __name__ == "__main__":
    main()
