"""Wrappers and callbacks around any environment: rewards, exploration, curricula, observations, teaching."""
