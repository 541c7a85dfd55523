"""Buckets that go away and processes that are killed: nothing waits, is lost or is kept twice."""

import random
import re
import subprocess
import time
from collections import Counter

import pytest
from conftest import Moto, Strict

MANY = 8_000  # receipts: 31 full tiles and as many bundles


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("kind", [Moto, Strict], ids=["moto", "strict"])
def test_a_server_that_is_killed_stops_nothing_and_loses_nothing(desk, own, kind):
    server = own(kind)
    trail = server.bucket("trail")
    desk.use(trail, "--alarm-objects", "40")
    desk.work(MANY)
    if kind is Strict:
        server.set(put_delay=0.05)
    push = desk.start("archive", "push")
    wait_for(lambda: len(desk.inventory()) >= 5)
    server.kill()
    out, err = push.communicate(timeout=120)
    assert push.returncode == 2, out + err
    assert "cannot" in err
    stored = desk.inventory()
    assert 5 <= len(stored) < 60

    # The log goes on, and each checkpoint of it is collected although the bucket is away.
    backlog = []
    for _ in range(3):
        desk.work(10)
        pushed = desk.push(code=2)
        assert pushed["collected"] > 0 and pushed["kept"] == 0 and pushed["stopped"]
        backlog.append(pushed["backlog"]["queued"])
    assert backlog == sorted(set(backlog))
    status, err = desk.run("archive", "status", code=1)
    assert status["alarm"]["code"] == "archive.backlog_objects" and "[archive.backlog_objects]" in err
    assert status["backlog"]["objects"] == backlog[-1] and status["backlog"]["bytes"] > 0
    outbox = {path.name for path in (desk.home / "archive/outbox").iterdir()}
    assert len(outbox) == backlog[-1]

    server.start()
    if kind is Moto:  # it forgets everything, as no bucket should
        server.bucket("trail")
    pushed = desk.push()
    assert pushed["kept"] == backlog[-1] and pushed["backlog"]["objects"] == 0
    desk.run("archive", "status")
    inventory = desk.inventory()
    assert Counter(line["key"] for line in inventory).most_common(1)[0][1] == 1
    assert desk.sources().keys() <= {line["key"] for line in inventory}
    sizes = {
        int(found[1]) for line in inventory if (found := re.search("/checkpoints/([0-9]+)/", line["key"]))
    }
    assert len(sizes) >= 4, sizes
    if kind is Strict:
        assert Counter(trail.versions()) == Counter((line["key"], line["version"]) for line in inventory)
        assert desk.run("archive", "verify")[0]["kept"] == len(inventory)
    else:
        verified, _ = desk.run("archive", "verify", code=1)
        assert {broken["key"] for broken in verified["broken"]} == {line["key"] for line in stored}
        assert {broken["code"] for broken in verified["broken"]} == {"archive.gone"}


def test_a_push_that_is_killed_again_and_again_keeps_everything_once(desk, strict):
    trail = strict.bucket("trail")
    desk.use(trail)
    desk.work(MANY)
    strict.set(put_delay=0.2)  # of 16 at a time, so no machine is through before the fifth round
    dice, kills = random.Random(17), 0
    for attempt in range(100):
        push = desk.start("archive", "push")
        try:
            push.communicate(timeout=0.02 + dice.random() * max(0.28, 0.1 * (attempt - 6)))
            break
        except subprocess.TimeoutExpired:
            push.kill()
            push.communicate()
            kills += 1
        # Whatever the moment, what is recorded is there.
        assert {(line["key"], line["version"]) for line in desk.inventory()} <= set(trail.versions())
    assert push.returncode == 0 and kills >= 3
    assert desk.push()["kept"] == 0
    inventory = desk.inventory()
    assert Counter(trail.versions()) == Counter((line["key"], line["version"]) for line in inventory)
    assert len(trail.names()) == len(inventory) and desk.sources().keys() <= trail.names()
    assert desk.run("archive", "verify")[0]["kept"] == len(inventory)
    assert not list((desk.home / "archive/outbox").iterdir())


def test_an_answer_that_is_lost_is_no_second_version(desk, strict):
    trail = strict.bucket("trail")
    desk.use(trail)
    desk.work(600)
    strict.set(lose_answer=5)
    pushed = desk.push()
    assert pushed["refused"] == [] and len(trail.versions()) == len(trail.names()) == pushed["kept"]


def test_a_bucket_of_the_same_name_on_another_server_is_another_bucket(desk, own):
    first, second = own(Strict).bucket("trail"), own(Strict).bucket("trail")
    desk.use(first)
    desk.work(10)
    kept = desk.push()["kept"]
    desk.use(second)
    assert desk.run("archive", "status")[0]["backlog"]["objects"] == kept
    assert desk.push()["kept"] == kept and second.names() == first.names()
    verified, _ = desk.run("archive", "verify")
    assert (verified["kept"], verified["elsewhere"]) == (kept, kept)
    desk.use(first)
    assert desk.push()["kept"] == 0


def test_a_server_that_asks_to_come_back_is_asked_again(desk, strict):
    trail = strict.bucket("trail")
    desk.use(trail)
    desk.work(600)
    strict.set(busy=2)
    pushed = desk.push()
    assert pushed["refused"] == [] and len(trail.versions()) == len(trail.names()) == pushed["kept"]
    # For longer than a push asks again, it is a bucket that is away.
    desk.work(1)
    strict.set(busy=1000)
    pushed = desk.push(code=2)
    assert "SlowDown" in pushed["stopped"] and pushed["kept"] == 0 and pushed["backlog"]["queued"] == 3
    strict.set()
    assert desk.push()["kept"] == 3
