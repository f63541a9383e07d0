"""`python -m svoykrug_client.cli` is `svoykrug-cli`."""

from svoykrug_client.cli import main

main()
