"""What a saved file holds: models, optimizers, Trainers, estimators."""
