#!/usr/bin/env python3
"""What the engine itself costs, beside tools that do the same, in one go.

    cargo build --release --bin stagewright --example stage-fake
    pip install ninja 'dvc>=3.67'        # anywhere on PATH; what is absent is left out, with a word
    python3 tests/benches/engine_vs_ninja_openssl_dvc.py [--quick] [--at FOLDER]

Prints for graphs of 1,000 and 10,000 stages with nothing to do, as a chain and side by side, the median time of `stagewright run`,
`plan` and `check` and of `ninja` on the same graph, with the peak memory; the orchestrator's own CPU time for a stage that runs; and
the speed of taking in one large file and many small ones, beside `openssl dgst -sha256` and `dvc add`. --quick leaves out the graphs of
10,000 and takes smaller files.
"""

import argparse
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
RELEASE = pathlib.Path(os.environ.get("STAGEWRIGHT_BENCH_TARGET", ROOT / "target/release"))
ENVIRONMENT = {**os.environ, "NO_COLOR": "1", "STAGEWRIGHT_STORE": ""}


class Run:
    """A process that has ended: seconds of wall time, CPU time with its children's, and its own peak memory."""

    def __init__(self, command, folder):
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.wall = time.perf_counter() - began
        self.cpu = usage.ru_utime + usage.ru_stime
        self.memory = usage.ru_maxrss * 1024
        if process.returncode != 0:
            sys.exit(f"{command} ended with {process.returncode}:\n{said.decode()[-2000:]}")


def median(command, folder, rounds):
    runs = [Run(command, folder) for _ in range(rounds)]
    return statistics.median(run.wall for run in runs), max(run.memory for run in runs)


def programs(folder):
    """A folder with the release build and the tests' stage program, and nothing else."""
    shutil.copy(RELEASE / "stagewright", folder / "stagewright")
    shutil.copy(RELEASE / "examples/stage-fake", folder / "stagewright-stage-fake")
    return folder / "stagewright"


def pipeline(count, chain):
    lines = ["version: 1", f"name: {'chain' if chain else 'wide'}-{count}", "stages:"]
    for index in range(count):
        lines.append(f"  s{index}:")
        lines.append("    uses: fake")
        if chain and index > 0:
            lines.append(f'    inputs: {{ data: "${{{{ stages.s{index - 1}.outputs.out }}}}" }}')
        step = f"{{ step: write, port: out, path: out.txt, text: {index} s }}"
        lines.append(f"    with: {{ do: [ {step} ] }}")
    return "\n".join(lines) + "\n"


def ninja_file(count, chain):
    lines = ["rule write", "  command = echo x > $out"]
    for index in range(count):
        lines.append(f"build out/s{index}: write {f'out/s{index - 1}' if chain and index > 0 else ''}")
    return "\n".join(lines) + "\n"


def own_cpu(stagewright, folder):
    """CPU seconds that one stage program takes by itself, told what a run tells it."""
    program = stagewright.parent / "stagewright-stage-fake"
    out = folder / "alone"
    out.mkdir()
    hello = {"kind": "hello", "versions": [1], "speaker": "bench"}
    step = {"step": "write", "port": "out", "path": "out.txt", "text": "x"}
    request = {"kind": "run", "params": {"do": [step]}, "inputs": {}, "output-dir": str(out), "seed": 0}
    said = f"{json.dumps(hello)}\n{json.dumps(request)}\n".encode()
    rounds, before = 200, resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(rounds):
        subprocess.run([program], input=said, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / rounds


def graphs(base, counts):
    ninja = shutil.which("ninja")
    if ninja is None:
        print("ninja is not on PATH: left out")
    for count in counts:
        for chain in (True, False):
            name = f"{'chain' if chain else 'wide'} of {count:,}"
            folder = pathlib.Path(tempfile.mkdtemp(dir=base))
            (folder / "bin").mkdir()
            stagewright = programs(folder / "bin")
            project = folder / "project"
            project.mkdir()
            (project / "stagewright.toml").write_text("")
            (project / "pipeline.yaml").write_text(pipeline(count, chain))
            first = Run([stagewright, "run"], project)
            if count == counts[0] and not chain:
                alone = own_cpu(stagewright, folder)
                own = first.cpu / count - alone
                print(
                    f"{'a stage that runs':<17} {1e3 * own:6.2f} ms CPU of our own (at most 5 wanted), "
                    f"{1e3 * alone:.2f} ms of its program, {1e3 * first.wall / count:.2f} ms wall"
                )
            rounds = 7 if count <= 1000 else 3
            ran, memory = median([stagewright, "run"], project, rounds)
            planned, _ = median([stagewright, "plan"], project, rounds)
            checked, _ = median([stagewright, "check"], project, rounds)
            line = (
                f"{name:<17} run {1e3 * ran:6.0f} ms (at most {100 if count <= 1000 else 1000}), plan {1e3 * planned:.0f} ms, "
                f"check {1e3 * checked:.0f} ms, peak {memory / 1e6:.0f} MB"
            )
            if ninja is not None:
                (folder / "out").mkdir()
                (folder / "build.ninja").write_text(ninja_file(count, chain))
                Run([ninja], folder)
                theirs, _ = median([ninja], folder, rounds)
                line += f"; ninja {1e3 * theirs:.0f} ms, ratio {ran / theirs:.1f} (at most 5)"
            print(line, flush=True)
            shutil.rmtree(folder)


READING = """version: 1
stages:
  read:
    uses: fake
    inputs: { more: [ { path: data, type: KIND } ] }
    with: { do: [ { step: write, port: out, path: out.txt, text: x } ] }
"""


def reading_project(base, kind):
    folder = pathlib.Path(tempfile.mkdtemp(dir=base))
    (folder / "bin").mkdir()
    stagewright = programs(folder / "bin")
    project = folder / "project"
    project.mkdir()
    (project / "stagewright.toml").write_text("")
    (project / "pipeline.yaml").write_text(READING.replace("KIND", kind))
    return folder, project, stagewright


def one_large_file(base, size):
    folder, project, stagewright = reading_project(base, "file")
    with open(project / "data", "wb") as file:
        block = os.urandom(1 << 20)
        for _ in range(size >> 20):
            file.write(block)
    # A file of a moment ago is not trusted to stay as it is, so its digest is not remembered.
    time.sleep(1.5)
    index = project / ".stagewright/store/index-v1"

    def cold():
        shutil.rmtree(index, ignore_errors=True)
        return Run([stagewright, "plan"], project).wall

    cold()
    Run([stagewright, "plan"], project)
    base_line = statistics.median(Run([stagewright, "plan"], project).wall for _ in range(3))
    ours, theirs = [], []
    for _ in range(3):
        ours.append(cold() - base_line)
        theirs.append(Run(["openssl", "dgst", "-sha256", "data"], project).wall)
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    print(
        f"one file          {size / ours / 1e9:.2f} GB/s, openssl {size / theirs / 1e9:.2f} GB/s, "
        f"{100 * theirs / ours:.0f} % of its speed (at least 80)",
        flush=True,
    )
    shutil.rmtree(folder)


def many_small_files(base, count):
    folder, project, stagewright = reading_project(base, "dir")
    for index in range(count):
        path = project / "data" / str(index % 100)
        path.mkdir(parents=True, exist_ok=True)
        (path / f"{index}.bin").write_bytes(os.urandom(3000))
    time.sleep(1.5)
    first = Run([stagewright, "plan"], project).wall
    again = statistics.median(Run([stagewright, "plan"], project).wall for _ in range(5))
    line = f"{count:,} files of 3 kB  first {first:.2f} s, unchanged {again:.3f} s (at most 0.3)"
    dvc = shutil.which("dvc")
    if dvc is None:
        print(line + "; dvc is not on PATH: left out")
    else:
        theirs = folder / "dvc"
        theirs.mkdir()
        shutil.copytree(project / "data", theirs / "data")
        Run([dvc, "init", "--no-scm", "--quiet"], theirs)
        added = Run([dvc, "add", "--quiet", "data"], theirs).wall
        print(f"{line}; dvc add {added:.2f} s, ratio {added / first:.0f} (at least 10)", flush=True)
    shutil.rmtree(folder)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--at", default=None, help="folder for the projects [default: the system's for temporary files]")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.at) as base:
        graphs(base, [1000] if chosen.quick else [1000, 10_000])
        one_large_file(base, (256 if chosen.quick else 2048) << 20)
        many_small_files(base, 2000 if chosen.quick else 20_000)


if __name__ == "__main__":
    main()
