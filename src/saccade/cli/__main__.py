"""``python -m saccade.cli``."""

from saccade.cli import main

main()
