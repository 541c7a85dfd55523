"""What owner and attacker cannot do to a stored object, and what `archive verify` says of those who could.

Only the strict server refuses what Amazon's refuses. On moto the refusals would fail, or pass for the wrong
reason: there the owner shortens a lock first, and deletes then.
"""

from datetime import datetime, timedelta, timezone

import pytest
from botocore.exceptions import ClientError
from conftest import Moto


@pytest.fixture
def filled(desk, strict):
    trail = strict.bucket("trail")
    desk.use(trail)
    desk.work(10)
    desk.push()
    return trail


def later(days: float) -> datetime:
    return datetime.now(timezone.utc) + timedelta(days=days)


def refused(code: str, call, **arguments):
    with pytest.raises(ClientError) as error:
        call(**arguments)
    assert error.value.response["Error"]["Code"] == code


def test_a_stored_version_cannot_be_deleted(filled):
    for key, version in filled.versions():
        it = {"Bucket": filled.name, "Key": key, "VersionId": version}
        refused("AccessDenied", filled.s3.delete_object, **it)
        refused("AccessDenied", filled.s3.delete_object, BypassGovernanceRetention=True, **it)
        assert filled.read(key, VersionId=version) is not None


def test_its_lock_cannot_be_shortened_or_weakened_and_can_be_lengthened(filled):
    key, version = filled.versions()[0]
    it = {"Bucket": filled.name, "Key": key, "VersionId": version}
    retain = filled.s3.put_object_retention
    end = filled.s3.get_object_retention(**it)["Retention"]["RetainUntilDate"]
    for mode, until in [("COMPLIANCE", end - timedelta(1)), ("GOVERNANCE", end), ("GOVERNANCE", later(4000))]:
        for bypass in (False, True):
            lock = {"Mode": mode, "RetainUntilDate": until}
            refused("AccessDenied", retain, Retention=lock, BypassGovernanceRetention=bypass, **it)
    retain(Retention={"Mode": "COMPLIANCE", "RetainUntilDate": later(4000)}, **it)
    assert filled.head(key, version)["ObjectLockRetainUntilDate"] > end


def test_the_bucket_keeps_its_versions_and_takes_no_past_date(filled):
    suspended = {"Status": "Suspended"}
    versioning = filled.s3.put_bucket_versioning
    refused("InvalidBucketState", versioning, Bucket=filled.name, VersioningConfiguration=suspended)
    lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": later(-1)}
    put = filled.s3.put_object
    refused(
        "InvalidArgument", put, Bucket=filled.name, Key="new", Body=b"x", ChecksumAlgorithm="SHA256", **lock
    )
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
    configuration = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    filled.s3.put_object_lock_configuration(Bucket=filled.name, ObjectLockConfiguration=configuration)
    filled.put("new", b"x")
    assert filled.head(*filled.versions()[-1])["ObjectLockMode"] == "COMPLIANCE"


def test_what_owners_of_a_weak_store_do_is_told_apart(desk, own):
    """moto lets a lock be shortened and weakened, and then deletes: verify has to see each of it."""
    trail = own(Moto).bucket("trail")
    desk.use(trail)
    desk.work(10)
    kept = desk.push()["kept"]
    gone, weak, brief = sorted(trail.versions())[:3]
    for (key, version), mode, days in [
        (gone, "GOVERNANCE", 1),
        (weak, "GOVERNANCE", 9000),
        (brief, "COMPLIANCE", 1),
    ]:
        lock = {"Mode": mode, "RetainUntilDate": later(days)}
        it = {"Bucket": trail.name, "Key": key, "VersionId": version}
        trail.s3.put_object_retention(Retention=lock, BypassGovernanceRetention=True, **it)
    key, version = gone
    trail.s3.delete_object(Bucket=trail.name, Key=key, VersionId=version, BypassGovernanceRetention=True)
    verified, _ = desk.run("archive", "verify", code=1)
    found = {broken["key"]: broken["code"] for broken in verified["broken"]}
    expected = {gone: "archive.gone", weak: "archive.not_locked", brief: "archive.shortened"}
    assert found == {key: code for (key, _), code in expected.items()}
    assert verified["kept"] == kept - 3


def test_bytes_that_were_changed_on_the_servers_disk_are_found(desk, filled):
    keys = sorted(filled.names())[:2]

    def rot(buckets):
        body, checksum = (buckets["trail"].keys[key][0] for key in keys)
        body.body = bytes([body.body[0] ^ 1]) + body.body[1:]
        checksum.sha256 = None

    filled.server.tamper(rot)
    verified, _ = desk.run("archive", "verify", code=1)
    assert {broken["key"]: broken["code"] for broken in verified["broken"]} == dict.fromkeys(
        keys, "archive.altered"
    )
    assert ["bytes" in broken["why"] for broken in verified["broken"]] == [True, False]


@pytest.mark.parametrize(("lock_as", "said"), [("GOVERNANCE", "GOVERNANCE only"), ("", "not locked")])
def test_a_server_that_swallows_the_lock_is_not_believed(desk, strict, lock_as, said):
    trail = strict.bucket("trail")
    desk.use(trail)
    strict.set(lock_as=lock_as)
    pushed = desk.push(code=1)
    assert pushed["kept"] == 0 and pushed["refused"]
    assert all(said in refused["why"] for refused in pushed["refused"])
    # The checkpoint was held back, the rest lies there and counts as not stored.
    assert desk.inventory() == [] and pushed["backlog"]["queued"] == len(trail.versions()) + 1
    # Once it locks, what it did not lock is locked now; GOVERNANCE is not ours to change.
    strict.set()
    desk.push(code=1 if lock_as else 0)


def test_ours_is_found_under_many_versions_of_others(desk, filled):
    """After the loss of the inventory, over several pages of a list."""
    kept = len(desk.inventory())
    for key in filled.names():
        for number in range(5):
            filled.put(key, b"other %d" % number)
    filled.server.set(page=2)
    (desk.home / "archive/inventory").unlink()
    stored = len(filled.versions())
    assert desk.push()["kept"] == kept
    filled.server.set(page=2)
    assert len(filled.versions()) == stored
    assert desk.run("archive", "verify")[0]["kept"] == kept
