"""Trains a multilayer perceptron: ``python train.py --backend numba``. The same as the command ``tinynet``."""

import sys

from tinynet.command_line import main

if __name__ == "__main__":
    sys.exit(main())
