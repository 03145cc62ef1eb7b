"""Puts this folder's helpers on the path, and keeps torch on one core: the networks are tiny."""

import sys
from pathlib import Path

import torch as th

sys.path.insert(0, str(Path(__file__).parent))
th.set_num_threads(1)
