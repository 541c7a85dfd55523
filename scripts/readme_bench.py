"""Put a table of `make bench` between the `bench` comments of the README."""

import re
import sys
from pathlib import Path

PLACE = re.compile(r"(<!-- bench -->\n).*?(<!-- end of bench -->)", re.DOTALL)


def main(readme: Path, table: Path) -> None:
    text, places = PLACE.subn(lambda found: found[1] + table.read_text() + found[2], readme.read_text())
    if places != 1:
        sys.exit(f"{readme} has {places} places for the table")
    readme.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
