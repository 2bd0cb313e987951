#!/usr/bin/env python3
"""Trials per second of the suite against other ways: a starter for `python -m initsuite.benchmark`."""

import sys

from initsuite.benchmark.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
