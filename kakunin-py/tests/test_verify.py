"""The verifier in Python: the verdict is the command line's, and never true by accident."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import kakunin
import pytest
from kakunin import _verify

RUN = Path(__file__).parents[2] / "examples" / "python" / "incident" / "run.py"


class Case:
    """The incident of three agents and two owners, as a stranger gets it."""

    def __init__(self, cli, folder: Path):
        self.cli, self.folder = cli, folder
        self.bundle = folder / "incident.zip"
        self.roots = [folder / "shop.pem", folder / "bank.pem"]
        self.keys = json.loads((folder / "keys.json").read_text())
        self.policy = folder / "policy.txt"

    def verify(self, path=None, **changes):
        known = {"roots": self.roots, "log_keys": self.keys, "witness_policy": self.policy, "replay": True}
        return kakunin.verify(path or self.bundle, **{**known, **changes})

    def said(self, path=None, *more):
        """What the command line says to the same question."""
        words = [word for root in self.roots for word in ("--root", root)]
        words += [word for key in self.keys for word in ("--log-key", key)]
        words += ["--witness-policy", self.policy, "--replay", *more]
        done = self.cli("verify", path or self.bundle, *words, "--json", check=False)
        return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def case(cli, tmp_path_factory):
    folder = tmp_path_factory.mktemp("incident") / "kept"
    done = subprocess.run(
        [sys.executable, str(RUN), str(folder)], capture_output=True, text=True, env={**os.environ}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Case(cli, folder)


def test_the_verdict_is_the_one_of_the_command_line(case, tmp_path):
    whole = case.bundle.read_bytes()
    tampered, cut, empty = tmp_path / "tampered.zip", tmp_path / "cut.zip", tmp_path / "empty"
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    tampered.write_bytes(flipped)
    cut.write_bytes(whole[:-1])
    empty.mkdir()
    cases = {case.bundle: "COMPLETE", tampered: "INVALID", empty: "EMPTY"}
    for path, verdict in cases.items():
        verification = case.verify(path)
        assert verification.verdict == verdict
        assert (verification.exit_code, verification.to_dict()) == case.said(path)
        assert (verification.exit_code, verification.to_dict(timeline=True)) == case.said(path, "--timeline")
        assert verification.complete is (verdict == "COMPLETE")
    # A part of a bundle accuses nobody.
    with pytest.raises(kakunin.CannotVerify, match=r"cut\.zip: no bundle"):
        case.verify(cut)
    # Whoever believes no log and no witness cannot tell what lacks.
    alone = kakunin.verify(case.bundle, roots=case.roots)
    assert (alone.verdict, alone.exit_code) == ("AUTHENTIC-NOT-COMPLETE", 3)
    assert {problem.code for problem in alone.problems} == {"tail.not_witnessed"}
    assert len(alone.notes) == 2 and "--log-key" in alone.notes[0]


def test_what_was_found_is_typed_and_frozen(case, tmp_path):
    verification = case.verify()
    assert verification.problems == () and verification.chain
    counts = verification.counts
    assert (counts.allowed, counts.denied, counts.outcomes) == (4, 1, 4)
    assert counts.witnessed == counts.logged == counts.receipts == len(verification.timeline)
    assert (verification.replay.same, verification.replay.open) == (5, 0)
    assert len({stream.agent for stream in verification.streams}) == 3
    owners = {(stream.root, stream.agent) for stream in verification.streams}
    assert {(step.root, step.agent) for step in verification.timeline} == owners
    certificates = {stream.certificate for stream in verification.streams}
    assert {step.certificate for step in verification.timeline} == certificates
    assert all(len(digest) == 64 for digest in certificates.union(root for root, _ in owners))
    what = [step.what for step in verification.timeline]
    assert any(text.startswith("deny payments:refund 4900.00 EUR") for text in what)
    with pytest.raises(dataclasses.FrozenInstanceError):
        verification.verdict = "COMPLETE"
    assert copy.deepcopy(verification) == verification == case.verify()

    broken = tmp_path / "broken.zip"
    whole = case.bundle.read_bytes()
    broken.write_bytes(whole.replace(b"BEGIN CERT", b"BEGIN DERT", 1))
    [problem] = case.verify(broken).problems
    assert (problem.code, problem.member) == ("bundle.digest", "certs.pem") and problem.text
    assert problem.what == "a member is not what the manifest says"


def test_a_verification_is_never_true_by_accident(case):
    for verification in (case.verify(), kakunin.verify(case.bundle, roots=case.roots)):
        with pytest.raises(TypeError, match="neither true nor false"):
            bool(verification)
        with pytest.raises(TypeError):
            assert verification


def test_only_roots_that_the_caller_names_are_trusted(case):
    shop, bank = case.roots
    for roots in (shop, [bank], [shop.read_bytes()]):
        verification = case.verify(roots=roots)
        assert verification.verdict == "INVALID"
        assert verification.problems[0].code == "receipt.certificate"
        assert verification.problems[0].index == 0
    both = shop.read_bytes() + bank.read_bytes()
    assert case.verify(roots=both, witness_policy=case.policy.read_bytes()).complete


def test_what_cannot_be_judged_is_an_exception(case, tmp_path):
    nothing = tmp_path / "nothing.pem"
    (tmp_path / "text.pem").write_text("no certificate")
    for change in (
        {"path": tmp_path / "nothing.zip"},
        {"roots": nothing},
        {"roots": tmp_path / "text.pem"},
        {"roots": b""},
        {"roots": []},
        {"witness_policy": b"quorum nobody\n"},
        {"logs": [tmp_path]},
        {"names": [tmp_path / "nowhere"]},
    ):
        with pytest.raises(kakunin.CannotVerify):
            case.verify(**change)
    for change in ({"log_keys": "nonsense"}, {"replay": False, "names": [tmp_path]}):
        with pytest.raises(ValueError):
            case.verify(**change)
    with pytest.raises(ValueError, match="key of this log"):
        kakunin.verify(tmp_path, roots=case.roots, logs=[tmp_path])


def test_a_journal_is_verified_as_the_command_line_does(home, tmp_path):
    _, directory = home.create()
    agent = kakunin.Agent.from_dir(directory)

    @kakunin.verify_agent_scope("payments:send")
    def pay():
        return "paid"

    with kakunin.agent_context(agent):
        pay()
    agent.close()
    root = directory / "ca.pem"
    for place in (directory, directory / "state", str(directory / "state" / "journal")):
        verification = kakunin.verify(place, roots=root)
        said = json.loads(home.cli("verify", place, "--root", root, "--json", check=False).stdout)
        assert verification.to_dict() == said
        assert [problem.code for problem in verification.problems] == ["tail.not_witnessed"]
        assert verification.problems[0].stream == verification.streams[0].stream
        assert "timeline" not in said and len(verification.timeline) == 4


def test_an_outcome_that_nobody_signed_ends_no_call(home):
    _, directory = home.create()
    agent = kakunin.Agent.from_dir(directory)

    @kakunin.verify_agent_scope("payments:send")
    def pay():
        return "paid"

    with kakunin.agent_context(agent):
        pay()
    agent.close()
    [segment] = directory.glob("state/journal/*/*.seg")
    frames = _frames(segment.read_bytes())
    # All but the signature of the third receipt (docs/wire.md 4.3).
    kept = [frame for frame in frames if not frame[8:].startswith(b"\x02" + (2).to_bytes(8, "little"))]
    assert len(frames) - len(kept) == 1
    segment.write_bytes(b"".join(kept))
    verification = kakunin.verify(directory, roots=directory / "ca.pem")
    told = {problem.code: problem.indices for problem in verification.problems}
    assert told == {"tail.not_witnessed": (), "receipt.unsigned": (2,), "outcome.missing": (1,)}
    assert (verification.counts.outcomes, verification.counts.unsigned) == (0, 1)
    assert [step.proof for step in verification.timeline] == ["signed", "signed", "unsigned", "signed"]
    # Nothing at all that anybody signed is no trail.
    segment.write_bytes(b"".join(frame for frame in kept if frame[8] != 2))
    nothing = kakunin.verify(directory, roots=directory / "ca.pem")
    assert (nothing.verdict, nothing.exit_code) == ("EMPTY", 3)
    assert nothing.streams[0].agent is None
    assert "receipt.unsigned" in {problem.code for problem in nothing.problems}


def _frames(segment):
    frames, at = [], 0
    while at < len(segment):
        end = at + 8 + int.from_bytes(segment[at : at + 4], "little")
        frames.append(segment[at:end])
        at = end
    return frames


def test_lists_of_ones_own_say_what_the_bundle_left_out(home, tmp_path):
    name, directory = home.create()
    agent = kakunin.Agent.from_dir(directory)

    @kakunin.verify_agent_scope("payments:send")
    def pay():
        return "paid"

    with kakunin.agent_context(agent):
        pay()
    agent.close()
    bundle, lists = tmp_path / "incident.zip", home.path / "home" / "public" / "lists.pem"
    home("export", "--journal", directory, "--out", bundle)
    home("revoke", name, "--reason", "stolen")
    known = {"roots": directory / "ca.pem"}
    before = kakunin.verify(bundle, **known)
    assert [problem.code for problem in before.problems] == ["tail.not_witnessed"]
    # The claim is of the second of the revocation or before, so it is the list that has to be later.
    after = kakunin.verify(bundle, crls=[lists.read_bytes()], **known)
    said = home.cli("verify", bundle, "--root", directory / "ca.pem", "--crl", lists, "--json", check=False)
    assert (after.exit_code, after.to_dict()) == (said.returncode, json.loads(said.stdout))
    assert after.notes == ()
    with pytest.raises(kakunin.CannotVerify, match="holds no PEM X509 CRL"):
        kakunin.verify(bundle, crls=directory / "ca.pem", **known)


def test_other_threads_run_while_receipts_are_verified(case):
    begin, ran = threading.Event(), threading.Event()

    def wait():
        begin.wait()
        ran.set()

    # As bytes: reading files would let others run as well.
    known = {"roots": [root.read_bytes() for root in case.roots], "witness_policy": case.policy.read_bytes()}
    thread = threading.Thread(target=wait)
    thread.start()
    interval = sys.getswitchinterval()
    # Whoever has the lock keeps it for as long as this lasts, unless it is given up on purpose.
    sys.setswitchinterval(60)
    try:
        begin.set()
        before = ran.is_set()
        case.verify(**known)
        after = ran.is_set()
    finally:
        sys.setswitchinterval(interval)
        thread.join()
    assert (before, after) == (False, True)


def test_the_page_is_the_one_of_the_command_line(case, tmp_path):
    ours, theirs = tmp_path / "ours.html", tmp_path / "theirs.html"
    verification = case.verify(html=ours)
    assert case.said(None, "--html", theirs)[0] == 0
    page = ours.read_text(encoding="utf-8")
    assert page == theirs.read_text(encoding="utf-8") == verification.html()
    assert "<h1>COMPLETE</h1>" in page and verification.chain in page
    assert kakunin.verify(case.bundle, roots=case.roots).html(ours) == ours.read_text(encoding="utf-8")
    assert "<h1>AUTHENTIC-NOT-COMPLETE</h1>" in ours.read_text(encoding="utf-8")
    for place in (tmp_path, Path("/dev/null"), tmp_path / "no" / "page.html"):
        with pytest.raises(OSError, match="cannot write the page"):
            case.verify(html=place)


def test_a_decision_about_a_caller_says_who_asked():
    said = {"agent": "5f0c", "certificate": "ab" * 32, "possession": "signature"}
    blank = {field.name: "" for field in dataclasses.fields(_verify.Step)}
    step = blank | {"parents": ["cd"], "caller": said}
    told = _verify._step(step)
    assert (told.caller, told.parents) == (_verify.AskedBy(**said), ("cd",))
    assert _verify._step(step | {"caller": None}).caller is None
