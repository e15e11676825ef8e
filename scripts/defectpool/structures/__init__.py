"""Point defects in supercells of the hosts, with their perfect twins."""
