"""The parts of training.py: the problem, the contest and its workers, the peers, how it is reported and drawn."""
