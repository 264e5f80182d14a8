"""A model's full name, the server that runs it, and the key it takes.

It owns what `--model` and `--api-base` mean together; calling the model is `model`'s business.
"""

from __future__ import annotations

import os

import msgspec

from refine_agent.author.door import errors, litellm
from refine_agent.author.faults import AuthorFault

# A server of one's own asks for no key, but the client insists on sending one.
NO_KEY = "no-key-needed"


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """A model's full name and, where it is not the provider's own, the server that runs it."""

    name: str
    api_base: str | None = None

    @property
    def key_variable(self) -> str:
        """The environment variable that holds its key."""
        return f"{self.name.partition('/')[0].upper()}_API_KEY"

    @property
    def api_key(self) -> str | None:
        """The key to send where litellm would find none and the server may want none."""
        own = self.api_base is not None and not os.environ.get(self.key_variable)
        return NO_KEY if own else None


def served(name: str, api_base: str | None, *, first: str) -> Served:
    """Return a model's full name, with the server if it is that server's.

    The server is meant for the model that was named first, and for names without a provider.
    """
    provider = name.partition("/")[0]
    if "/" in name and provider in litellm.provider_list:
        return Served(name=name, api_base=api_base if name == first else None)
    if api_base is not None:
        return Served(name=f"openai/{name}", api_base=api_base)
    try:
        provider = litellm.get_llm_provider(name)[1]
    except errors.BadRequestError:
        raise AuthorFault(
            f"litellm knows no model {name!r}; write PROVIDER/NAME, as in anthropic/claude-opus-5, "
            "or name your server with --api-base URL"
        ) from None
    return Served(name=f"{provider}/{name}")


def require_key(model: Served) -> None:
    """Raise ``AuthorFault`` where the environment holds no key for the model."""
    if model.api_base is not None:
        return
    missing = litellm.validate_environment(model.name)["missing_keys"]
    keys = [variable for variable in missing if variable.endswith("_API_KEY")]
    # What else may be missing (a region, a project) can also come from files and instance roles.
    if not keys:
        return
    if keys == missing:
        # Of several keys any one will do, and the provider's own is the one people have.
        missing = [model.key_variable] if model.key_variable in keys else keys[:1]
    raise AuthorFault(
        f"there is no key for {model.name}: set {' and '.join(missing)} in the environment, "
        "or choose another model with --model"
    )
