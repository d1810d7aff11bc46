"""`python -m bench`, and the command `earnest`."""

import sys


def main() -> None:
    """Run the command line; the exit code says how it went."""
    from bench.cli import run_command  # late, so that `earnest --help` needs no torch

    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()
