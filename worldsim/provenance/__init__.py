"""Where generated clips and pictures come from: what their files say, how they are signed, and a mark in their pixels."""

from worldsim.provenance.claim import MARKS, Claim, MarkOptions

__all__ = ["MARKS", "Claim", "MarkOptions"]
