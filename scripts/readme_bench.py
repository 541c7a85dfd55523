"""Put tables of `make bench` between the comments of the README that have their names."""

import re
import sys
from pathlib import Path


def main(readme: Path, tables: list[str]) -> None:
    text = readme.read_text()
    for table in tables:
        name, _, path = table.partition("=")
        mark = re.escape(name)
        place = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- end of {mark} -->)", re.DOTALL)
        rows = Path(path).read_text()
        text, places = place.subn(lambda found, rows=rows: found[1] + rows + found[2], text)
        if places != 1:
            sys.exit(f"{readme} has {places} places for the table `{name}`")
    readme.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
