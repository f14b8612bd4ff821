"""What an edit costs: counted, timed against the bare U-Net, and predicted for hardware that is not here."""

from experiments.cost.bare import BareTimes, bare_times
from experiments.cost.meter import Meter, Part
from experiments.cost.predict import GPUS, Needs, edit_calls, memory_plan, needs, seconds_on
from experiments.cost.profile import profile, table
from experiments.cost.tensors import Pass, on_paper, traced

__all__ = [
    "GPUS",
    "BareTimes",
    "Meter",
    "Needs",
    "Part",
    "Pass",
    "bare_times",
    "edit_calls",
    "memory_plan",
    "needs",
    "on_paper",
    "profile",
    "seconds_on",
    "table",
    "traced",
]
