"""What starts runs: new data, and evidence that a retraining is due."""
