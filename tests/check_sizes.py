"""Fails where a file or a function outgrows what fits in the head: the limits stand below."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_CLASS_LINES, MAX_METHODS = 600, 80, 150, 12


def complaints(path: Path) -> list[str]:
    text = path.read_text()
    found = []
    if len(text.splitlines()) > MAX_FILE_LINES:
        found.append(f"{path}: {len(text.splitlines())} lines, at most {MAX_FILE_LINES}")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines, limit = node.end_lineno - node.lineno + 1, MAX_FUNCTION_LINES
        elif isinstance(node, ast.ClassDef):
            lines, limit = node.end_lineno - node.lineno + 1, MAX_CLASS_LINES
            methods = sum(isinstance(item, ast.FunctionDef) for item in node.body)
            if methods > MAX_METHODS:
                found.append(f"{path}:{node.lineno}: {node.name} has {methods} methods")
        else:
            continue
        if lines > limit:
            found.append(f"{path}:{node.lineno}: {node.name} has {lines} lines, at most {limit}")
    return found


def main() -> int:
    found = [line for path in sorted(Path("src").rglob("*.py")) for line in complaints(path)]
    print("\n".join(found) or "sizes: every file, class and function fits in the head")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
