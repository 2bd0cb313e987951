#!/usr/bin/env python3
"""The recommendations table from a results store: a shortcut to `python -m initsuite.report`."""

import sys

from initsuite.report.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
