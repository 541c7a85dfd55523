"""Journal settings, from code and from agent.toml: what they do to the files, and what a kill leaves."""

from __future__ import annotations

import struct
from collections import Counter

import kakunin
import pytest
from kakunin import Agent, Journal, KakuninError

SCOPE = {"actions": ["payments:send", "mail:send", "log:write"]}
RECEIPT, SIGNATURE, SYNCED = 1, 2, 5


def frames(directory):
    """How many frames of each kind the segments hold (docs/wire.md 4.3)."""
    kinds = Counter()
    for segment in sorted(directory.glob("state/journal/*/*.seg")):
        data, at = segment.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<I", data, at)
            kinds[data[at + 8]] += 1
            at += 8 + length
    return kinds


def calls(agent, action, times):
    """So many calls, each with an outcome."""

    @kakunin.verify_agent_scope(action)
    def act():
        pass

    with kakunin.agent_context(agent):
        for _ in range(times):
            act()


def set_toml(directory, text):
    settings = directory / "agent.toml"
    settings.write_text(settings.read_text() + text)


def test_sync_is_recorded_in_the_segment_and_only_for_its_actions(home):
    _, directory = home.create(SCOPE)
    agent = Agent.from_dir(directory, journal={"payments:*": "sync"})
    calls(agent, "mail:send", 3)
    assert frames(directory)[SYNCED] == 0
    calls(agent, "payments:send", 3)
    # Each write after a sync says how far the disk had come.
    assert frames(directory)[SYNCED] >= 3
    agent.close()


def test_enqueue_answers_before_the_receipt_is_written(home):
    _, directory = home.create(SCOPE)
    agent = Agent.from_dir(directory, journal={"log:*": "enqueue"})
    calls(agent, "mail:send", 1)

    def unwritten(action, times=200):
        """How often the file had not grown when the call was answered."""

        @kakunin.verify_agent_scope(action)
        def act():
            return size()

        (segment,) = directory.glob("state/journal/*/*.seg")

        def size():
            return segment.stat().st_size

        with kakunin.agent_context(agent):
            return sum(size() == act() for _ in range(times))

    # In the body the decision has been answered; what was there before the call is there in any case.
    assert unwritten("mail:send") == 0
    assert unwritten("log:write") > 0
    agent.close()


def test_code_stands_over_the_settings_and_settings_over_nothing(home):
    _, directory = home.create(SCOPE)
    set_toml(directory, '[journal]\n"payments:*" = "sync"\n"mail:*" = "sync"\n')
    agent = Agent.from_dir(directory, journal={"payments:send": "write"})
    calls(agent, "payments:send", 3)
    assert frames(directory)[SYNCED] == 0
    calls(agent, "mail:send", 3)
    assert frames(directory)[SYNCED] >= 3
    agent.close()


@pytest.mark.parametrize(
    ("file", "code", "sealed"),
    [("", None, False), ("sealed = true\n", None, True), ("", True, True), ("sealed = true\n", False, False)],
)
def test_a_sealed_stream_has_few_signatures(home, file, code, sealed):
    _, directory = home.create(SCOPE)
    settings = directory / "agent.toml"
    settings.write_text(file + settings.read_text())
    agent = Agent.from_dir(directory, journal=Journal(sealed=code))
    calls(agent, "mail:send", 20)
    agent.close()
    kinds = frames(directory)
    if sealed:
        assert kinds[SIGNATURE] < 10 < 40 < kinds[RECEIPT]
    else:
        assert kinds[SIGNATURE] == kinds[RECEIPT] == 42
    found = kakunin.verify(directory, roots=[directory / "ca.pem"])
    assert (found.verdict, found.counts.allowed, found.counts.unsigned) == ("AUTHENTIC-NOT-COMPLETE", 20, 0)


@pytest.mark.parametrize("level", ["write", "sync"])
def test_what_was_answered_survives_a_kill(home, python, level):
    _, directory = home.create(SCOPE)
    script = f"""
import os, signal, sys
import kakunin
kakunin.use(kakunin.Agent.from_dir(sys.argv[1], journal={{"*": {level!r}}}))

@kakunin.verify_agent_scope("mail:send")
def act():
    os.kill(os.getpid(), signal.SIGKILL)

act()
"""
    for round in range(1, 4):
        assert python(script, directory, check=False).returncode == -9
        agent = Agent.from_dir(directory)
        calls(agent, "mail:send", 1)
        agent.close()
        found = kakunin.verify(directory, roots=[directory / "ca.pem"])
        decided = sum("allow mail:send" in step.what for step in found.timeline)
        assert decided == 2 * round, "a decision was answered and is not there"


@pytest.mark.parametrize(
    ("journal", "error", "text"),
    [
        ({"payments:*": "fsync"}, ValueError, "`fsync` for `payments:*` is no journal level"),
        ({"Payments": "sync"}, ValueError, "`Payments` is no action"),
        ({"levels": {"payments:*": "sync"}}, TypeError, "the level of `levels`"),
        ({7: "sync"}, TypeError, "a pattern of actions is a str"),
        ("sync", TypeError, "journal is a kakunin.Journal or a mapping"),
        (["payments:*"], TypeError, "journal is a kakunin.Journal or a mapping"),
    ],
)
def test_what_is_no_setting_is_an_error(home, journal, error, text):
    _, directory = home.create(SCOPE)
    with pytest.raises(error, match=text.replace("*", r"\*")):
        Agent.from_dir(directory, journal=journal)


def test_a_journal_knows_its_own_words_only():
    with pytest.raises(TypeError, match="unexpected keyword argument 'level'"):
        Journal(level={"payments:*": "sync"})
    with pytest.raises(TypeError, match="sealed is True, False or None"):
        Journal(sealed="yes")
    with pytest.raises(TypeError, match="levels is a mapping"):
        Journal("sync")
    levels = {"payments:*": "sync"}
    journal = Journal(levels)
    levels["mail:*"] = "enqueue"
    assert dict(journal.levels) == {"payments:*": "sync"}, "an open agent is not changed from outside"
    same = Journal({"payments:*": "sync"})
    assert journal == same and hash(journal) == hash(same)
    with pytest.raises(TypeError):
        journal.levels["mail:*"] = "sync"


def test_wrong_settings_in_the_file_name_it(home):
    for before, after in [
        ("", '[journal]\n"payments:*" = "fsync"\n'),
        ("", "[journal]\nsealed = true\n"),
        ('sealed = "yes"\n', ""),
        ("seal = true\n", ""),
    ]:
        _, directory = home.create(SCOPE)
        settings = directory / "agent.toml"
        settings.write_text(before + settings.read_text() + after)
        with pytest.raises(kakunin.KakuninError, match=r"agent\.toml"):
            Agent.from_dir(directory)


def test_an_open_agent_is_not_opened_with_other_settings(home):
    _, directory = home.create(SCOPE)
    agent = Agent.from_dir(directory, journal={"payments:*": "sync"})
    assert Agent.from_dir(directory, journal=Journal({"payments:*": "sync"})) is agent
    with pytest.raises(kakunin.KakuninError, match="open already"):
        Agent.from_dir(directory)
    agent.close()


def test_a_level_for_nothing_is_a_warning(home, caplog):
    _, directory = home.create({"actions": ["payments:send"]})
    agent = Agent.from_dir(directory, journal={"payment:*": "sync", "payments:*": "sync"})
    agent.close()
    told = [record.getMessage() for record in caplog.records if record.name == "kakunin"]
    assert len(told) == 1 and "`payment:*`" in told[0]


def test_the_other_doors_take_a_journal_and_memory_no_levels(home, monkeypatch):
    _, directory = home.create({"actions": ["payments:send"]})
    with pytest.raises(KakuninError, match="no levels"):
        Agent.from_dir(directory, state="memory", journal={"payments:*": "sync"})
    monkeypatch.setenv("KAKUNIN_AGENT_DIR", str(directory))
    agent = Agent.from_env(journal={"payments:*": "sync"})
    with pytest.raises(KakuninError, match="other options"):
        Agent.from_dir(directory)
    agent.close()
    names = ("agent.pem", "key.pem", "chain.pem", "ca.pem")
    certificate, key, chain, ca = (directory / name for name in names)
    papers = {"key": key, "chain": chain, "ca": ca, "lists": home.path / "home" / "public" / "lists.pem"}
    Agent.from_pem(certificate, **papers, journal=Journal(sealed=True)).close()
    with pytest.raises(KakuninError, match="no levels"):
        Agent.from_pem(certificate, **papers, journal=Journal({"payments:*": "sync"}))
