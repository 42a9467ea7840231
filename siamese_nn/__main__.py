"""`python -m siamese_nn` is the command `siamese-nn`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
