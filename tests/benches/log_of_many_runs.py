#!/usr/bin/env python3
"""How long the history of a project with thousands of runs takes to show.

    cargo build --release --bin stagewright --example many-runs && python3 tests/benches/log_of_many_runs.py [RUNS]

Records 5,000 runs of 40 stages in a temporary project and prints the median wall time of `log -n 20` (at most 50 ms wanted), of
the whole log, of a diff of the last two runs, and of a table of the last ten.
"""

import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = 11
target = pathlib.Path(__file__).resolve().parents[2] / "target" / ("debug" if "--debug" in sys.argv else "release")
count = next((argument for argument in sys.argv[1:] if argument.isdigit()), "5000")


def milliseconds(command):
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1e3


with tempfile.TemporaryDirectory() as folder:
    subprocess.run([target / "examples/many-runs", folder, count], check=True)
    program = [target / "stagewright", "-C", folder]
    for arguments, wanted in [
        (["log", "-n", "20"], " (at most 50 wanted)"),
        (["log", "-n", "0"], ""),
        (["diff"], ""),
        (["compare"], ""),
    ]:
        times = [milliseconds([*program, *arguments]) for _ in range(ROUNDS)]
        print(f"{' '.join(arguments):12} of {count} runs  {statistics.median(times):7.1f} ms{wanted}")
