"""How a kernel is called, split among threads, compiled and kept."""
