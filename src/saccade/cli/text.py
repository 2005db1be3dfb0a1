"""Names that others chose, such as a file's or a class's, as one line of a terminal shows them."""

from __future__ import annotations


def one_line(name: str) -> str:
    r"""Return a name with line ends, control codes and stray bytes written as ``\n``, ``\x1b``."""
    if name.isprintable():
        return name
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in name
    )
