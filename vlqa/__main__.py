"""`python -m vlqa` is `vlqa`."""

from vlqa.apps.cli import main

main()
