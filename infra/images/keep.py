"""`python keep.py LOCK LEAVE_OUT [NAME …]`: print the entries of a lock but those whose name fits a pattern.

With names, print only those.
"""

import re
import sys
from pathlib import Path


def entries(text: str) -> list[str]:
    """Return a lock's entries, each with its hashes."""
    return [entry for entry in re.split(r"\n(?=[a-z0-9])", text.strip()) if re.match(r"[a-z0-9]", entry)]


def name_of(entry: str) -> str:
    """Return the distribution an entry is about."""
    return re.split(r"[\[=]", entry, maxsplit=1)[0]


def main() -> None:
    """Print what is kept."""
    text, leave_out, only = Path(sys.argv[1]).read_text(encoding="utf-8"), sys.argv[2], set(sys.argv[3:])
    for entry in entries(text):
        name = name_of(entry)
        if (name in only) if only else not (leave_out and re.search(leave_out, name)):
            sys.stdout.write(entry + "\n")


if __name__ == "__main__":
    main()
