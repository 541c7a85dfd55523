"""fuzz_least.py CONTROL MOST: print what reaches more than the first folder of a libFuzzer merge.

CONTROL is the control file of a merge with `-set_cover_merge=1`, which says of each file what it reaches.
At most MOST files are named, each a path: first the one that reaches most, then what reaches most beside it,
the shorter one first. So what is kept is small and the same each time.
"""

import sys
from pathlib import Path


def main(control: str, most: int) -> None:
    lines = Path(control).read_text().splitlines()
    count, known = int(lines[0]), int(lines[1])
    files = lines[2 : 2 + count]
    reached: dict[int, set[str]] = {}
    for line in lines[2 + count :]:
        if line.startswith("FT "):
            _, number, *features = line.split()
            reached[int(number)] = set(features)
    covered = set().union(*(reached.get(number, set()) for number in range(known)))
    left = {number: reached[number] for number in reached if number >= known}
    size = {number: Path(files[number]).stat().st_size for number in left}
    left = {number: features for number, features in left.items() if size[number] <= LONGEST}
    for _ in range(most):
        gains = [(-len(left[number] - covered), size[number], files[number], number) for number in left]
        gain, _, _, best = min(gains, default=(0, 0, "", 0))
        if not gain:
            break
        covered |= left.pop(best)
        print(files[best])


#: A corpus is read in every run of the tests.
LONGEST = 4096

if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
