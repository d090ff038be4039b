"""Recorded play: the on-disk format, recorder, reader and collector."""

from __future__ import annotations

from worldsim.data.check import check, format_check
from worldsim.data.clips import Clips
from worldsim.data.collect import Policy, PolicySource, collect
from worldsim.data.coverage import coverage, format_coverage
from worldsim.data.dataset import Dataset, Episode
from worldsim.data.format import DatasetInfo, EpisodeInfo, Rows
from worldsim.data.merge import merge
from worldsim.data.recorder import Recorder
from worldsim.data.writer import EpisodeWriter, Take

__all__ = [
    "Clips",
    "Dataset",
    "DatasetInfo",
    "Episode",
    "EpisodeInfo",
    "EpisodeWriter",
    "Policy",
    "PolicySource",
    "Recorder",
    "Rows",
    "Take",
    "check",
    "collect",
    "coverage",
    "format_check",
    "format_coverage",
    "merge",
]
