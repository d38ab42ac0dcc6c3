"""python -m guidebench.cli."""

import sys

from guidebench.cli import main

if __name__ == "__main__":
    sys.exit(main())
