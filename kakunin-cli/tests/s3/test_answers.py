"""What the command line says when a bucket cannot keep the archive: the code, and how to put it right."""

import pytest
from conftest import Strict


def test_a_bucket_without_a_lock_is_refused(desk, server):
    trail = server.bucket("no-lock", lock=False)
    _, err = desk.use(trail, code=1)
    assert "does not keep versions" in err and "turn versioning on" in err
    trail.s3.put_bucket_versioning(Bucket=trail.name, VersioningConfiguration={"Status": "Enabled"})
    _, err = desk.use(trail, code=1)
    assert "no Object Lock" in err and "turn it on" in err
    assert not (desk.home / "archive/target.json").exists()


def test_a_bucket_that_does_not_exist_is_refused(desk, server):
    trail = server.bucket("here")
    trail.name = "elsewhere"
    _, err = desk.use(trail, code=1)
    assert "NoSuchBucket" in err and "make it, with Object Lock" in err


def test_credentials_are_asked_for_by_name(desk, strict):
    trail = strict.bucket("trail")
    _, err = desk.use(trail, code=2, AWS_ACCESS_KEY_ID=None)
    assert "AWS_ACCESS_KEY_ID" in err and "AWS_PROFILE" in err
    _, err = desk.use(trail, code=2, AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    assert "AWS_ACCESS_KEY_ID" in err
    _, err = desk.use(trail, code=1, AWS_ACCESS_KEY_ID="AKIDOFANOTHER")
    assert "InvalidAccessKeyId" in err and "AWS_ACCESS_KEY_ID" in err
    _, err = desk.use(trail, code=1, AWS_SECRET_ACCESS_KEY="other")
    assert "SignatureDoesNotMatch" in err and "AWS_SECRET_ACCESS_KEY" in err
    # Without them what is new is collected all the same.
    desk.use(trail)
    desk.work(5)
    desk.run("archive", "push", code=2, AWS_ACCESS_KEY_ID=None)
    assert desk.run("archive", "status")[0]["backlog"]["queued"] > 0


def test_the_region_is_asked_for_by_name(desk, strict):
    trail = strict.bucket("trail", region="eu-central-1")
    _, err = desk.use(trail, code=1)
    assert "expecting 'eu-central-1'" in err and "--region" in err
    desk.use(trail, "--region", "eu-central-1")
    assert desk.push()["kept"] > 0
    desk.run("archive", "verify")


def test_amazon_is_not_asked_without_a_region(desk):
    _, err = desk.run("archive", "use", "s3://trail", "--keep", "5y", code=2, AWS_REGION=None)
    assert "--region" in err and "AWS_REGION" in err


@pytest.mark.parametrize("years", [-4, 4])
def test_a_clock_that_is_years_off_locks_nothing(desk, strict, years):
    trail = strict.bucket("trail")
    desk.use(trail)
    strict.set(seconds_ahead=years * 365 * 86400)
    for command in (["push"], ["verify"]):
        _, err = desk.run("archive", *command, code=1)
        assert "set the clock" in err
    assert trail.versions() == []


def test_no_variable_sends_the_archive_elsewhere(desk, own):
    trail, other = own(Strict).bucket("trail"), own(Strict).bucket("trail")
    elsewhere = {"AWS_ENDPOINT_URL": other.server.url, "AWS_ENDPOINT_URL_S3": other.server.url}
    desk.use(trail, **elsewhere)
    assert desk.push(**elsewhere)["kept"] == len(trail.versions()) > 0
    assert other.versions() == []


def test_nobody_answers(desk, own):
    server = own(Strict)
    trail = server.bucket("trail")
    server.kill()
    _, err = desk.use(trail, code=2)
    assert "cannot look at the bucket" in err and "Traceback" not in err
    server.start()
    desk.use(trail)
    server.kill()
    desk.run("archive", "verify", code=2)


def test_what_is_no_place_is_wrong_usage(desk, strict):
    for place in ("trail", "https://trail", "s3://UPPER", "s3://trail/a b"):
        desk.run("archive", "use", place, "--keep", "5y", code=64)
    desk.run("archive", "use", "s3://trail", "--keep", "8y", code=64)
    desk.run("archive", "use", "s3://trail", "--keep", "5y", "--endpoint", "http://s3.example.org", code=64)
    for command in ("push", "status", "verify"):
        _, err = desk.run("archive", command, code=64)
        assert "kakunin archive use" in err
