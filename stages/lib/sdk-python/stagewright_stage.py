"""Write a stage program for Stagewright in Python: this one file, nothing but the standard library, Python 3.9 or later.

Copy it beside your program, declare what the program takes and gives, and write the function that does the work:

    #!/usr/bin/env python3
    from stagewright_stage import Integer, Port, Stage, UserFault

    STAGE = Stage(
        name="head",
        version="0.1.0",
        cache_version=1,
        summary="the first lines of a text",
        inputs={"text": Port("file", "the text")},
        outputs={"head": Port("file", "its first lines", path="head.txt")},
        params={"lines": Integer("Lines to keep.", default=10, minimum=1)},
        determinism="bitwise",
    )

    @STAGE.run
    def run(context, params):
        lines = context.input("text").read_text().splitlines()
        if not lines:
            raise UserFault("the text is empty", hint="give a text with at least one line")
        context.metric("lines", len(lines))
        context.write("head", "\\n".join(lines[: params.lines]) + "\\n")

    if __name__ == "__main__":
        STAGE.main()

The file is called `stagewright-stage-<name>`, is executable and lies in a folder of `stages.paths` in stagewright.toml.
`stagewright stage test FILE` runs it through the protocol's conformance cases.

Everything that the program, or a library under it, prints to standard output ends up in the stage's log and never in the
protocol.
"""

import errno
import json
import math
import os
import re
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from types import SimpleNamespace

__all__ = [
    "Boolean",
    "Cancelled",
    "Choice",
    "EnvironmentFault",
    "Fault",
    "Input",
    "Integer",
    "InternalFault",
    "ListOf",
    "MapOf",
    "Number",
    "Params",
    "Platform",
    "Port",
    "Record",
    "Resources",
    "Stage",
    "Text",
    "UserFault",
]

#: Protocol versions that this file speaks.
VERSIONS = (1,)

#: Progress closer together than this many seconds is dropped, except the last one.
PROGRESS_INTERVAL = 0.1

_REQUIRED = object()


# Faults: who can mend it, what failed, what to do.


class Fault(Exception):
    """Why a stage did not work. Raise one of its three kinds; any other exception counts as `internal`."""

    #: `user`, `environment` or `internal`.
    kind = "internal"

    def __init__(self, message, hint=None):
        super().__init__(message)
        self.message = str(message)
        self.hint = hint


class UserFault(Fault):
    """Whoever wrote the pipeline or made the data can mend it."""

    kind = "user"


class EnvironmentFault(Fault):
    """Whoever runs the machine can mend it: a missing library, a full disk, a GPU out of memory."""

    kind = "environment"


class InternalFault(Fault):
    """The author of the stage can mend it."""

    kind = "internal"


class Cancelled(EnvironmentFault):
    """The host has asked the stage to stop."""

    def __init__(self):
        super().__init__("cancelled")


# Params: each kind gives its JSON Schema and turns the host's JSON into a Python value.


class _Param:
    """What every kind of param has: a description, a default (without one it is required), where they come from."""

    def __init__(self, description, default=_REQUIRED, source=None):
        if not description:
            raise ValueError("a param needs a description: it is what `stage describe` and editors show")
        self.description = description
        self.default = default
        self.source = source

    @property
    def required(self):
        return self.default is _REQUIRED

    def schema(self):
        schema = {"description": self.description}
        schema.update(self._words())
        if not self.required:
            schema["default"] = self.default
            if self.default is None:
                schema["type"] = [schema["type"], "null"]
        if self.source:
            schema["x-source"] = self.source
        return schema

    def read(self, value, path):
        """The value as Python has it; `path` is its name in messages."""
        if value is None and self.default is None:
            return None
        return self._read(value, path)

    def _words(self):
        raise NotImplementedError

    def _read(self, value, path):
        raise NotImplementedError


def _wrong(path, value, wanted):
    return UserFault(f"`{path}` is {json.dumps(value, ensure_ascii=False)}", hint=f"it is {wanted}")


class Boolean(_Param):
    """`true` or `false`."""

    def _words(self):
        return {"type": "boolean"}

    def _read(self, value, path):
        if not isinstance(value, bool):
            raise _wrong(path, value, "`true` or `false`")
        return value


class Text(_Param):
    """Text; `choices` are the only ones allowed, `pattern` is a regular expression that it has to match somewhere."""

    def __init__(self, description, default=_REQUIRED, choices=None, pattern=None, source=None):
        super().__init__(description, default, source)
        self.choices = list(choices) if choices else None
        self.pattern = pattern

    def _words(self):
        words = {"type": "string"}
        if self.choices:
            words["enum"] = self.choices + ([None] if self.default is None else [])
        if self.pattern:
            words["pattern"] = self.pattern
        return words

    def _read(self, value, path):
        if not isinstance(value, str):
            raise _wrong(path, value, "text")
        if self.choices and value not in self.choices:
            raise _wrong(path, value, "one of " + ", ".join(self.choices))
        if self.pattern and not re.search(self.pattern, value):
            raise _wrong(path, value, f"text that matches {self.pattern}")
        return value


class Choice(Text):
    """One of some words."""

    def __init__(self, description, choices, default=_REQUIRED, source=None):
        super().__init__(description, default, choices=choices, source=source)


class Number(_Param):
    """A number. `unit` (`bytes`, `ms`, `s`, `px`, `deg`, `fraction`, `percent`, `pp`) is what the stage gets it in, whatever
    unit the pipeline wrote."""

    _type = "number"

    def __init__(
        self,
        description,
        default=_REQUIRED,
        minimum=None,
        maximum=None,
        above=None,
        below=None,
        unit=None,
        source=None,
    ):
        super().__init__(description, default, source)
        self.minimum, self.maximum, self.above, self.below = minimum, maximum, above, below
        self.unit = unit

    def _words(self):
        bounds = {
            "type": self._type,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "exclusiveMinimum": self.above,
            "exclusiveMaximum": self.below,
            "x-unit": self.unit,
        }
        return {word: value for word, value in bounds.items() if value is not None}

    def _number(self, value, path):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise _wrong(path, value, "a number")
        return float(value)

    def _read(self, value, path):
        value = self._number(value, path)
        bounds = [
            (self.minimum, lambda bound: value >= bound, "at least"),
            (self.maximum, lambda bound: value <= bound, "at most"),
            (self.above, lambda bound: value > bound, "above"),
            (self.below, lambda bound: value < bound, "below"),
        ]
        for bound, holds, word in bounds:
            if bound is not None and not holds(bound):
                raise _wrong(path, value, f"{word} {bound}")
        return value


class Integer(Number):
    """A whole number."""

    _type = "integer"

    def _number(self, value, path):
        whole = isinstance(value, int) or isinstance(value, float) and value.is_integer()
        if isinstance(value, bool) or not whole:
            raise _wrong(path, value, "a whole number")
        return int(value)


class ListOf(_Param):
    """A list of values of one kind."""

    def __init__(self, description, item, default=_REQUIRED, shortest=None, longest=None, source=None):
        super().__init__(description, default, source)
        self.item, self.shortest, self.longest = item, shortest, longest

    def _words(self):
        words = {"type": "array", "items": self.item.schema()}
        if self.shortest is not None:
            words["minItems"] = self.shortest
        if self.longest is not None:
            words["maxItems"] = self.longest
        return words

    def _read(self, value, path):
        if not isinstance(value, list):
            raise _wrong(path, value, "a list")
        if self.shortest is not None and len(value) < self.shortest:
            raise _wrong(path, value, f"a list of at least {self.shortest}")
        if self.longest is not None and len(value) > self.longest:
            raise _wrong(path, value, f"a list of at most {self.longest}")
        return [self.item.read(item, f"{path}[{index}]") for index, item in enumerate(value)]


class MapOf(_Param):
    """A map from names that the user chooses to values of one kind."""

    def __init__(self, description, value, default=_REQUIRED, source=None):
        super().__init__(description, default, source)
        self.value = value

    def _words(self):
        return {"type": "object", "additionalProperties": self.value.schema()}

    def _read(self, value, path):
        if not isinstance(value, dict):
            raise _wrong(path, value, "a map")
        return {key: self.value.read(item, f"{path}.{key}") for key, item in value.items()}


class Record(_Param):
    """A map with fields of their own kinds."""

    def __init__(self, description, fields, default=_REQUIRED, source=None):
        super().__init__(description, default, source)
        self.fields = fields

    def _words(self):
        words = {
            "type": "object",
            "properties": {name: field.schema() for name, field in self.fields.items()},
            "additionalProperties": False,
        }
        required = [name for name, field in self.fields.items() if field.required]
        if required:
            words["required"] = required
        return words

    def _read(self, value, path):
        if not isinstance(value, dict):
            raise _wrong(path or "with", value, "a map")
        for key in value:
            if key not in self.fields:
                known = ", ".join(self.fields) or "none"
                raise UserFault(f"there is no param `{_join(path, key)}`", hint=f"there are: {known}")
        read = {}
        for name, field in self.fields.items():
            if name in value:
                read[name] = field.read(value[name], _join(path, name))
            elif field.required:
                raise UserFault(f"the param `{_join(path, name)}` is missing", hint=field.description)
            else:
                read[name] = field.read(field.default, _join(path, name))
        return Params(read)


def _join(path, name):
    return f"{path}.{name}" if path else name


class Params:
    """Params as attributes, with `_` for `-`: `params.batch_size` is `batch-size`. `params["batch-size"]` works too."""

    def __init__(self, values):
        self._values = values

    def __getattr__(self, name):
        values = self.__dict__.get("_values", {})
        for key in (name, name.replace("_", "-")):
            if key in values:
                return values[key]
        raise AttributeError(f"there is no param {name!r}; there are: {', '.join(values) or 'none'}")

    def __getitem__(self, name):
        return self._values[name]

    def __iter__(self):
        return iter(self._values)

    def __repr__(self):
        return f"Params({self._values!r})"


# What a stage says of itself.


class Port:
    """A typed input or output.

    `type` is a port type such as `dataset/images`, `model/onnx`, `file` or `dir`; an input may list alternatives with `|`.
    `path` is where an output lies inside the output folder. `many` makes an input take a list. `refuses_test_data` keeps
    data of role `test` out (training and calibration).
    """

    def __init__(self, type, summary, path=None, required=True, many=False, refuses_test_data=False):
        self.type, self.summary, self.path = type, summary, path
        self.required, self.many, self.refuses_test_data = required, many, refuses_test_data

    def manifest(self):
        port = {
            "type": self.type,
            "summary": self.summary,
            "required": self.required,
            "many": self.many,
            "refuses-test-data": self.refuses_test_data,
        }
        if self.path is not None:
            port["path"] = self.path
        return port


class Resources:
    """What a run wants when the pipeline does not say. `cpus` 0 asks for all; `memory` is in bytes, 0 is unstated;
    `exclusive` wants the machine alone (measurements)."""

    def __init__(self, cpus=1, memory=0, gpus=0, exclusive=False):
        self.cpus, self.memory, self.gpus, self.exclusive = cpus, memory, gpus, exclusive

    def manifest(self):
        return {"cpus": self.cpus, "memory": self.memory, "gpus": self.gpus, "exclusive": self.exclusive}


class Platform:
    """What this machine is to a stage: the answer of `@STAGE.probe`.

    `properties` change the result and are part of the cache key; `facts` are for `${{ host.<name> }}`; `missing` holds a
    `Fault` for each thing that the stage would need and does not find.
    """

    def __init__(self, properties=None, facts=None, missing=()):
        self.properties, self.facts, self.missing = properties or {}, facts or {}, list(missing)

    def message(self):
        return {
            "kind": "platform",
            "properties": {name: str(value) for name, value in self.properties.items()},
            "facts": self.facts,
            "missing": [_fault(fault) for fault in self.missing],
        }


class Input(SimpleNamespace):
    """Something bound to a port: `name`, `path`, `type`, and `role` of a dataset or None."""


class Context:
    """Inputs, outputs and the way to speak, for one run."""

    def __init__(self, stage, request, emit, cancelled):
        self._declared, self._request = stage, request
        self._emit, self._cancelled = emit, cancelled
        self._written, self._gates = {}, []
        self._last_progress = None
        #: Stage id as shown to people.
        self.stage = request["stage"]
        #: Seed of every random choice.
        self.seed = request["seed"]
        limits = request.get("limits", {})
        #: Threads to compute with, at least 1.
        self.threads = max(1, limits.get("threads", 1))
        #: Bytes of main memory; 0 is no limit.
        self.memory = limits.get("memory", 0)
        #: Folder for anything else; removed afterwards.
        self.scratch_dir = Path(request["scratch-dir"])
        #: Folder that outlives a stopped run of the same action, for checkpoints to resume from.
        self.checkpoint_dir = Path(request["checkpoint-dir"])

    def inputs(self, port):
        """Everything bound to a port, in the order of the pipeline."""
        if port not in self._declared.inputs:
            raise InternalFault(f"the manifest has no input `{port}`")
        return [
            Input(name=item["name"], path=Path(item["path"]), type=item["type"], role=item.get("role"))
            for item in self._request.get("inputs", {}).get(port, [])
        ]

    def input(self, port):
        """Path of a required input."""
        path = self.optional_input(port)
        if path is None:
            raise InternalFault(f"the host bound nothing to the required input `{port}`")
        return path

    def optional_input(self, port):
        """Path of an input that may be left unbound, else None."""
        bound = self.inputs(port)
        return bound[0].path if bound else None

    def output(self, port):
        """Where to write an output. Its parent folder exists afterwards, the file or folder itself does not. Counts it as
        written."""
        declared = self._declared.outputs.get(port)
        if declared is None or declared.path is None:
            raise InternalFault(f"the manifest has no output `{port}` with a path")
        path = Path(self._request["output-dir"]) / declared.path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._written[port] = declared.path
        return path

    def write(self, port, data):
        """Writes a file output whole, from text or bytes."""
        self.output(port).write_bytes(data.encode() if isinstance(data, str) else data)

    def write_json(self, port, value):
        """Writes a JSON output, indented, with a final newline."""
        self.write(port, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    def progress(self, done, total=0, unit="", message=""):
        """Says how far the work has come; `total` is 0 where it is not known. Call it as often as is easy: most calls are
        dropped. Raises `Cancelled` once the host has asked to stop, so a loop that reports progress stops by itself."""
        self.check_cancelled()
        now = time.monotonic()
        due = self._last_progress is None or now - self._last_progress >= PROGRESS_INTERVAL
        if due or done == total:
            self._last_progress = now
            self._event("progress", done=int(done), total=int(total), unit=unit, message=message)

    def metric(self, name, value, unit=None, step=None):
        """Reports a number. With `step` it is one point of a curve, and the last point is the metric."""
        value = float(value)
        if not math.isfinite(value):
            self.warn(f"metric {name} is {value}, which is not a number that can be kept")
            return
        self._event("metric", name=name, value=value, unit=unit, step=step)

    def log(self, message):
        """A line for the log."""
        self._event("log", level="info", message=str(message))

    def warn(self, message):
        """A line for the log that the user sees at the end of the run."""
        self._event("log", level="warning", message=str(message))

    def gate(self, name, passed, reason):
        """Records a check: `passed` is True, False, or None where it could not be measured. A failed one fails the run of
        the pipeline, but the outputs are kept."""
        status = {True: "passed", False: "failed", None: "not-applicable"}[passed]
        self._gates.append({"name": name, "status": status, "reason": reason})

    @property
    def is_cancelled(self):
        """True once the host has asked the stage to stop."""
        return self._cancelled.is_set()

    def check_cancelled(self):
        """Raises `Cancelled` once the host has asked the stage to stop."""
        if self.is_cancelled:
            raise Cancelled()

    def _event(self, event, **fields):
        fields = {name: value for name, value in fields.items() if value is not None}
        self._emit({"kind": "event", "event": event, **fields})

    def _finish(self):
        folder = Path(self._request["output-dir"])
        for port, declared in self._declared.outputs.items():
            if declared.required and port not in self._written:
                raise InternalFault(f"the stage ended without writing the output `{port}`")
        for port, path in self._written.items():
            if not (folder / path).exists():
                raise InternalFault(f"the output `{port}` was announced, but {path} is missing")
        return {"kind": "result", "outputs": self._written, "gates": self._gates}


class Stage:
    """A stage program: what it is, and by `@STAGE.run` what it does.

    `cache_version` is part of every cache key: raise it when the same inputs and params may give another result.
    `determinism` is `bitwise` (the same bytes), `tolerance` (the same numbers within one) or `none` (measurements).
    """

    def __init__(
        self,
        name,
        version,
        cache_version,
        summary,
        inputs=None,
        outputs=None,
        params=None,
        metrics=None,
        resources=None,
        determinism="none",
    ):
        if determinism not in ("bitwise", "tolerance", "none"):
            raise ValueError("determinism is bitwise, tolerance or none")
        self.name, self.version, self.cache_version, self.summary = name, version, cache_version, summary
        self.inputs, self.outputs = inputs or {}, outputs or {}
        self.params = Record("Params.", params or {})
        self.metrics, self.resources = metrics or {}, resources or Resources()
        self.determinism = determinism
        self._run, self._probe = None, None

    def run(self, function):
        """Decorates the function that does the work: `run(context, params)`."""
        self._run = function
        return function

    def probe(self, function):
        """Decorates a function without arguments that says what this machine is to the stage: a `Platform`."""
        self._probe = function
        return function

    @property
    def speaker(self):
        return f"stagewright-stage-{self.name} {self.version}"

    def manifest(self):
        """The self-description, as the protocol has it."""
        params = self.params.schema()
        del params["description"]
        return {
            "name": self.name,
            "version": self.version,
            "cache-version": self.cache_version,
            "summary": self.summary,
            "inputs": {name: port.manifest() for name, port in self.inputs.items()},
            "outputs": {name: port.manifest() for name, port in self.outputs.items()},
            "params": params,
            "resources": self.resources.manifest(),
            "probes": self._probe is not None,
            "determinism": self.determinism,
            "metrics": self.metrics,
        }

    def try_out(self, folder, params=None, inputs=None, seed=0):
        """One run inside a test, without a host. `inputs` maps ports to a path or a list of paths; the outputs lie in
        `folder`/out. Gives the paths of the outputs by port, the events, and the gates."""
        folder = Path(folder).absolute()
        for name in ("out", "scratch", "checkpoints"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        bound = {}
        for port, paths in (inputs or {}).items():
            paths = paths if isinstance(paths, (list, tuple)) else [paths]
            kind = self.inputs[port].type.split("|")[0].strip()
            bound[port] = [{"name": Path(p).name, "path": str(p), "type": kind} for p in paths]
        request = {
            "stage": "under-test",
            "params": params or {},
            "inputs": bound,
            "output-dir": str(folder / "out"),
            "scratch-dir": str(folder / "scratch"),
            "checkpoint-dir": str(folder / "checkpoints"),
            "seed": seed,
            "limits": {"threads": 1, "memory": 0},
        }
        events = []
        result = self._carry_out(request, events.append, threading.Event())
        outputs = {port: folder / "out" / path for port, path in result["outputs"].items()}
        return SimpleNamespace(outputs=outputs, events=events, gates=result["gates"])

    def main(self):
        """Speaks the protocol on stdin and stdout until one request is answered, then ends the process."""
        if sys.stdin is None or sys.stdin.isatty():
            print(f"{self.speaker}: {self.summary}", file=sys.stderr)
            print("This is a stage program; `stagewright run` starts it.", file=sys.stderr)
            sys.exit(2)
        # The protocol keeps a private duplicate, which no child inherits; descriptor 1 becomes stderr for Python and for
        # libraries that print from C.
        wire = _Wire(os.fdopen(os.dup(1), "wb", buffering=0))
        os.dup2(2, 1)
        sys.exit(0 if self._converse(wire, sys.stdin.buffer) else 1)

    def _converse(self, wire, lines):
        """True if the answer was no error."""
        line = lines.readline()
        if not line:
            return True
        hello = json.loads(line)
        wire.send({"kind": "hello", "versions": list(VERSIONS), "speaker": self.speaker})
        if not set(VERSIONS) & set(hello.get("versions", [])):
            theirs = f"{hello.get('speaker', 'the host')} speaks {hello.get('versions')}"
            fault = EnvironmentFault(
                f"{self.speaker} speaks protocol versions {list(VERSIONS)}, {theirs}",
                hint="install a stagewright_stage.py of the same release as stagewright",
            )
            wire.send({"kind": "error", **_fault(fault)})
            return False
        line = lines.readline()
        if not line:
            return True
        try:
            answer = self._answer(json.loads(line), wire, lines)
        except Fault as fault:
            answer = {"kind": "error", **_fault(fault)}
        except MemoryError:
            answer = {"kind": "error", **_fault(EnvironmentFault("out of memory"))}
        except OSError as error:
            traceback.print_exc()
            # A disk or a table of the system that is full is nobody's mistake in the stage.
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
            kind = EnvironmentFault if full else InternalFault
            answer = {"kind": "error", **_fault(kind(str(error)))}
        except Exception as error:  # noqa: BLE001: whatever a stage raises is an answer
            traceback.print_exc()
            what = traceback.format_exception_only(type(error), error)[-1].strip()
            fault = InternalFault(what, hint="this is a defect of the stage program; its log has the place")
            answer = {"kind": "error", **_fault(fault)}
        wire.send(answer)
        return answer["kind"] != "error"

    def _answer(self, request, wire, lines):
        kind = request.get("kind")
        if kind == "describe":
            return {"kind": "manifest", "manifest": self.manifest()}
        if kind == "probe" and self._probe is not None:
            return self._probe().message()
        if kind != "run":
            raise InternalFault(f"{self.speaker} does not know the request {kind!r}")
        cancelled = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: cancelled.set())
        # The host closes our stdin to cancel; whatever else it sends during a run is of a later version.
        threading.Thread(target=_wait_for_end, args=(lines.fileno(), cancelled), daemon=True).start()
        return self._carry_out(request, wire.send, cancelled)

    def _carry_out(self, request, emit, cancelled):
        if self._run is None:
            raise InternalFault("the program has no function under @STAGE.run")
        params = self.params.read(request["params"], "")
        context = Context(self, request, emit, cancelled)
        self._run(context, params)
        return context._finish()


class _Wire:
    """The way to the host: whole lines, one at a time."""

    def __init__(self, file):
        self._file, self._lock = file, threading.Lock()

    def send(self, message):
        line = json.dumps(message, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        with self._lock:
            while line:
                try:
                    line = line[self._file.write(line) :]
                except BrokenPipeError:
                    # A host that is gone stops us by closing our stdin; there is nobody left to tell.
                    return


def _wait_for_end(descriptor, cancelled):
    # Not through the buffered file, whose lock a thread must not hold when the interpreter ends.
    while os.read(descriptor, 1 << 16):
        pass
    cancelled.set()


def _fault(fault):
    told = {"class": fault.kind, "message": fault.message}
    if fault.hint:
        told["hint"] = str(fault.hint)
    return told
