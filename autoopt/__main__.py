"""`python -m autoopt` is the `autoopt` command."""

import sys

from autoopt.cli import main

if __name__ == "__main__":
    sys.exit(main())
