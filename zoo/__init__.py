"""The command line: train, measure and compare; imported as ``sb3_ext.zoo``."""
