"""Tests of the SDK: python3 -m unittest"""

import json
import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

import stagewright_stage as sdk

HERE = Path(__file__).parent


def stage(**fields):
    return sdk.Stage("probe", "1.0.0", 1, "a stage under test", **fields)


class Schemas(unittest.TestCase):
    def test_a_param_says_what_it_takes(self):
        schema = sdk.Number("Learning rate.", default=0.1, above=0, maximum=1, unit="fraction", source="a paper").schema()
        self.assertEqual(
            schema,
            {
                "description": "Learning rate.",
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": 1,
                "x-unit": "fraction",
                "x-source": "a paper",
                "default": 0.1,
            },
        )

    def test_a_default_of_none_makes_null_a_value(self):
        param = sdk.Choice("A word.", ["a", "b"], default=None)
        self.assertEqual(param.schema()["type"], ["string", "null"])
        self.assertEqual(param.schema()["enum"], ["a", "b", None])
        self.assertIsNone(param.read(None, "x"))

    def test_params_without_a_default_are_required(self):
        schema = stage(params={"a": sdk.Integer("A."), "b": sdk.Boolean("B.", default=False)}).manifest()["params"]
        self.assertEqual(schema["required"], ["a"])
        self.assertFalse(schema["additionalProperties"])

    def test_a_param_without_words_is_a_mistake_of_the_author(self):
        with self.assertRaises(ValueError):
            sdk.Boolean("")


class Reading(unittest.TestCase):
    def read(self, param, value):
        return sdk.Record("Params.", {"x": param}).read({"x": value}, "").x

    def test_values_come_out_as_python_has_them(self):
        self.assertEqual(self.read(sdk.Integer("N."), 3.0), 3)
        self.assertIsInstance(self.read(sdk.Number("N."), 3), float)
        self.assertEqual(self.read(sdk.ListOf("L.", sdk.Text("T.")), ["a"]), ["a"])
        self.assertEqual(self.read(sdk.MapOf("M.", sdk.Integer("N.")), {"k": 1}), {"k": 1})
        inner = self.read(sdk.Record("R.", {"batch-size": sdk.Integer("N.", default=8)}), {})
        self.assertEqual((inner.batch_size, inner["batch-size"]), (8, 8))

    def test_what_does_not_fit_names_the_param_and_what_fits(self):
        cases = [
            (sdk.Integer("N."), 1.5, "a whole number"),
            (sdk.Integer("N."), True, "a whole number"),
            (sdk.Number("N.", above=0), 0, "above 0"),
            (sdk.Number("N.", below=1), 1, "below 1"),
            (sdk.Number("N."), "1", "a number"),
            (sdk.Boolean("B."), 1, "`true` or `false`"),
            (sdk.Text("T.", pattern="^a"), "b", "text that matches ^a"),
            (sdk.Choice("C.", ["a", "b"]), "c", "one of a, b"),
            (sdk.ListOf("L.", sdk.Text("T."), shortest=1), [], "a list of at least 1"),
            (sdk.Record("R.", {}), [], "a map"),
        ]
        for param, value, wanted in cases:
            with self.assertRaises(sdk.UserFault) as raised:
                self.read(param, value)
            self.assertIn("`x`", raised.exception.message)
            self.assertEqual(raised.exception.hint, f"it is {wanted}")

    def test_unknown_and_missing_params_are_the_users(self):
        record = sdk.Record("Params.", {"a": sdk.Integer("A.")})
        for value, message in [({"b": 1}, "there is no param `b`"), ({}, "the param `a` is missing")]:
            with self.assertRaises(sdk.UserFault) as raised:
                record.read(value, "")
            self.assertEqual(raised.exception.message, message)


class Conversation(unittest.TestCase):
    """The protocol, over the pipes of a process."""

    def converse(self, body, request, versions=(1,)):
        text = f"""
            import os, sys
            sys.path.insert(0, {str(HERE)!r})
            from stagewright_stage import *
            STAGE = Stage("probe", "1.0.0", 1, "a stage under test", outputs={{"out": Port("file", "o", path="o")}},
                          params={{"n": Integer("N.", default=1)}})
            @STAGE.run
            def run(context, params):
                {body}
            STAGE.main()
        """
        lines = [{"kind": "hello", "versions": list(versions), "speaker": "test"}, request]
        with tempfile.TemporaryDirectory() as folder:
            if request["kind"] == "run":
                for name in ("output-dir", "scratch-dir", "checkpoint-dir"):
                    request[name] = folder
                request.update(stage="s", inputs={}, seed=1, limits={"threads": 1, "memory": 0})
                request.setdefault("params", {})
            done = subprocess.run(
                [sys.executable, "-B", "-c", textwrap.dedent(text)],
                input="".join(json.dumps(line) + "\n" for line in lines),
                capture_output=True,
                text=True,
                timeout=60,
            )
        return [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    def closing(self, body, **fields):
        said, stderr = self.converse(body, {"kind": "run", **fields})
        return said[-1], stderr

    def test_prints_never_reach_the_protocol(self):
        body = "print('from Python'); os.system('echo from a child'); os.write(1, b'from C\\n'); context.write('out', 'x')"
        said, stderr = self.converse(body, {"kind": "run"})
        self.assertEqual([message["kind"] for message in said], ["hello", "result"])
        for text in ("from Python", "from a child", "from C"):
            self.assertIn(text, stderr)

    def test_every_exception_becomes_an_answer(self):
        cases = [
            ("raise UserFault('m', hint='h')", "user"),
            ("raise EnvironmentFault('m')", "environment"),
            ("raise MemoryError()", "environment"),
            ("raise OSError(28, 'No space left on device')", "environment"),
            ("1 / 0", "internal"),
            ("pass", "internal"),
        ]
        for body, kind in cases:
            answer, _ = self.closing(body)
            self.assertEqual((answer["kind"], answer["class"]), ("error", kind), body)

    def test_wrong_params_are_the_users(self):
        answer, _ = self.closing("pass", params={"n": "many"})
        self.assertEqual(answer["class"], "user")

    def test_numbers_that_json_has_no_words_for_become_warnings(self):
        said, _ = self.converse("context.metric('loss', float('nan')); context.write('out', b'')", {"kind": "run"})
        self.assertEqual([message.get("level") for message in said[1:-1]], ["warning"])

    def test_a_closed_input_stops_a_loop_that_reports_progress(self):
        # `subprocess.run` closes the pipe once the request is written.
        body = "import time\n                while True: context.progress(1); time.sleep(0.01)"
        answer, _ = self.closing(body)
        self.assertEqual((answer["class"], answer["message"]), ("environment", "cancelled"))

    def test_a_host_of_another_version_is_told_both(self):
        said, _ = self.converse("pass", {"kind": "describe"}, versions=(7,))
        self.assertEqual([message["kind"] for message in said], ["hello", "error"])
        self.assertIn("[7]", said[1]["message"])

    def test_unknown_requests_are_answered(self):
        said, _ = self.converse("pass", {"kind": "x-later"})
        self.assertEqual(said[-1]["kind"], "error")


if __name__ == "__main__":
    unittest.main()
