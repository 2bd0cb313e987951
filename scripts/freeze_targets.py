"""Freeze the target levels of a data set: python scripts/freeze_targets.py digits"""

from initsuite.targets import main

if __name__ == "__main__":
    main()
