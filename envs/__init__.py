"""Environments and wrappers, imported as ``sb3_ext.envs``."""
