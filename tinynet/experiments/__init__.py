"""Training runs as the command describes them: options, prepared data, results, comparisons, the ladder."""
