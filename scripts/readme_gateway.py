"""Run the page about gateways of the README as a reader would paste it.

Between the two `gateway` comments, a block marked with a language and a file name becomes that file, and each
line of a `sh` block is run. A comment that begins with a number says what the line prints: the status, and
the code where there is one. What the packages are is the environment's; ports are exchanged for free ones.
"""

import re
import socket
import subprocess
import sys
from pathlib import Path

PAGE = re.compile(r"<!-- gateway -->(.*?)<!-- end of gateway -->", re.DOTALL)
BLOCK = re.compile(r"^```(\w+)[ ]?(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SAID = re.compile(r"\s+# (\d{3})(?: (\S+))?$")


def free_port() -> str:
    with socket.socket() as sought:
        sought.bind(("127.0.0.1", 0))
        return str(sought.getsockname()[1])


def run(line: str, folder: Path) -> None:
    print(f"$ {line}", flush=True)
    expected = SAID.search(line)
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout + done.stderr, end="", flush=True)
    if done.returncode != 0:
        sys.exit(f"this line should have worked; it ended with {done.returncode}")
    if expected and not all(part in done.stdout for part in filter(None, expected.groups())):
        sys.exit(f"this line should have said {' '.join(filter(None, expected.groups()))}")


def main(readme: Path, folder: Path) -> None:
    page = PAGE.search(readme.read_text())
    if not page:
        sys.exit(f"{readme} has no page about gateways")
    text = page[1]
    for port in ("8082", "8081"):
        text = text.replace(port, free_port())
    served: list[subprocess.Popen[bytes]] = []
    try:
        for language, name, block in BLOCK.findall(text):
            if name:
                (folder / name).write_text(block)
                continue
            for line in filter(None, block.splitlines() if language == "sh" else ()):
                if line.startswith("npm install"):
                    continue
                if line.endswith("&"):
                    served.append(subprocess.Popen(line.removesuffix("&").split(), cwd=folder))
                else:
                    run(line, folder)
        for process in served:
            if process.poll() is not None:
                sys.exit(f"a service ended with {process.returncode}")
    finally:
        for process in served:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
