"""The campaign as a whole: what it will cost, what became of its jobs, what they used."""
