"""The one door to litellm: quiet, offline at import, and without retries of its own.

It owns how the library is loaded; who calls it and what comes of it is `model`'s business.
"""

from __future__ import annotations

import logging
import os
import warnings

# Otherwise the import asks GitHub for the newest price list, three times, and waits.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
# Otherwise the import loads whatever .env file it finds between here and the root.
os.environ.setdefault("LITELLM_MODE", "PRODUCTION")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import litellm
    from litellm import exceptions as errors

    # Pydantic builds these on first use, and warns in the middle of a run about what it finds.
    litellm.ModelResponse()
    litellm.ModelResponseStream()

warnings.filterwarnings("ignore", message=r"Items? .* `ReadOnly`", category=UserWarning)
litellm.suppress_debug_info = True
litellm.telemetry = False
litellm.num_retries = None
# What failed is said once, by us, in one sentence.
logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)

__all__ = ["errors", "litellm"]
