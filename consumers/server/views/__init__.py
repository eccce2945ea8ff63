"""The pages, in the order of the navigation: one file and one row each."""

from consumers.server.printing import View
from consumers.server.views.calls import CALLS
from consumers.server.views.evaluations import EVALUATIONS
from consumers.server.views.experiments import EXPERIMENTS
from consumers.server.views.findings import FINDINGS
from consumers.server.views.now import NOW
from consumers.server.views.pipeline import PIPELINE

VIEWS: tuple[View, ...] = (NOW, FINDINGS, EXPERIMENTS, CALLS, PIPELINE, EVALUATIONS)
