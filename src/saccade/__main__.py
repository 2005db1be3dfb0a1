"""`python -m saccade`, the command line by the interpreter's name."""

from saccade.cli import main

main()
