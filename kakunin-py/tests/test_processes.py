"""Rows P8, P9, P12, P15 and P19 with directories and processes: forks, kills, full disks, orders."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections import Counter

import kakunin
import pytest
from kakunin import Agent, verify_agent_scope
from kakunin.testing import assert_denied, open_agent

READ = {"actions": ["read:*"]}
DAILY = {
    "actions": ["payments:send"],
    "limit": [{"for": ["payments:send"], "currency": "EUR", "per_day": "100.00"}],
}

PRELUDE = """
import os, signal, sys, time
import kakunin
from kakunin import Agent, verify_agent_scope
agent = Agent.from_dir(sys.argv[1])
kakunin.use(agent)
read = verify_agent_scope("read:x")(lambda: "ran")
pay = verify_agent_scope("payments:send", amount="total", currency="EUR")(lambda total: "ran")
"""


def verify(cli, directory, code=3):
    done = cli("verify", directory, "--root", directory / "ca.pem", "--json", check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_one_directory_is_one_agent(home):
    _, directory = home.create(READ)
    agent = Agent.from_dir(directory)
    assert Agent.from_dir(str(directory) + "/.") is agent
    with pytest.raises(kakunin.KakuninError, match="other options"):
        Agent.from_dir(directory, state="memory")
    agent.close()


def test_a_directory_that_is_none_says_so(tmp_path):
    with pytest.raises(kakunin.KakuninError, match=r"agent\.toml"):
        Agent.from_dir(tmp_path)
    with pytest.raises(kakunin.KakuninError):
        Agent.from_dir(tmp_path / "nothing")


def test_state_that_others_can_write_into_is_refused(home, tmp_path):
    _, directory = home.create(READ)
    for state in (directory / "state", tmp_path / "state"):
        state.mkdir()
        state.chmod(0o770)
        where = None if state.parent == directory else state
        with pytest.raises(kakunin.KakuninError, match=r"has mode 770, .*; run chmod 700"):
            Agent.from_dir(directory, state=where)
        state.chmod(0o700)
        agent = Agent.from_dir(directory, state=where)
        assert verify_agent_scope("read:x", agent=agent)(lambda: "ran")() == "ran"
        agent.close()
        del agent


def test_whatever_is_made_lets_nobody_else_in_whatever_the_umask(home, python):
    _, directory = home.create({**READ, "rate": [{"for": ["read:*"], "max": 9, "seconds": 60}]})
    python(
        """
import os, sys
os.umask(0)
import kakunin
agent = kakunin.Agent.from_dir(sys.argv[1])
kakunin.verify_agent_scope("read:x", agent=agent)(lambda: None)()
""",
        directory,
    )
    made = [directory / "state", *(directory / "state").rglob("*")]
    assert len(made) > 10
    open_to_others = {path.name: oct(path.stat().st_mode) for path in made if path.stat().st_mode & 0o077}
    assert not open_to_others


def test_from_env(home, python):
    _, directory = home.create(READ)
    script = "import kakunin; print(kakunin.Agent.from_env().agent_id)"
    assert "KAKUNIN_AGENT_DIR is not set" in python(script, check=False, KAKUNIN_AGENT_DIR="").stderr
    state = str(directory) + "-state"
    out = python(script, KAKUNIN_AGENT_DIR=str(directory), KAKUNIN_STATE_DIR=state).stdout
    assert len(out.strip()) == 36


def test_from_pem(home):
    _, directory = home.create(READ)
    parts = {part: directory / f"{part}.pem" for part in ("key", "chain", "ca")}
    lists = home.path / "home" / "public" / "lists.pem"
    agent = Agent.from_pem(directory / "agent.pem", **parts, lists=lists.read_bytes())
    read = verify_agent_scope("read:x", agent=agent)(lambda: "ran")
    assert read() == "ran"
    with assert_denied("scope.action"):
        verify_agent_scope("write:x", agent=agent)(lambda: "ran")()
    with pytest.raises(kakunin.KakuninError, match="PEM"):
        Agent.from_pem("-----BEGIN", **parts, lists=lists)


def test_use_is_once_and_names_what_can_never_be_called(home, python):
    _, one = home.create(READ)
    _, two = home.create(READ)
    script = """
import logging, sys
logging.basicConfig(stream=sys.stdout, format="%(message)s")
import kakunin
from kakunin import Agent, verify_agent_scope

@verify_agent_scope("write:x")
def write(): ...

@verify_agent_scope("read:x")
def read(): ...

one = Agent.from_dir(sys.argv[1])
kakunin.use(one)
kakunin.use(Agent.from_dir(sys.argv[1]))
assert kakunin.current_agent() is one
read()

@verify_agent_scope("late:x")
def late(): ...

try:
    kakunin.use(Agent.from_dir(sys.argv[2]))
except RuntimeError as error:
    print(error)
"""
    out = python(script, one, two).stdout
    assert "script.py:7: __main__.write can never be called" in out
    assert "__main__.late can never be called" in out
    assert "__main__.read" not in out
    assert "another agent is in use" in out


def test_orders_from_the_command_line_reach_a_running_process(home):
    name, directory = home.create(READ)
    agent = Agent.from_dir(directory)
    read = verify_agent_scope("read:x", agent=agent)(lambda: "ran")
    read()
    for order, code in [("suspend", "certificate.held"), ("resume", None), ("revoke", "certificate.revoked")]:
        home(order, name, "--reason", "a test")
        answered = time.monotonic()
        while True:
            try:
                read()
                seen = None
            except kakunin.CertificateDenied as denied:
                seen = denied.code
            if seen == code:
                break
            assert time.monotonic() - answered < 1.0, (order, seen)
            time.sleep(0.002)
    agent.close()


def test_a_renewed_scope_is_picked_up_and_an_edited_row_is_not(home, tmp_path):
    name, directory = home.create(READ)
    agent = Agent.from_dir(directory)
    write = verify_agent_scope("write:x", agent=agent)(lambda: "ran")
    with assert_denied("scope.action"):
        write()
    wider, _ = home.create({"actions": ["read:*", "write:*"]})
    database = sqlite3.connect(home.path / "home" / "store.sqlite", timeout=10)
    with database:
        other = "SELECT scope FROM agents WHERE name = ?"
        changed = database.execute(f"UPDATE agents SET scope = ({other}) WHERE name = ?", (wider, name))
        assert changed.rowcount == 1
    database.close()
    assert agent.refresh()
    with assert_denied("scope.action"):
        write()
    scope = tmp_path / "wider.json"
    scope.write_text('{"actions": ["read:*", "write:*"]}')
    home("agent", "renew", name, "--scope", scope)
    agent.refresh()
    assert write() == "ran"
    agent.close()


def test_a_child_of_a_fork_has_a_stream_of_its_own(cli, home, python):
    _, directory = home.create(READ)
    script = (
        PRELUDE
        + """
for _ in range(3): read()
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        for _ in range(5): read()
        # As multiprocessing does: no atexit.
        agent.close()
        os._exit(0)
    children.append(child)
for _ in range(3): read()
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
"""
    )
    python(script, directory)
    report = verify(cli, directory)
    text = json.dumps(report)
    assert "INVALID" not in text, text


def test_a_fork_before_the_first_decision(cli, home, python):
    _, directory = home.create(READ)
    script = (
        PRELUDE
        + """
child = os.fork()
read()
agent.close()
if child:
    assert os.waitpid(child, 0)[1] == 0
else:
    os._exit(0)
"""
    )
    python(script, directory)
    verify(cli, directory)


def test_an_agent_in_memory_does_not_follow_a_fork(home, python):
    _, directory = home.create(READ)
    script = (
        PRELUDE.replace("sys.argv[1]", 'sys.argv[1], state="memory"')
        + """
read()
child = os.fork()
if child == 0:
    try:
        read()
    except kakunin.AgentDenied as denied:
        os._exit(42 if denied.code == "agent.forked" else 1)
    os._exit(2)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
read()
"""
    )
    python(script, directory)


def test_multiprocessing_fails_with_the_way_to_do_it(home, python):
    _, directory = home.create(READ)
    script = (
        PRELUDE
        + """
import multiprocessing
def work(agent): ...
if __name__ == "__main__":
    try:
        process = multiprocessing.get_context("spawn").Process(target=work, args=(agent,))
        process.start()
    except TypeError as error:
        print(error)
"""
    )
    assert "open it again where it is needed: Agent.from_dir(" in python(script, directory).stdout


def test_gunicorn_with_preload(cli, home, tmp_path):
    _, directory = home.create({**READ, "rate": [{"for": ["read:x"], "max": 100000, "seconds": 60}]})
    (tmp_path / "app.py").write_text(
        PRELUDE.replace("sys.argv[1]", 'os.environ["AGENT"]')
        + """
read()
def app(environ, start_response):
    try:
        body = f"{os.getpid()} {read()}"
    except kakunin.ScopeDenied as denied:
        body = f"{os.getpid()} {denied}"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]
"""
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = ["-W", "error"] if "error" in sys.warnoptions else []
    command = [
        sys.executable,
        *flags,
        "-m",
        "gunicorn",
        "--preload",
        "--workers",
        "4",
        "--bind",
        f"127.0.0.1:{port}",
        "app:app",
    ]
    environment = {**os.environ, "AGENT": str(directory)}
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        answers: Counter[str] = Counter()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and (len(answers) < 4 or answers.total() < 200):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as response:
                    process, _, said = response.read().decode().partition(" ")
            except OSError:
                time.sleep(0.1)
                continue
            assert said == "ran"
            answers[process] += 1
        assert len(answers) == 4, (tmp_path / "log").read_text()
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0, (tmp_path / "log").read_text()
    verify(cli, directory)


def test_a_process_killed_between_calls_leaves_a_journal_that_verifies(cli, home):
    _, directory = home.create(READ)
    script = (
        PRELUDE
        + """
for n in range(100000):
    read()
    os.write(1, b".")
"""
    )
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", script, directory], stdout=subprocess.PIPE) as process:
            acknowledged = len(process.stdout.read(500))
            process.kill()
            acknowledged += len(process.stdout.read())
        assert acknowledged >= 500
    agent = Agent.from_dir(directory)
    verify_agent_scope("read:x", agent=agent)(lambda: None)()
    agent.close()
    verify(cli, directory)


def test_processes_killed_at_random_never_pass_a_daily_limit(home):
    _, directory = home.create(DAILY)
    script = (
        PRELUDE
        + """
for n in range(1000):
    try:
        pay("1.00")
    except kakunin.BudgetDenied as denied:
        if denied.code == "budget.window":
            break
        continue
    os.write(1, b".")
"""
    )
    done = 0
    for wave in range(3):
        command = [sys.executable, "-c", script, str(directory)]
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(8)]
        if wave < 2:
            for delay, process in enumerate(processes):
                time.sleep(0.05 + 0.01 * delay)
                process.kill()
        done += sum(len(process.communicate()[0]) for process in processes)
    assert 0 < done <= 100
    agent = Agent.from_dir(directory)
    with assert_denied("budget.window"):
        verify_agent_scope("payments:send", amount="total", currency="EUR", agent=agent)(lambda total: None)(
            "1.00"
        )
    agent.close()


# --- P15 ---


def test_a_state_that_cannot_be_written_denies(home, tmp_path):
    _, directory = home.create(READ)
    (tmp_path / "file").write_text("in the way")
    agent = Agent.from_dir(directory, state=tmp_path / "file" / "state")
    with assert_denied("journal.unavailable") as denied:
        verify_agent_scope("read:x", agent=agent)(lambda: None)()
    assert "state" in denied.value.fix
    agent.close()


def test_a_full_disk_denies(home, python):
    _, directory = home.create(READ)
    script = (
        PRELUDE
        + """
import resource
read()
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
ran = 0
try:
    for _ in range(1000):
        read()
        ran += 1
except kakunin.JournalDenied as denied:
    print(denied.code, ran)
else:
    print("never denied")
"""
    )
    code, _ = python(script, directory).stdout.split()
    assert code in ("journal.unavailable", "journal.poisoned")


def test_a_state_that_is_removed_is_noticed_within_a_second(home):
    _, directory = home.create(READ)
    agent = Agent.from_dir(directory)
    ran = []
    read = verify_agent_scope("read:x", agent=agent)(lambda: ran.append(time.monotonic()))
    read()
    shutil.rmtree(directory / "state")
    removed = time.monotonic()
    denied = None
    while denied is None and time.monotonic() - removed < 3:
        try:
            read()
        except kakunin.ScopeDenied as error:
            denied = error
        time.sleep(0.01)
    assert denied is not None
    assert denied.code.startswith(("journal.", "budget.", "revocation."))
    assert ran[-1] - removed < 1.0
    agent.close()


def test_a_locked_budget_file_denies_as_busy(home, python):
    import fcntl

    _, directory = home.create(DAILY)
    agent = Agent.from_dir(directory)
    pay = verify_agent_scope("payments:send", amount="total", currency="EUR", agent=agent)(lambda total: None)
    pay("1.00")
    with (directory / "state" / "budget.seg").open("rb") as budget:
        fcntl.flock(budget, fcntl.LOCK_EX)
        started = time.monotonic()
        with assert_denied("budget.busy"):
            pay("1.00")
        assert time.monotonic() - started < 1.0
    pay("1.00")
    agent.close()


# --- P8, P9 with files ---


def test_a_certificate_that_belongs_to_another_key_is_denied(home):
    _, one = home.create(READ)
    _, two = home.create(READ)
    shutil.copy(two / "agent.pem", one / "agent.pem")
    agent = Agent.from_dir(one)
    with assert_denied("certificate.malformed"):
        verify_agent_scope("read:x", agent=agent)(lambda: None)()
    agent.close()


def test_a_list_that_was_rolled_back_denies_at_the_next_start(home, tmp_path):
    name, directory = home.create(READ)
    lists = tmp_path / "lists.pem"
    shutil.copy(home.path / "home" / "public" / "lists.pem", lists)
    old = lists.read_bytes()

    def read(code=None):
        agent = open_agent(str(directory), lists=str(lists))
        try:
            verify_agent_scope("read:x", agent=agent)(lambda: None)()
            return None
        except kakunin.ScopeDenied as denied:
            return denied.code
        finally:
            agent.close()

    assert read() is None
    home("suspend", name, "--reason", "a test")
    home("resume", name, "--reason", "a test")
    shutil.copy(home.path / "home" / "public" / "lists.pem", lists)
    assert read() is None
    lists.write_bytes(old)
    assert read() == "revocation.rollback"
    lists.unlink()
    assert read() is not None


def test_a_body_that_forks_ends_its_reservation_once(home, python):
    _, directory = home.create(DAILY)
    script = (
        PRELUDE
        + """
@verify_agent_scope("payments:send", amount="total", currency="EUR")
def forking(total):
    child = os.fork()
    if child == 0:
        raise kakunin.NotExecuted("the child did nothing")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
pay("40.00")
try:
    forking("40.00")
except kakunin.NotExecuted:
    os._exit(0)
# Neither room that the child gave back nor a file that two processes wrote as one.
try:
    pay("40.00")
except kakunin.BudgetDenied as denied:
    assert denied.code == "budget.window", denied.code
else:
    raise AssertionError("120.00 of 100.00 were spent")
pay("20.00")
"""
    )
    python(script, directory)


def test_the_environment_cannot_ask_for_state_in_memory(home, python, tmp_path):
    _, directory = home.create(DAILY)
    script = (
        "import os, sys; os.chdir(sys.argv[1])"
        + PRELUDE.replace("Agent.from_dir(sys.argv[1])", "Agent.from_env()")
        + """
try:
    pay("60.00")
except kakunin.ScopeDenied as denied:
    print(denied.code)
"""
    )
    environment = {"KAKUNIN_AGENT_DIR": str(directory), "KAKUNIN_STATE_DIR": "memory"}
    answers = [python(script, tmp_path, **environment).stdout for _ in range(2)]
    assert answers == ["", "budget.window\n"]


def test_another_working_directory_is_no_other_list_and_no_other_state(home, python, tmp_path):
    name, directory = home.create(DAILY)
    lists = home.path / "home" / "public" / "lists.pem"
    (tmp_path / "public").mkdir()
    shutil.copy(lists, tmp_path / "public" / "lists.pem")
    script = (
        "import os, sys; os.chdir(sys.argv[2])"
        + PRELUDE.replace("sys.argv[1])", 'sys.argv[1], lists="public/lists.pem", state="own")', 1)
        + """
pay("60.00")
os.chdir(sys.argv[3])
agent.close()
try:
    pay("60.00")
except kakunin.BudgetDenied as denied:
    assert denied.code == "budget.window", denied.code
else:
    raise AssertionError("120.00 of 100.00 were spent")
os.system(sys.argv[4])
agent.refresh()
try:
    pay("1.00")
except kakunin.CertificateDenied as denied:
    assert denied.code == "certificate.revoked", denied.code
else:
    raise AssertionError("a revoked agent paid")
"""
    )
    cli = os.environ["KAKUNIN_CLI"]
    revoke = f"{cli} revoke {name} --reason test --home {home.path / 'home'} >/dev/null"
    python(script, directory, home.path / "home", tmp_path, revoke)
