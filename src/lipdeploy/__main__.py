"""`python -m lipdeploy` is the command `lipdeploy`."""

import sys

from lipdeploy.cli import main

if __name__ == "__main__":
    sys.exit(main())
