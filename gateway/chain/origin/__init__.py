"""Totals of meters in the asset registries of Energy Web Origin."""
