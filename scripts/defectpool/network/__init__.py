"""The crystal graph convolutional network: convolutions, poolings, model files."""
