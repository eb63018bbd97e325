"""What several benchmarks need: the clock, options, pictures, whether the machine is quiet."""
