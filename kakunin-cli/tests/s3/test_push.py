"""What a push leaves in the bucket; against both servers, where both do as Amazon's does."""

import base64
import hashlib
from datetime import datetime, timedelta, timezone

import pytest
from conftest import days_from_now

DAYS = {"6m": 184, "5y": 1827, "6y": 2192, "7y": 2557}


def test_everything_is_locked_checksummed_and_stored_once(desk, trail):
    desk.use(trail)
    desk.work(700)
    pushed = desk.push()
    versions = trail.versions()
    assert pushed["kept"] == pushed["collected"] == len(versions) == len(trail.names()) > 9
    for key, version in versions:
        head = trail.head(key, version)
        body = trail.read(key, VersionId=version)
        assert head["ObjectLockMode"] == "COMPLIANCE"
        assert 0 <= DAYS["5y"] - days_from_now(head["ObjectLockRetainUntilDate"]) < 0.1
        assert head["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(body).digest()).decode()
        assert body == desk.sources().get(key, body)
    assert desk.sources().keys() <= trail.names()
    assert {(line["key"], line["version"]) for line in desk.inventory()} == set(versions)
    assert len(desk.inventory()) == len(versions)

    again = desk.push()
    assert (again["collected"], again["kept"], again["backlog"]["objects"]) == (0, 0, 0)
    assert trail.versions() == versions
    status, _ = desk.run("archive", "status")
    assert status["kept"]["objects"] == len(versions) and status["alarm"] is None
    verified, _ = desk.run("archive", "verify")
    assert (verified["kept"], verified["broken"], verified["elsewhere"]) == (len(versions), [], 0)


@pytest.mark.parametrize("keep", DAYS)
def test_each_preset_locks_for_its_span(desk, trail, keep):
    used, _ = desk.use(trail, keep=keep)
    assert used["days"] == DAYS[keep]
    desk.push()
    ends = [trail.head(*version)["ObjectLockRetainUntilDate"] for version in trail.versions()]
    assert ends and all(0 <= DAYS[keep] - days_from_now(end) < 0.1 for end in ends)


def test_what_is_stored_is_kept_for_longer_when_an_authority_asks(desk, trail):
    desk.use(trail, keep="5y")
    desk.work(10)
    kept = desk.push()["kept"]
    for keep, lengthened, years in [("5y", 0, "5y"), ("7y", kept, "7y"), ("7y", 0, "7y"), ("6m", 0, "7y")]:
        desk.use(trail, keep=keep)
        answer, _ = desk.run("archive", "lengthen")
        assert (answer["lengthened"], answer["as_before"]) == (lengthened, kept - lengthened)
        for version in trail.versions():
            head = trail.head(*version)
            assert head["ObjectLockMode"] == "COMPLIANCE"
            assert 0 <= DAYS[years] - days_from_now(head["ObjectLockRetainUntilDate"]) < 0.1
    assert desk.run("archive", "verify")[0]["kept"] == kept
    assert desk.run("archive", "status")[0]["kept"]["objects"] == kept


def test_a_bucket_that_would_lock_as_governance_is_overruled(desk, server, trail):
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    lock = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    trail.s3.put_object_lock_configuration(Bucket=trail.name, ObjectLockConfiguration=lock)
    desk.use(trail)
    assert desk.push()["kept"] > 0
    assert {trail.head(*version)["ObjectLockMode"] for version in trail.versions()} == {"COMPLIANCE"}


def test_what_is_there_already_with_the_same_bytes_is_taken_over(desk, trail):
    desk.use(trail)
    desk.work(300)
    versions = len(desk.sources())
    # One that somebody stored without a lock, one locked for too short a time.
    bare, brief = sorted(desk.sources())[:2]
    trail.put(bare, desk.sources()[bare], ChecksumAlgorithm="SHA256")
    soon = datetime.now(timezone.utc) + timedelta(days=3)
    lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": soon}
    trail.put(brief, desk.sources()[brief], ChecksumAlgorithm="SHA256", **lock)
    pushed = desk.push()
    assert pushed["refused"] == [] and pushed["kept"] > versions
    (desk.home / "archive/inventory").unlink()
    assert desk.push()["kept"] == pushed["kept"]
    assert len(trail.versions()) == len(trail.names()) == len(desk.inventory()) == pushed["kept"]
    for version in trail.versions():
        head = trail.head(*version)
        assert (
            head["ObjectLockMode"] == "COMPLIANCE" and days_from_now(head["ObjectLockRetainUntilDate"]) > 1826
        )
    desk.run("archive", "verify")


def test_what_is_there_already_with_other_bytes_is_an_alarm_and_left_alone(desk, trail):
    desk.use(trail)
    desk.work(300)
    bare, brief = sorted(desk.sources())[:2]
    soon = datetime.now(timezone.utc) + timedelta(days=3)
    trail.put(bare, b"other")
    lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": soon}
    trail.put(brief, b"another", ChecksumAlgorithm="SHA256", **lock)
    for _ in range(2):
        pushed = desk.push(code=1)
        assert {refused["key"] for refused in pushed["refused"]} == {bare, brief}
        assert all("other bytes" in refused["why"] for refused in pushed["refused"])
        assert pushed["held_back"] == 1 and pushed["backlog"]["queued"] == 3
    assert (trail.read(bare), trail.read(brief)) == (b"other", b"another")
    assert len(trail.versions()) == len(trail.names())
    assert not any("/checkpoints/" in key for key in trail.names()), "it would state what is not there"
    # Nobody else's bytes were locked, or for longer.
    heads = {key: trail.head(key, version) for key, version in trail.versions()}
    assert "ObjectLockMode" not in heads[bare]
    assert days_from_now(heads[brief]["ObjectLockRetainUntilDate"]) < 4
    assert not {bare, brief} & {line["key"] for line in desk.inventory()}


def test_a_delete_marker_or_a_newer_version_on_top_is_no_loss(desk, trail):
    desk.use(trail)
    desk.work(10)
    kept = desk.push()["kept"]
    for number, key in enumerate(sorted(trail.names())):
        if number % 2:
            trail.put(key, b"newer")
        else:
            trail.s3.delete_object(Bucket=trail.name, Key=key)
    assert desk.push()["kept"] == 0
    verified, _ = desk.run("archive", "verify")
    assert (verified["kept"], verified["broken"]) == (kept, [])
    # Also when the inventory is lost: ours is found below a newer one, or stored again over a marker.
    (desk.home / "archive/inventory").unlink()
    assert desk.push()["kept"] == kept
    assert desk.run("archive", "verify")[0]["kept"] == kept


def test_two_homes_under_one_prefix_do_not_mix(desk, trail, another):
    desk.use(trail)
    desk.work(20)
    desk.push()
    before = trail.versions()
    another.work(20)
    another.use(trail)
    assert another.push(code=1)["refused"]
    assert set(before) <= set(trail.versions())
    desk.run("archive", "verify")
    # As the refusal says: the outbox moved away, and another prefix.
    (another.home / "archive/outbox").rename(another.folder / "outbox")
    place = f"s3://{trail.name}/another"
    another.run("archive", "use", place, "--keep", "5y", "--endpoint", trail.server.url)
    assert another.push()["backlog"]["objects"] == 0
    assert {f"another/{key}" for key in another.sources()} <= trail.names()
