"""The command: its options, runs and comparisons."""
