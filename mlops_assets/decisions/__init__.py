"""From evidence to a retraining, or to holding it back."""
