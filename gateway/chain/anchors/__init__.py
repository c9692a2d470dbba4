"""The log's checkpoints in the anchor contract, and the notes that they name."""
