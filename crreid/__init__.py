"""Cross-resolution person re-identification."""

import os

# before torch is loaded: threads that spin while they wait for each other starve beside any busy process
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
