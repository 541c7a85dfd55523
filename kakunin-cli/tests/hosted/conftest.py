"""A service of our own for the client of the hosted one."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

CLI = os.environ["KAKUNIN_CLI"]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """Address and owner's key of a service that runs as long as the tests."""
    folder: Path = tmp_path_factory.mktemp("service")
    ready = folder / "ready.json"
    command = [CLI, "serve", "--home", folder / "home", "--listen", "127.0.0.1:0", "--ready-file", ready]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
    try:
        deadline = time.monotonic() + 120
        # The file appears whole, by a rename.
        while not ready.exists():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, "the service is not ready"
            time.sleep(0.01)
        yield json.loads(ready.read_text())
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
