"""Gemini as a rater, through google-genai or its predecessor google-generativeai; no key is kept or shown."""

import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from PIL import Image

MODEL = "gemini-2.5-flash"
"""The default, named here only. Google withdraws models: the paper's gemini-pro-vision is gone."""
KEYS = ("GEMINI_API_KEY", "GOOGLE_API_KEY")  # environment variables
AGAIN = [408, 429, 500, 502, 503, 504]  # HTTP codes after which the clients try again by themselves


class RaterError(RuntimeError):
    """No reply, and none to be had by the next question either: no key, a model that is gone, no network."""


class Refused(ValueError):
    """The service does not take this request; the next one may do."""


@dataclass(frozen=True)
class GeminiRater:
    """A Gemini model. The key is read when a request is made, kept nowhere, and taken out of replies and errors.

    Args:
        client: "google-genai", or its predecessor "google-generativeai". endpoint: another server of the same protocol.
        attempts: how often the client asks a busy service. timeout: of one request, seconds.
    """

    model: str = MODEL
    client: str = "google-genai"
    endpoint: str | None = None
    attempts: int = 5
    timeout: float = 120.0

    def __post_init__(self) -> None:
        if self.client not in CLIENTS or not self.model:
            raise ValueError(f"client, model: {self.client!r}, {self.model!r}; expected {' or '.join(CLIENTS)}, a name")

    @property
    def name(self) -> str:
        return f"{self.client}:{self.model}"

    def ask(self, text: str, images: Sequence[Image.Image], schema: dict) -> dict:
        key = find_key()
        config = {"response_mime_type": "application/json", "response_schema": schema}
        reply = CLIENTS[self.client](self, key, [text, *images], config)
        if isinstance(reply, dict):
            return json.loads(json.dumps(reply).replace(key, "[key]"))
        code, message = getattr(reply, "code", None), f"{type(reply).__name__}: {reply}".replace(key, "[key]")
        if code == 404:
            raise RaterError(f"model: {self.model!r} is not offered (any more); name another one: {message}")
        if code == 400 and "api key" not in message.lower():
            raise Refused(message)
        raise RaterError(message)  # not in a handler: the original, in whose text the key may stand, is not carried


def _genai(rater: GeminiRater, key: str, contents: list, config: dict) -> dict | Exception:
    from google import genai
    from google.genai import errors, types

    http = [import_module(name).HTTPError for name in ("httpx", "httpx2") if find_spec(name)]  # by google-genai's age
    retry = types.HttpRetryOptions(attempts=rater.attempts, http_status_codes=AGAIN)
    timeout = int(rater.timeout * 1000)
    options = types.HttpOptions(base_url=rater.endpoint, api_version="v1beta", timeout=timeout, retry_options=retry)
    try:
        with genai.Client(api_key=key, vertexai=False, http_options=options) as client:
            response = client.models.generate_content(model=rater.model, contents=contents, config=config)
        return response.model_dump(mode="json", exclude_none=True, exclude={"sdk_http_response", "parsed"})
    except (errors.APIError, *http, OSError, ValueError) as error:
        return error


def _generativeai(rater: GeminiRater, key: str, contents: list, config: dict) -> dict | Exception:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # that its support has ended
        import google.generativeai as genai
        from google.api_core import exceptions, retry

    busy = retry.if_exception_type(exceptions.TooManyRequests, exceptions.ServerError, ConnectionError)
    options = {"timeout": rater.timeout, "retry": retry.Retry(busy, timeout=2.0**rater.attempts)}
    endpoint = {"api_endpoint": rater.endpoint} if rater.endpoint else None
    genai.configure(api_key=key, transport="rest", client_options=endpoint)  # kept by the library, so taken back below
    try:
        model = genai.GenerativeModel(rater.model)
        result = model.generate_content(contents, generation_config=config, request_options=options)._result
        return type(result).to_dict(result, use_integers_for_enums=False, always_print_fields_with_no_presence=False)
    except (exceptions.GoogleAPIError, OSError, ValueError) as error:
        return error
    finally:
        genai.configure(api_key="", transport="rest")


CLIENTS = {"google-genai": _genai, "google-generativeai": _generativeai}


def find_key() -> str:
    """The key in the environment: GEMINI_API_KEY, or else GOOGLE_API_KEY."""
    found = [key for name in KEYS if (key := os.environ.get(name, "").strip())]
    if not found:
        raise RaterError(f"no API key; expected one in the environment, {' or '.join(KEYS)}")
    return found[0]
