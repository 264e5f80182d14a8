"""What a report shows, gathered from a transcript and bounded: words are legible, not yet escaped.

Every number comes from the transcript; how it looks is the templates' work.
"""

from refine_agent.views.attempt import AttemptView, attempt_view, between
from refine_agent.views.headline import headline_of
from refine_agent.views.page import page_view
from refine_agent.views.run import HALF, NARROW, WIDE, Picture, run_view
from refine_agent.views.story import MOST_TURNS, phases_in

__all__ = [
    "HALF",
    "MOST_TURNS",
    "NARROW",
    "WIDE",
    "AttemptView",
    "Picture",
    "attempt_view",
    "between",
    "headline_of",
    "page_view",
    "phases_in",
    "run_view",
]
