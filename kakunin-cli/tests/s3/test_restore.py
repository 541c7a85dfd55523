"""The bucket alone: somebody else reads what a machine that is gone had archived; see docs/archive.md."""

import pytest


@pytest.fixture
def archived(desk, trail):
    """Receipts under one checkpoint after another, then a bucket that somebody made a mess of."""
    desk.use(trail)
    for receipts in (300, 300, 20):
        desk.work(receipts)
        desk.push()
    for number, key in enumerate(sorted(trail.names())):
        if number % 2:
            trail.put(key, b"newer")
        else:
            trail.s3.delete_object(Bucket=trail.name, Key=key)
    return trail


def locked(trail) -> dict[str, bytes]:
    """Of each key the version under COMPLIANCE, whatever lies on top of it."""
    found = {}
    for key, version in trail.versions():
        if trail.head(key, version).get("ObjectLockMode") == "COMPLIANCE":
            assert key not in found
            found[key] = trail.read(key, VersionId=version)
    return found


def restore(objects: dict[str, bytes], log):
    heads = {int(key.split("/")[2]): body for key, body in objects.items() if "/checkpoints/" in key}
    log.mkdir()
    (log / "checkpoint").write_bytes(heads[max(heads)])
    for key, body in objects.items():
        if key.startswith("log/tile/"):
            path = log / key.removeprefix("log/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)


def test_an_archived_log_proves_what_the_live_one_proves(desk, archived):
    objects = locked(archived)
    restore(objects, desk.folder / "restored")
    key = (desk.home / "log/vkey").read_text().strip()

    def verify(log, code=0):
        trust = ["--root", "agents/mail/ca.pem", "--log", log, "--log-key", key]
        return desk.run("verify", "trail", *trust, code=code)[0]

    live, restored = verify(".kakunin/log"), verify("restored")
    assert restored == live and "COMPLETE" in str(live)
    # The lists are there as well, by their digests: every one that was ever published.
    assert len([key for key in objects if key.startswith("lists/")]) == 2
    # It is the tiles that prove: without one of them nothing does.
    tile = desk.folder / "restored/tile/0/000"
    tile.write_bytes(b"\0" * tile.stat().st_size)
    output = desk.start(
        "verify", "trail", "--root", "agents/mail/ca.pem", "--log", "restored", "--log-key", key
    )
    output.communicate()
    assert output.returncode != 0
