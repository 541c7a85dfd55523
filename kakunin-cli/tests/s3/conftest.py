"""Two servers to archive into, a home that archives, and the client that plays owner and attacker."""

import http.client
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from strict_s3 import KEY, SECRET, Faults

CLI = os.environ["KAKUNIN_CLI"]


class Server:
    """A server in a process of its own, on a port that it keeps when it is started again."""

    def __init__(self, folder: Path):
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise TimeoutError(self.url)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def client(self):
        config = Config(
            signature_version="s3v4",
            s3={"addressing_style": "path", "payload_signing_enabled": True},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"max_attempts": 1},
        )
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            config=config,
        )

    def bucket(self, name: str, lock: bool = True, region: str | None = None) -> "Trail":
        more = {"CreateBucketConfiguration": {"LocationConstraint": region}} if region else {}
        self.client().create_bucket(Bucket=name, ObjectLockEnabledForBucket=lock, **more)
        return Trail(self, name)


class Moto(Server):
    name = "moto"

    def command(self):
        return [sys.executable, Path(__file__).with_name("moto_s3.py"), str(self.port)]


class Strict(Server):
    name = "strict"

    def command(self):
        return [sys.executable, Path(__file__).with_name("strict_s3.py"), self.state, str(self.port)]

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def set(self, **faults):
        request = http.client.HTTPConnection("127.0.0.1", self.port)
        request.request("PUT", "/-", json.dumps(asdict(Faults(**faults))))
        assert request.getresponse().status == 200

    def tamper(self, change):
        """What nobody can do from outside: change what lies on the server's disk."""
        self.kill()
        buckets = pickle.loads(self.state.read_bytes())
        change(buckets)
        self.state.write_bytes(pickle.dumps(buckets))
        self.start()


class Trail:
    """A bucket as its owner sees it."""

    def __init__(self, server: Server, name: str):
        self.server, self.name, self.s3 = server, name, server.client()

    def versions(self) -> list[tuple[str, str]]:
        pages = self.s3.get_paginator("list_object_versions").paginate(Bucket=self.name)
        return [(row["Key"], row["VersionId"]) for page in pages for row in page.get("Versions", [])]

    def names(self) -> set[str]:
        return {key for key, _ in self.versions()}

    def head(self, key: str, version: str):
        return self.s3.head_object(Bucket=self.name, Key=key, VersionId=version, ChecksumMode="ENABLED")

    def read(self, key: str, **more) -> bytes:
        return self.s3.get_object(Bucket=self.name, Key=key, **more)["Body"].read()

    def put(self, key: str, body: bytes, **more) -> str:
        return self.s3.put_object(Bucket=self.name, Key=key, Body=body, **more)["VersionId"]


class Desk:
    """A home in a folder, and the binary to work on it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.home = folder / ".kakunin"
        self.environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.environment |= {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def start(self, *arguments: str, **environment: str | None) -> subprocess.Popen:
        merged = {k: v for k, v in {**self.environment, **environment}.items() if v is not None}
        return subprocess.Popen(
            [CLI, *map(str, arguments), "--json"],
            cwd=self.folder,
            env=merged,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0, **environment: str | None):
        """Runs a command that must end with `code`; gives its record, and what it said beside it."""
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=120)
        assert process.returncode == code, f"{arguments} ended with {process.returncode}: {out}{err}"
        return (json.loads(out.splitlines()[0]) if out.strip() else None), err

    def use(self, trail: Trail, *more: str, keep: str = "5y", code: int = 0, **environment: str | None):
        place = f"s3://{trail.name}"
        arguments = ["archive", "use", place, "--keep", keep, "--endpoint", trail.server.url, *more]
        return self.run(*arguments, code=code, **environment)

    def push(self, code: int = 0, **environment: str | None):
        return self.run("archive", "push", code=code, **environment)[0]

    def work(self, receipts: int):
        """Writes receipts and brings them to the log."""
        requests = self.folder / "requests.jsonl"
        requests.write_text('{"action":"read:mail"}\n' * receipts)
        lists = self.home / "public/lists.pem"
        check = ["check", "--agent", "agents/mail", "--crl", lists, "--requests", requests]
        self.run(*check, "--journal", "trail")
        self.run("log", "--journal", "trail")

    def inventory(self) -> list[dict]:
        """Its whole lines; the last may have been cut by a kill, and counts for nothing then."""
        path = self.home / "archive/inventory"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def sources(self) -> dict[str, bytes]:
        """The log's present static files under the keys that they have in the bucket."""
        log = self.home / "log"
        files = {f"log/{path.relative_to(log)}": path for path in (log / "tile").rglob("*") if path.is_file()}
        return {key: path.read_bytes() for key, path in files.items()}


@pytest.fixture(params=[Moto, Strict], ids=["moto", "strict"], scope="session")
def server(request, tmp_path_factory):
    """Both servers, for what both do as Amazon's does."""
    server = request.param(tmp_path_factory.mktemp(request.param.name))
    yield server
    server.kill()


@pytest.fixture
def own(request, tmp_path):
    """Servers that a test may kill."""
    made = []

    def make(kind):
        folder = tmp_path / f"server{len(made)}"
        folder.mkdir()
        made.append(kind(folder))
        return made[-1]

    yield make
    for server in made:
        server.kill()


@pytest.fixture
def strict(own):
    return own(Strict)


@pytest.fixture
def trail(server, request):
    """An empty bucket with Object Lock."""
    digest = abs(hash(request.node.nodeid)) % 10**12
    return server.bucket(f"trail-{digest}")


def begin(folder: Path) -> Desk:
    desk = Desk(folder)
    (desk.folder / "scope.toml").write_text('actions = ["read:mail"]')
    desk.run("init")
    desk.run("agent", "create", "mail", "--scope", "scope.toml", "--out", "agents/mail")
    desk.run("log")
    return desk


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    return begin(tmp_path_factory.mktemp("template"))


@pytest.fixture
def desk(template, tmp_path):
    shutil.copytree(template.folder, tmp_path / "desk")
    return Desk(tmp_path / "desk")


@pytest.fixture
def another(tmp_path):
    """The home of somebody else."""
    (tmp_path / "another").mkdir()
    return begin(tmp_path / "another")


def days_from_now(date: datetime) -> float:
    return (date - datetime.now(timezone.utc)).total_seconds() / 86400
