"""History, played through the assets and sensors that run in production."""
