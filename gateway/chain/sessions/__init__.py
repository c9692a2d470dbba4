"""Rents of shared objects as metered sessions in the log."""
