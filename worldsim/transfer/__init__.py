"""Agents trained in dreams and tried in the real game."""
