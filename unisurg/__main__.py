"""`python -m unisurg <verb>`."""

import sys

from unisurg.cli import main

if __name__ == "__main__":
    sys.exit(main())
