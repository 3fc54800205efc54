"""A registered version, trained again from what was recorded."""
