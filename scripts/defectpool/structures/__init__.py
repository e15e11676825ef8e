"""Point defects in supercells of the hosts, with their pristine supercells."""
