"""Batches of crystal graphs: what the network computes on."""
