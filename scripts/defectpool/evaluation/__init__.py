"""What is computed from predictions: intervals, baselines, localization, generalization."""
