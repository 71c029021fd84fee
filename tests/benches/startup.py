#!/usr/bin/env python3
"""Size of the orchestrator's release binary and how long it takes to be up.

    cargo build --release && python3 tests/benches/startup.py

Prints the size, and the median wall time of `stagewright --version` beside that of `/bin/true`, alternating, so that what the system
takes to start any process is told apart.
"""

import pathlib
import statistics
import subprocess
import time

ROUNDS = 101
binary = pathlib.Path(__file__).resolve().parents[2] / "target/release/stagewright"


def milliseconds(command):
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1e3


ours, theirs = [], []
for _ in range(ROUNDS):
    ours.append(milliseconds([binary, "--version"]))
    theirs.append(milliseconds(["/bin/true"]))
own, base = statistics.median(ours), statistics.median(theirs)
print(f"size     {binary.stat().st_size / 1e6:.1f} MB (at most 25 wanted)")
print(f"start    {own:.2f} ms, /bin/true {base:.2f} ms, ratio {own / base:.2f} (at most 10 ms wanted)")
