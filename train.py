"""Trains a multilayer perceptron: ``python train.py --backend numba``. The same as the command ``tinynet``."""

import sys

if __name__ == "__main__":
    try:
        from tinynet.command_line import main
    except KeyboardInterrupt:  # imports take a second
        sys.exit(130)
    sys.exit(main())
