#!/usr/bin/env python3
"""Augmented images per second and core: Stagewright against Albumentations.

Both sides run in turn on one thread, on the same images and the same policy file, up to the normalized float input of a
network. The median of the rounds counts. Needs albumentations 2.0.8 and its OpenCV; run it from the project's root:

    python tests/benches/augment_vs_albumentations.py [--rounds 7] [--seconds 0.4] [--each]

--each adds a row for every transform by itself.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
import warnings

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A
import cv2
import numpy as np

cv2.setNumThreads(1)
warnings.filterwarnings("ignore")

BORDERS = {"constant": cv2.BORDER_CONSTANT, "reflect-101": cv2.BORDER_REFLECT_101, "replicate": cv2.BORDER_REPLICATE}


def small(size):
    """The usual policy for small images, with colours."""
    return [
        {"transform": "random-crop", "height": size, "width": size, "padding": size // 8, "border-mode": "reflect-101"},
        {"transform": "horizontal-flip"},
        {"transform": "shift-scale-rotate", "rotate-limit": [-15, 15]},
        {"transform": "hue-saturation-value"},
        {"transform": "random-brightness-contrast"},
        {"transform": "coarse-dropout"},
    ]


def full(size):
    """All nine."""
    return [
        {"transform": "random-resized-crop", "size": [size, size]},
        {"transform": "transpose"},
        {"transform": "horizontal-flip"},
        {"transform": "vertical-flip"},
        {"transform": "shift-scale-rotate"},
        {"transform": "hue-saturation-value"},
        {"transform": "random-brightness-contrast"},
        {"transform": "coarse-dropout"},
        {"transform": "random-crop", "height": size, "width": size, "padding": size // 8, "border-mode": "reflect-101"},
    ]


def crop_and_flip(size):
    """The least that is usual: no colours."""
    return small(size)[:2]


def twins(step):
    """The Albumentations transforms of one step of our policy."""
    params = {key: value for key, value in step.items() if key != "transform"}
    border = BORDERS[params.pop("border-mode", "constant")]
    match step["transform"]:
        case "random-crop":
            return [
                A.Pad(padding=params["padding"], border_mode=border),
                A.RandomCrop(height=params["height"], width=params["width"]),
            ]
        case "random-resized-crop":
            return [A.RandomResizedCrop(size=tuple(params["size"]))]
        case "shift-scale-rotate":
            rotate = tuple(params.get("rotate-limit", (-45, 45)))
            return [A.ShiftScaleRotate(rotate_limit=rotate, p=params.get("p", 0.5))]
        case name:
            kind = "".join(word.capitalize() for word in name.split("-"))
            return [getattr(A, kind)(**params)]


def theirs(policy, images, seconds):
    pipeline = A.Compose([transform for step in policy for transform in twins(step)] + [A.Normalize()], seed=0)
    for image in images:
        pipeline(image=image)
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        for image in images:
            # A network's input has the channels first; the view costs nothing, so the copy is left out in their favour.
            pipeline(image=image)["image"].transpose(2, 0, 1)
            done += 1
    return done / (time.perf_counter() - start)


def ours(program, policy_file, image_file, size, seconds):
    command = [program, policy_file, image_file, str(size), str(size), str(seconds)]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result["images"] / result["seconds"]


def photos(size, count=32):
    """Smooth colours with some noise, nearer to photos than noise alone."""
    rng = np.random.default_rng(0)
    images = []
    for _ in range(count):
        coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC).astype(np.int16)
        images.append(np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8))
    return images


def program():
    command = ["cargo", "build", "--release", "-p", "stagewright-stage-augment", "--example", "throughput"]
    subprocess.run(command, check=True)
    metadata = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--no-deps"], check=True, capture_output=True, text=True
    )
    return os.path.join(json.loads(metadata.stdout)["target_directory"], "release", "examples", "throughput")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--each", action="store_true")
    options = parser.parse_args()
    throughput = program()
    print(f"albumentations {A.__version__}, OpenCV {cv2.__version__}, one thread each, {options.rounds} rounds")
    print(f"{'policy':34} {'size':>9} {'ours/s':>10} {'theirs/s':>10} {'ratio':>7}")
    with tempfile.TemporaryDirectory() as folder:
        policy_file, image_file = os.path.join(folder, "policy.json"), os.path.join(folder, "images.rgb")
        for size in (32, 224):
            images = photos(size)
            np.stack(images).tofile(image_file)
            policies = [("crop and flip", crop_and_flip(size)), ("small images", small(size)), ("all nine", full(size))]
            if options.each:
                policies += [(step["transform"], [{**step, "p": 1}]) for step in full(size)]
            policies.append(("normalization alone", []))
            for name, policy in policies:
                with open(policy_file, "w") as file:
                    json.dump({"format": "stagewright/policy@1", "train": policy}, file)
                rounds = [
                    (ours(throughput, policy_file, image_file, size, options.seconds), theirs(policy, images, options.seconds))
                    for _ in range(options.rounds)
                ]
                mine, other = (statistics.median(side) for side in zip(*rounds))
                print(f"{name:34} {size:>4}×{size:<4} {mine:>10.0f} {other:>10.0f} {mine / other:>6.2f}×", flush=True)


if __name__ == "__main__":
    main()
