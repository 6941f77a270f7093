"""`python -m xstilts.cli`, for where the console script is not on the path."""

from xstilts.cli import main

main()
