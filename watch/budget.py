"""So many false alarms a year over everything watched, and what that leaves for each series."""

import math
from dataclasses import dataclass

YEAR_S = 365.25 * 86_400
# Of the budget this part pays for baselines that miss the truth: each of those would alarm.
_BASELINES = 0.1


@dataclass(frozen=True, slots=True)
class Budget:
    """The budget over a fixed number of slots, so that a new series moves nobody's threshold."""

    false_alarms_per_year: float
    slots: int
    pane_s: float

    @property
    def log_threshold(self) -> float:
        """ln of the panes that pass before a false alarm of one series, in the mean."""
        share = (1 - _BASELINES) * self.false_alarms_per_year / self.slots
        return math.log(YEAR_S / self.pane_s / share)

    @property
    def baseline_alpha(self) -> float:
        """The chance that the band of one baseline may miss the truth."""
        return min(0.5, _BASELINES * self.false_alarms_per_year / self.slots)
