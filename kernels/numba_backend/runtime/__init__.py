"""What runs kernels and recorded programs: threads, the executor, barriers, the cache of calls."""
