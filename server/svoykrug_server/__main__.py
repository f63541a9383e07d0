"""`python -m svoykrug_server` is `svoykrug`."""

from svoykrug_server.cli import main

if __name__ == "__main__":
    main()
