"""The kernels themselves, written with SIMD vectors."""
