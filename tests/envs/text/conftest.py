"""Keeps torch on one core: the networks are tiny."""

import torch as th

th.set_num_threads(1)
