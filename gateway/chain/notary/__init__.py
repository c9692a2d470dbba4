"""Batches of readings under precise-proof roots at the 24/7 Notary of Energy Web."""
