"""Data sets to train on: by name, from a file, split in two and standardised."""

from tinynet.data.dataset import Dataset
from tinynet.data.downloads import DatasetUnavailable
from tinynet.data.loading import load
from tinynet.data.named import Description, describe, names
from tinynet.data.splitting import Split, split
from tinynet.data.standardising import Standardisation, standardise
from tinynet.tables.targets import Task

__all__ = [
    "Dataset",
    "DatasetUnavailable",
    "Description",
    "Split",
    "Standardisation",
    "Task",
    "describe",
    "load",
    "names",
    "split",
    "standardise",
]
