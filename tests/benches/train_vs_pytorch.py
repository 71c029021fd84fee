"""Training throughput of the stage `train` against a plain PyTorch loop, alternately, with the same network, batch size, threads
and augmentation (padded random crop and horizontal flip, then normalization).

    cargo build --release -p stagewright-stage-train
    python tests/benches/train_vs_pytorch.py --rounds 3

PyTorch's side reads the images from memory, augments each with Albumentations (or with plain numpy: the faster one for
PyTorch of the two is `--theirs numpy`) in a DataLoader of `--workers` processes, and computes in the given precision.
Ours runs the release program over its protocol and takes the rate it reports for every epoch. The first epoch of each
run is warm-up on both sides. Needs torch, numpy, and albumentations where asked for.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
MEAN, STD = [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]


def make_dataset(folder, count):
    """A CIFAR-10 binary folder of random images."""
    rng = np.random.default_rng(0)
    labels = (np.arange(count) % 10).astype(np.uint8)[:, None]
    pixels = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
    (folder / "data_batch_1.bin").write_bytes(np.concatenate([labels, pixels], 1).tobytes())
    (folder / "batches.meta.txt").write_text("".join(f"c{index}\n" for index in range(10)))
    return pixels.reshape(count, 3, 32, 32).transpose(0, 2, 3, 1).copy(), labels[:, 0].astype(np.int64)


def ours(args, folder, precision):
    contract = {
        "format": "stagewright/preprocess@1", "size": [32, 32], "resize": "squash", "interpolation": "bilinear",
        "channels": "rgb", "mean": MEAN, "std": STD, "classes": [f"c{index}" for index in range(10)],
        "splits": {"validation-fraction": 0.0, "test-fraction": 0.0, "seed": 0},
    }
    policy = {"format": "stagewright/policy@1", "train": [
        {"transform": "random-crop", "height": 32, "width": 32, "padding": 4},
        {"transform": "horizontal-flip", "p": 0.5},
    ]}
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        (work / "preprocess.json").write_text(json.dumps(contract))
        (work / "policy.json").write_text(json.dumps(policy))
        for name in ("out", "scratch", "checkpoints"):
            (work / name).mkdir()
        params = {
            "architecture": {"kind": "resnet", "depths": args.depths, "widths": args.widths},
            "epochs": args.epochs + 1, "batch-size": args.batch, "precision": precision, "device": "cpu",
            "prefetch": args.prefetch, "channels-last": not args.no_channels_last,
        }
        entry = lambda path, kind: [{"name": "x", "path": str(path), "type": kind}]
        request = {
            "kind": "run", "stage": "train", "params": params,
            "inputs": {
                "data": entry(folder, "dataset/images"),
                "preprocess": entry(work / "preprocess.json", "preprocess"),
                "policy": entry(work / "policy.json", "augment/policy"),
            },
            "output-dir": str(work / "out"), "scratch-dir": str(work / "scratch"),
            "checkpoint-dir": str(work / "checkpoints"), "seed": 0, "limits": {"threads": args.threads, "memory": 0},
        }
        hello = {"kind": "hello", "versions": [1], "speaker": "bench"}
        program = subprocess.Popen([args.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        # The program's stdin stays open: closing it would cancel the run.
        program.stdin.write(json.dumps(hello) + "\n" + json.dumps(request) + "\n")
        program.stdin.flush()
        rates = []
        for line in program.stdout:
            message = json.loads(line)
            if message.get("kind") == "error":
                raise SystemExit(f"the stage failed: {message}")
            if message.get("event") == "metric" and message["name"] == "images-per-second":
                rates.append(message["value"])
        program.wait()
    return rates[1:]


THEIRS = """
import json, sys, time
import numpy as np, torch
from torch import nn
args = json.loads(sys.argv[1])
torch.set_num_threads(args["threads"])
torch.manual_seed(0)

def norm(width): return nn.BatchNorm2d(width)

class Block(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False), norm(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), norm(width)
        self.relu = nn.ReLU(inplace=True)
        self.down = None
        if stride != 1 or inputs != width:
            self.down = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), norm(width))
    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.down is None else self.down(x)))

def network(depths, widths):
    layers, inputs = [nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), norm(widths[0]), nn.ReLU(inplace=True)], widths[0]
    for stage, (depth, width) in enumerate(zip(depths, widths)):
        for block in range(depth):
            layers.append(Block(inputs, width, 2 if stage and not block else 1))
            inputs = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10))

images = np.load(args["images"]); labels = np.load(args["labels"])
mean = np.array(args["mean"], np.float32); std = np.array(args["std"], np.float32)
if args["theirs"] == "albumentations":
    import albumentations as A
    chain = A.Compose([A.PadIfNeeded(40, 40, border_mode=4), A.RandomCrop(32, 32), A.HorizontalFlip(p=0.5), A.Normalize(args["mean"], args["std"])])
    augment = lambda image: chain(image=image)["image"]
else:
    def augment(image):
        padded = np.pad(image, ((4, 4), (4, 4), (0, 0)), mode="reflect")
        y, x = np.random.randint(0, 9, 2)
        part = padded[y:y + 32, x:x + 32]
        if np.random.rand() < 0.5: part = part[:, ::-1]
        return (part.astype(np.float32) / 255 - mean) / std

class Images(torch.utils.data.Dataset):
    def __len__(self): return len(images)
    def __getitem__(self, index):
        return torch.from_numpy(np.ascontiguousarray(augment(images[index]).transpose(2, 0, 1))), labels[index]

loader = torch.utils.data.DataLoader(Images(), batch_size=args["batch"], shuffle=True, drop_last=True, num_workers=args["workers"], persistent_workers=args["workers"] > 0)
model = network(args["depths"], args["widths"])
if args["channels_last"]: model = model.to(memory_format=torch.channels_last)
steps = len(loader) * (args["epochs"] + 1)
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05, fused=True)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
half = args["precision"] == "bf16"
for epoch in range(args["epochs"] + 1):
    started, seen, correct, total = time.perf_counter(), 0, 0, 0.0
    for batch, target in loader:
        if args["channels_last"]: batch = batch.contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = model(batch)
        loss = nn.functional.cross_entropy(logits.float(), target, label_smoothing=0.05)
        loss.backward()
        optimizer.step(); schedule.step()
        total += loss.item() * len(target); correct += (logits.argmax(1) == target).sum().item(); seen += len(target)
    print(seen / (time.perf_counter() - started), flush=True)
"""


def theirs(args, arrays, precision, channels_last):
    config = {
        "threads": args.threads, "depths": args.depths, "widths": args.widths, "batch": args.batch, "epochs": args.epochs,
        "precision": precision, "workers": args.workers, "theirs": args.theirs, "channels_last": channels_last,
        "images": str(arrays / "images.npy"), "labels": str(arrays / "labels.npy"), "mean": MEAN, "std": STD,
    }
    command = [args.python, "-c", THEIRS, json.dumps(config)]
    output = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return [float(line) for line in output.split()][1:]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "target/release/stagewright-stage-train"))
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=2, help="measured epochs per run, after one of warm-up")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--prefetch", type=int, default=0)
    parser.add_argument("--no-channels-last", action="store_true")
    parser.add_argument("--theirs", choices=["albumentations", "numpy"], default="albumentations")
    parser.add_argument("--depths", type=int, nargs="+", default=[3, 3, 3])
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 64])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "dataset").mkdir()
        images, labels = make_dataset(folder / "dataset", args.images)
        np.save(folder / "images.npy", images)
        np.save(folder / "labels.npy", labels)
        sides = {
            "ours fp32": lambda: ours(args, folder / "dataset", "fp32"),
            "PyTorch fp32": lambda: theirs(args, folder, "fp32", False),
            "ours bf16": lambda: ours(args, folder / "dataset", "bf16"),
            "PyTorch bf16, channels-last": lambda: theirs(args, folder, "bf16", True),
        }
        rates = {name: [] for name in sides}
        for index in range(args.rounds):
            for name, run in sides.items():
                found = run()
                rates[name] += found
                print(f"round {index + 1}: {name}: {' '.join(f'{rate:.0f}' for rate in found)} images/s (load {os.getloadavg()[0]:.1f})", flush=True)
        median = {name: statistics.median(values) for name, values in rates.items()}
        print()
        for name, rate in median.items():
            print(f"{name:30} {rate:8.0f} images/s")
        print(f"fp32, ours / PyTorch               {median['ours fp32'] / median['PyTorch fp32']:.2f}  (wanted: 1 or more)")
        print(f"bf16, ours / PyTorch               {median['ours bf16'] / median['PyTorch bf16, channels-last']:.2f}  (wanted: 1 or more)")
        print(f"ours bf16 / PyTorch fp32           {median['ours bf16'] / median['PyTorch fp32']:.2f}  (wanted: 2 or more)")


if __name__ == "__main__":
    main()
