"""The network, its training and its testing. Needs torch; knows nothing of files but its state."""
