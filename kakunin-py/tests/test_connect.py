"""Agents that are connected to their authority: enrolled, told of orders, followed over forks, ended."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from datetime import datetime, timedelta, timezone

import kakunin
import pytest
from kakunin import Agent, ConnectError, KakuninError, _native, agent_context, verify_agent_scope
from kakunin.testing import assert_denied
from served import PAYMENTS, Service, eventually, payment, threads


@pytest.fixture
def connected(service):
    """A new agent, connected: its name and itself."""
    name = service.create()
    agent = service.connect(name)
    yield name, agent
    agent.close()


def test_papers_lists_and_feed_arrive_by_themselves(service, connected):
    name, agent = connected
    asked, directory = payment(agent), service.directory(name)
    assert asked() == "allow"
    assert asked(total="100.01") == "scope.amount"
    assert asked(to="stranger") == "scope.counterparty"
    files = {path.name for path in directory.iterdir()}
    assert {"agent.pem", "key.pem", "chain.pem", "ca.pem", "agent.toml", "lists.pem", "state"} <= files
    assert not (directory / "key.pem").stat().st_mode & 0o077
    status = agent.status()
    assert (status.agent_id, status.url) == (agent.agent_id, service.url)
    assert status.transport == "stream"
    assert status.fresh
    assert status.age is not None
    assert status.max_age is not None
    assert status.age <= status.max_age
    assert status.certificate_until is not None
    assert status.certificate_until.utcoffset() is not None
    with pytest.raises(AttributeError):
        status.epoch = 0


def test_revoked_from_another_terminal_is_denied_by_its_epoch(service, connected):
    name, agent = connected
    asked, answers, ended = payment(agent), [], threading.Event()

    def loop():
        while not ended.is_set():
            answers.append(asked())

    thread = threading.Thread(target=loop)
    thread.start()
    eventually(lambda: "allow" in answers, True)
    answer = service.order("revoke", name)
    seconds = eventually(lambda: answers[-1], "certificate.revoked", 5.0)
    ended.set()
    thread.join()
    print(f"\ndenied {seconds:.3f} s after the answer of `kakunin revoke`")
    # What was denied once stays denied, and the receipts say by which change.
    first = answers.index("certificate.revoked")
    assert set(answers[:first]) == {"allow"}
    assert set(answers[first:]) == {"certificate.revoked"}
    decisions = service.journal(name).decisions()
    denied = [receipt for receipt in decisions if receipt["dec"] == "deny"]
    assert denied
    assert {receipt["why"] for receipt in denied} == {"certificate.revoked"}
    assert all(receipt["crl"]["e"] >= answer["epoch"] for receipt in denied)
    assert all(receipt["crl"]["e"] < answer["epoch"] for receipt in decisions if receipt["dec"] == "allow")
    assert agent.status().epoch >= answer["epoch"]


def test_suspended_and_resumed_from_another_terminal(service, connected):
    name, agent = connected
    asked = payment(agent)
    epochs = []
    for _ in range(2):
        epochs.append(service.order("suspend", name)["epoch"])
        eventually(asked, "certificate.held", 5.0)
        epochs.append(service.order("resume", name)["epoch"])
        eventually(asked, "allow", 5.0)
    assert epochs == sorted(set(epochs))


def test_a_coroutine_is_judged_by_what_is_known_when_it_is_awaited(service):
    name = service.create()

    @verify_agent_scope("payments:send", amount="total", currency="EUR", counterparty="to")
    async def pay(to, total):
        return "paid"

    async def run():
        agent = await Agent.connect_async(
            service.url, name, directory=service.directory(name), token=service.token(name)
        )
        with agent_context(agent):
            assert await pay("acme", "1.00") == "paid"
            waiting = pay("acme", "1.00")
            await asyncio.to_thread(service.order, "revoke", name)
            await asyncio.to_thread(eventually, payment(agent), "certificate.revoked", 5.0)
            with assert_denied("certificate.revoked"):
                await waiting
        await asyncio.to_thread(agent.close)

    asyncio.run(run())


def test_one_connected_agent_is_one_agent(service, connected):
    name, agent = connected
    assert service.connect(name) is agent
    with pytest.raises(KakuninError, match="other options"):
        service.connect(name, max_age=30)
    with pytest.raises(KakuninError, match="other options"):
        Agent.from_dir(service.directory(name))
    agent.close()
    again = service.connect(name)
    assert again is not agent
    assert payment(again)() == "allow"
    again.close()


def test_it_is_not_pickled_and_a_copy_is_itself(connected):
    _, agent = connected
    with pytest.raises(TypeError, match=r"open it again where it is needed: Agent\.connect\("):
        pickle.dumps(agent)
    assert copy.copy(agent) is copy.deepcopy(agent) is agent
    with pytest.raises(TypeError):
        pickle.dumps(agent._client)
    assert pickle.loads(pickle.dumps(agent.status())) is not None
    error = pickle.loads(pickle.dumps(ConnectError("what", "connect.usage", "do this")))
    assert str(error) == "what; do this [connect.usage]"
    assert (error.code, error.fix) == ("connect.usage", "do this")


def test_another_agent_than_the_one_named_is_denied(service, connected):
    name, agent = connected
    nobody = "00000000-0000-4000-8000-000000000000"
    guarded = verify_agent_scope(object(), nobody, required_scopes=["payments:send"])(lambda: None)
    with agent_context(agent), assert_denied("agent.mismatch"):
        guarded()
    agent.close()
    # By its id, and by its name: one variable may send both to one directory.
    for other in (nobody, service.create()):
        with pytest.raises(ConnectError) as refused:
            service.connect(other, directory=service.directory(name), token=None)
        assert refused.value.code == "agent.mismatch"


def test_no_thread_is_left_and_a_closed_one_goes_stale(service):
    name = service.create()
    before = threads()
    agent = service.connect(name)
    assert payment(agent)() == "allow"
    assert threads() > before
    agent.close()
    agent.close()
    assert threads() == before
    del agent
    again = service.connect(name)
    assert payment(again)() == "allow"
    del again
    eventually(threads, before)


def test_only_a_connected_agent_has_a_status(home):
    _, directory = home.create()
    agent = Agent.from_dir(directory)
    with pytest.raises(KakuninError, match="only a connected agent"):
        agent.status()
    agent.close()


def test_the_environment_says_what_code_does_not(service, python, tmp_path):
    name = service.create()
    script = """
import kakunin
from kakunin import Agent, verify_agent_scope
kakunin.use(Agent.connect())
@verify_agent_scope("payments:send", amount="total", currency="EUR", counterparty="to")
def pay(to, total): print("paid")
pay("acme", "1.00")
"""
    told = {
        "KAKUNIN_URL": f"http://127.0.0.1:9, {service.url}",
        "KAKUNIN_AGENT": name,
        "KAKUNIN_TOKEN": service.token(name),
        "KAKUNIN_AGENT_DIR": str(tmp_path / "agent"),
        "KAKUNIN_STATE_DIR": str(tmp_path / "state"),
        # Nobody obeys these.
        "KAKUNIN_MODE": "observe",
        "KAKUNIN_WITHOUT_FEED": "1",
        "KAKUNIN_MAX_AGE": "86400",
    }
    assert python(script, **told).stdout == "paid\n"
    assert (tmp_path / "agent" / "agent.pem").exists()
    assert (tmp_path / "state" / "journal").exists()
    del told["KAKUNIN_TOKEN"]
    assert python(script, **told).stdout == "paid\n"
    for missing, fix in [("KAKUNIN_URL", "set KAKUNIN_URL"), ("KAKUNIN_AGENT", "set KAKUNIN_AGENT")]:
        done = python(script, check=False, **{**told, missing: ""})
        assert done.returncode == 1
        assert fix in done.stderr
        assert "[connect.usage]" in done.stderr


def test_a_build_that_cannot_connect_says_so(monkeypatch, tmp_path):
    monkeypatch.delattr(_native, "connect")
    with pytest.raises(ConnectError, match="without the feature `connect`") as refused:
        Agent.connect("http://127.0.0.1:9", "billing", directory=tmp_path / "agent")
    assert refused.value.code == "connect.absent"
    assert "wheel" in refused.value.fix


@pytest.mark.parametrize(
    "url", ["http://authority.example", "http://10.0.0.1:8080", "ftp://127.0.0.1", "127.0.0.1:80", "http://"]
)
def test_no_secret_travels_in_the_clear(url, tmp_path):
    with pytest.raises(ConnectError) as refused:
        Agent.connect(url, "billing", directory=tmp_path / "agent", token="kak_live_no_secret", timeout=1)
    assert "no_secret" not in str(refused.value)
    assert not (tmp_path / "agent" / "agent.pem").exists()


# --- what does not enrol ---


def refused(service, name, tmp_path, **options) -> ConnectError:
    directory = tmp_path / "refused"
    with pytest.raises(ConnectError) as error:
        service.connect(name, directory=directory, timeout=20, **options)
    assert not (directory / "agent.pem").exists()
    shutil.rmtree(directory, ignore_errors=True)
    assert error.value.fix, error.value.code
    return error.value


def test_without_a_token_nothing_is_enrolled(service, tmp_path):
    error = refused(service, service.create(), tmp_path, token=None)
    assert error.code == "connect.no_agent"


def test_a_token_is_used_once_and_by_its_agent_only(service, tmp_path):
    one, two = service.create(), service.create()
    token = service.token(one)
    stranger = refused(service, two, tmp_path, token=token)
    assert token not in str(stranger)
    agent = service.connect(one, token=token)
    assert token not in repr(vars(agent)) and token not in str(agent._options)
    assert agent._options[0].token is None
    agent.close()
    used = refused(service, one, tmp_path, token=token)
    # An agent that is not the token's own is none that there is.
    assert (used.code, stranger.code) == ("token.used", "not_found")
    for wrong in (token[:-1], token.replace("kak_enrol_", "kak_live_"), "nonsense", flipped(token)):
        assert refused(service, one, tmp_path, token=wrong).code


def flipped(token: str) -> str:
    """The token with another secret."""
    head, secret, root = token.rsplit("_", 2)
    return "_".join([head, ("a" if secret[0] != "a" else "b") + secret[1:], root])


def test_a_root_that_is_not_the_pinned_one_is_refused(service, tmp_path):
    name = service.create()
    token = service.token(name)
    foreign = token[:-64] + ("0" * 64)
    assert refused(service, name, tmp_path, token=foreign).code in ("certificate.untrusted", "access.token")
    name = service.create()
    other = refused(service, name, tmp_path, token=service.token(name), root="0" * 64)
    assert other.code == "certificate.untrusted"


# --- what is there already ---


def test_a_directory_needs_no_token_and_learns_what_happened_meanwhile(service):
    name = service.create()
    agent = service.connect(name)
    assert payment(agent)() == "allow"
    agent.close()
    del agent
    service.order("suspend", name)
    agent = service.connect(name)
    asked = payment(agent)
    assert asked() == "certificate.held"
    service.order("resume", name)
    eventually(asked, "allow", 5.0)
    agent.close()


def test_a_directory_that_is_damaged_is_refused(service):
    name = service.create()
    service.connect(name).close()
    directory = service.directory(name)
    for part in ("ca.pem", "chain.pem", "agent.pem"):
        kept = (directory / part).read_bytes()
        (directory / part).write_bytes(b"nothing")
        with pytest.raises(KakuninError):
            service.connect(name, token=None, timeout=5)
        (directory / part).write_bytes(kept)
    agent = service.connect(name)
    assert payment(agent)() == "allow"
    agent.close()


# --- forks ---

PRELUDE = """
import json, os, sys, time
from kakunin import Agent, ScopeDenied, verify_agent_scope
url, name, directory = sys.argv[1:4]
agent = Agent.connect(url, name, directory=directory)
@verify_agent_scope("payments:send", amount="total", currency="EUR", counterparty="to", agent=agent)
def pay(to, total): ...
def asked():
    try:
        pay("acme", "1.00")
    except ScopeDenied as denied:
        return denied.code
    return "allow"
def eventually(code):
    end = time.monotonic() + 60
    while asked() != code:
        assert time.monotonic() < end, (os.getpid(), asked(), code, agent.status())
        time.sleep(0.01)
def say(word):
    os.write(1, f"{word}\\n".encode())
"""


def talk(service, name, source, tmp_path, *lines):
    """Runs the script; when it says a word, what is to be done about it is done, and it is told to go on."""
    agent = service.connect(name)
    agent.close()
    script = tmp_path / "script.py"
    script.write_text(PRELUDE + source)
    flags = ["-W", "error"] if "error" in sys.warnoptions else []
    command = [sys.executable, *flags, str(script), service.url, name, str(service.directory(name))]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        try:
            for word, act in lines:
                said = process.stdout.readline().decode().strip()
                assert said == word, said + process.stderr.read().decode()
                act()
                process.stdin.write(b"go on\n")
                process.stdin.flush()
            rest, errors = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 0, errors.decode()
    # Python 3.13 counts threads after the fork, when ours, joined before it, have begun again.
    counted = (b"is multi-threaded, use of fork()", b"os.fork()")
    left = [line for line in errors.splitlines() if not any(text in line for text in counted)]
    # Who is not in good standing sends no receipts, and says so.
    assert all(b"[uploads.failed]" in line for line in left), errors.decode()
    return rest.decode()


def test_parent_and_child_of_a_fork_each_follow_the_feed(service, tmp_path):
    name = service.create()
    source = """
assert asked() == "allow"
heard, tell = os.pipe()
child = os.fork()
answer = asked()
assert answer == "allow", answer
if child == 0:
    os.write(tell, b"x")
    eventually("certificate.held")
    assert agent.status().connections >= 1
    assert len(os.listdir("/proc/self/task")) > 1
    agent.close()
    os._exit(0)
os.close(tell)
assert os.read(heard, 1) == b"x"
say("forked")
sys.stdin.readline()
eventually("certificate.held")
assert os.waitpid(child, 0)[1] == 0
say("held")
sys.stdin.readline()
eventually("allow")
"""
    forked = ("forked", lambda: service.order("suspend", name))
    held = ("held", lambda: service.order("resume", name))
    talk(service, name, source, tmp_path, forked, held)


def test_workers_of_a_pool_follow_the_feed(service, tmp_path):
    name = service.create()
    source = """
import multiprocessing
def work(code):
    eventually(code)
    return os.getpid()
if __name__ == "__main__":
    assert asked() == "allow"
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert set(pool.map(work, ["allow"] * 12))
        say("working")
        sys.stdin.readline()
        assert set(pool.map(work, ["certificate.revoked"] * 12))
        pool.close()
        pool.join()
    eventually("certificate.revoked")
"""
    talk(service, name, source, tmp_path, ("working", lambda: service.order("revoke", name)))


def test_workers_that_a_server_forked_follow_the_feed(service, tmp_path):
    name = service.create()
    service.connect(name).close()
    app = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {asked()}".encode()]
"""
    here = PRELUDE.replace("sys.argv[1:4]", 'os.environ["AGENT"].split(" ")')
    (tmp_path / "app.py").write_text(f"{here}asked()\n{app}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = ["-W", "error"] if "error" in sys.warnoptions else []
    command = [sys.executable, *flags, "-m", "gunicorn", "--preload", "--workers", "3"]
    command += ["--bind", f"127.0.0.1:{port}", "app:app"]
    environment = {**os.environ, "AGENT": f"{service.url} {name} {service.directory(name)}"}
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)

    def answers(code):
        """Asks until three workers gave this answer."""
        found, end = set(), time.monotonic() + 60
        while len(found) < 3:
            assert time.monotonic() < end, (tmp_path / "log").read_text()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as response:
                    worker, said = response.read().decode().split(" ")
            except OSError:
                time.sleep(0.1)
                continue
            if said == code:
                found.add(worker)
        return found

    try:
        workers = answers("allow")
        service.order("suspend", name)
        assert answers("certificate.held") == workers
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0, (tmp_path / "log").read_text()


def test_a_process_ends_without_being_asked_to_close(service, tmp_path):
    name = service.create()
    assert talk(service, name, 'assert asked() == "allow"', tmp_path) == ""
    # And so it does in the middle of connecting to nobody.
    ends = 'Agent.connect("http://127.0.0.1:9", name, directory=directory + "-copy", timeout=0.5)'
    shutil.copytree(service.directory(name), str(service.directory(name)) + "-copy")
    assert talk(service, name, ends, tmp_path) == ""


def test_alarms_are_told_by_the_next_call_and_a_handler_that_fails_decides_nothing(caplog, connected):
    _, agent = connected

    class Client:
        """What the log gets of a client's alarms."""

        def take_alarms(self):
            return [("feed.silent_50", "no signed word for 30 s"), ("feed.stale", "none for 60 s")]

    agent._client, kept = Client(), agent._client
    try:
        with caplog.at_level(logging.INFO, "kakunin"):
            kakunin._agent.tell_what_waits()
        told = [(record.levelno, record.kakunin_code) for record in caplog.records]
        assert told == [(logging.WARNING, "feed.silent_50"), (logging.ERROR, "feed.stale")]
        agent._client.take_alarms = None
        kakunin._agent.tell_what_waits()
    finally:
        agent._client = kept
    assert payment(agent)() == "allow"


def test_a_renewal_by_the_agents_own_proof_is_taken_up_without_a_pause(service, connected):
    name, agent = connected
    asked, directory = payment(agent), service.directory(name)
    assert asked() == "allow"
    before, papers = agent.status().certificate_until, (directory / "agent.pem").read_bytes()
    # Certificates end at whole seconds.
    time.sleep(1.1)
    command = [os.environ["KAKUNIN_CLI"], "agent", "renew", agent.agent_id]
    command += ["--out", directory, "--url", service.url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (directory / "agent.pem").read_bytes() != papers

    def renewed():
        assert asked() == "allow"
        return agent.status().certificate_until > before

    eventually(renewed, True)
    service.order("suspend", name)
    eventually(asked, "certificate.held", 10.0)


def test_a_certificate_that_grew_old_is_renewed_by_itself(cli, tmp_path):
    # An authority of yesterday: two hours are left of a day. From here on the clock is everybody's.
    directory, scope = tmp_path / "agents" / "old", tmp_path / "scope.json"
    scope.write_text(json.dumps(PAYMENTS))
    command = [os.environ["KAKUNIN_AGED"], tmp_path / "home", directory, "old", scope, "22", "1"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    papers = (directory / "agent.pem").read_bytes()
    service = Service(cli, tmp_path)
    agent = service.connect("old")
    try:
        asked = payment(agent)
        assert asked() == "allow"
        left = agent.status().certificate_until - datetime.now(timezone.utc)
        fresh = left > timedelta(hours=23)
        assert fresh or left < timedelta(hours=3)

        def renewed():
            # Without a pause: each call is allowed, by one certificate or the other.
            assert asked() == "allow"
            until = agent.status().certificate_until
            return until - datetime.now(timezone.utc) > timedelta(hours=23)

        eventually(renewed, True)
        assert (directory / "agent.pem").read_bytes() != papers
        # It is the agent's own doing, and nobody else asked for a certificate.
        log = service.get("/audit-log?event_type=certificate.renew")
        assert [(row["actor_type"], row["outcome"]) for row in log] == [("agent", "done")]
        assert service.get("/audit-log?event_type=certificate.issue") == []
        # What is ordered now reaches the new one.
        service.order("revoke", "old")
        eventually(asked, "certificate.revoked", 10.0)
    finally:
        agent.close()
        service.kill()


def test_the_status_says_how_far_the_authority_knows_it_is_enforced(service, connected):
    name, agent = connected
    service.order("suspend", name)
    eventually(payment(agent), "certificate.held", 10.0)
    service.order("resume", name)
    eventually(payment(agent), "allow", 10.0)

    def acknowledged():
        status = agent.status()
        return status.acknowledged is not None and status.acknowledged == status.epoch

    eventually(acknowledged, True)
    # One that was said as the order came is refused, counted and said again.
    assert agent.status().acknowledgements_failed >= 0


def test_papers_of_an_authority_that_is_gone_are_told_as_that(service, cli, tmp_path_factory):
    from served import Service

    name = service.create()
    directory = service.directory(name)
    service.connect(name).close()
    after = Service(cli, tmp_path_factory.mktemp("begun-anew"))
    try:
        while after.create() != name:
            pass
        with pytest.raises(ConnectError) as error:
            after.connect(name, directory=directory, token=after.token(name))
        assert error.value.code == "connect.old_directory"
        assert str(directory) in str(error.value)
        directory.rename(directory.with_name("old"))
        agent = after.connect(name, directory=directory, token=after.token(name))
        eventually(payment(agent), "allow")
        agent.close()
    finally:
        after.kill()


def test_an_issuing_authority_that_was_named_is_the_only_one(service, tmp_path):
    name = service.create()
    error = refused(service, name, tmp_path, token=service.token(name), issuer="0" * 64)
    assert error.code == "papers.refused"
    with pytest.raises(ValueError, match="issuer"):
        service.connect(name, directory=tmp_path / "other", token=service.token(name), issuer="x")
