"""One thread, as in the commands: for networks this small, more of them only wait for each other."""

import torch as th

th.set_num_threads(1)
