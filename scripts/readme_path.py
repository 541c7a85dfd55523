"""Run the five-minute path of the README exactly as a reader would paste it, or its part about Node.

Between the two `five minutes` comments, or the two `node` comments with `node` as third argument, a block
marked with a language and a file name becomes that file, each line of a `sh` block is run, and the command
of a `crontab` line is run once. A line that ends in `# denied: CODE` must fail and print CODE, one in
`# ends with N: WORD` end with N and print WORD; every other line must succeed.
"""

import re
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(r"^```(\w+)[ ]?(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DENIED = re.compile(r"# denied: (\S+)$")
ENDS = re.compile(r"# ends with (\d+): (\S+)$")


def run(line: str, folder: Path) -> None:
    denied, ends = DENIED.search(line), ENDS.search(line)
    print(f"$ {line}", flush=True)
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    print(said, end="", flush=True)
    if denied and (done.returncode == 0 or denied[1] not in said):
        sys.exit(f"this line should have been denied with {denied[1]}")
    if ends and (done.returncode != int(ends[1]) or ends[2] not in said):
        sys.exit(f"this line should have ended with {ends[1]} and {ends[2]}; it ended with {done.returncode}")
    if not denied and not ends and done.returncode != 0:
        sys.exit(f"this line should have worked; it ended with {done.returncode}")


def main(readme: Path, folder: Path, part: str = "five minutes") -> None:
    path = re.search(f"<!-- {part} -->(.*?)<!-- end of {part} -->", readme.read_text(), re.DOTALL)
    if not path:
        sys.exit(f"{readme} has no part `{part}`")
    for language, name, text in BLOCK.findall(path[1]):
        if name:
            (folder / name).write_text(text)
        elif language == "sh":
            for line in filter(None, text.splitlines()):
                run(line, folder)
        elif language == "crontab":
            # minute, hour, day, month, weekday, folder change; the command is what follows
            for line in text.splitlines():
                run(line.split(maxsplit=5)[5].split("&& ", 1)[1], folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
