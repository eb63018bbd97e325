"""The parts of kernels.py: what is timed, who takes part, how it is reported and drawn."""
