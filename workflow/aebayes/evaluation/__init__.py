"""Estimators of what a trained model is worth; they know `encode`, `decode` and `log_joint`."""
