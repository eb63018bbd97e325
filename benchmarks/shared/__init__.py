"""What several benchmarks need: arrays, the clock, options, whether the machine is quiet."""
