"""What a rater is: one question with images, one reply; and how often to ask again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Reply:
    """What came back.

    Attributes:
        text: the model's words; "" if there were none.
        blocked: why the service withheld a reply or cut it off; "" if it did not.
        model_version: the model that answered, in its own words.
        raw: the whole reply as plain data.
    """

    text: str
    blocked: str = ""
    model_version: str = ""
    raw: dict[str, Any] = field(default_factory=dict)


class Rater(Protocol):
    """Any model that looks at images: another service is one class with these two.

    Attributes:
        name: service, model and settings: with the prompt and the images it decides what is asked anew.
    """

    name: str

    def ask(self, text: str, images: Sequence[Image.Image], schema: dict[str, Any]) -> Reply:
        """One request: the text, then the images; the reply should be JSON of this schema.

        Raises:
            RaterError: no reply; `again` says whether waiting may help.
        """
        ...


class RaterError(RuntimeError):
    """A request that brought no reply. It holds no key, and neither does what led to it.

    Attributes:
        again: busy, over the quota or unreachable: the same request may work later.
    """

    def __init__(self, message: str, again: bool = False):
        super().__init__(message)
        self.again = again


def ask_patiently(rater: Rater, text: str, images: Sequence[Image.Image], schema: dict[str, Any], attempts: int = 6,
                  sleep: Callable[[float], object] = time.sleep) -> Reply:  # fmt: skip
    """`rater.ask`, again after about 2, 4, 8, ... (at most 60) seconds while that may help.

    Raises:
        RaterError: the last one, or the first that waiting does not help.
    """
    jitter = random.Random()  # so that several runs do not come back at the same moment
    for attempt in range(1, attempts + 1):
        try:
            return rater.ask(text, images, schema)
        except RaterError as error:
            if not error.again or attempt == attempts:
                raise
        sleep(min(60.0, 2.0**attempt) * jitter.uniform(0.75, 1.25))
    raise ValueError(f"attempts: {attempts}; expected 1 or more")
