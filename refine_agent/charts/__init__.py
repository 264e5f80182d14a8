"""Pictures of a run as SVG text: speedups, roofline, ledger, tree of turns, several runs at once.

Each function takes transcripts and a width in pixels and needs neither script nor network; the page
around them is `report`'s business.
"""

from refine_agent.charts.comparison import comparison
from refine_agent.charts.ledger import ledger
from refine_agent.charts.roofline import roofline
from refine_agent.charts.speedups import speedups
from refine_agent.charts.tree import tree

__all__ = ["comparison", "ledger", "roofline", "speedups", "tree"]
