"""Gemini, through google-genai or through google-generativeai (its predecessor, whose support ended in 2025)."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gooddrag.gscore.rater import RaterError, Reply

if TYPE_CHECKING:
    from PIL import Image

CLIENTS = ("google-genai", "google-generativeai")
KEYS = ("GEMINI_API_KEY", "GOOGLE_API_KEY")  # environment variables, and secrets on Colab
AGAIN = {408, 429, 500, 502, 503, 504}  # HTTP status codes that waiting may help
HTTP_STACKS = ("httpx", "httpx2", "httpcore", "requests", "urllib3")
FINISHED = ("STOP", "FINISH_REASON_UNSPECIFIED")


class GeminiRater:
    """A Gemini model as a `Rater`. The key is read when a request is made, kept nowhere, and taken out of errors.

    Args:
        model: as Google names it, for instance "gemini-2.5-flash". Names come and go (the paper's gemini-pro-vision is
            gone): the record holds the version that answered.
        client: the library, "google-genai" or "google-generativeai".
        endpoint: another server that speaks the Gemini REST protocol, "http://host:port".
        temperature: None: the model's own.
        timeout: of one request, seconds.
    """

    def __init__(self, model: str, client: str = "google-genai", endpoint: str | None = None,
                 temperature: float | None = None, timeout: float = 120.0):  # fmt: skip
        if client not in CLIENTS:
            raise ValueError(f"client: {client!r}; expected {' or '.join(CLIENTS)}")
        if not model or not isinstance(model, str):
            raise ValueError(f"model: {model!r}; expected a model's name, for instance 'gemini-2.5-flash'")
        if endpoint is not None and not _is_url(endpoint):
            raise ValueError(f"endpoint: {endpoint!r}; expected a URL like 'http://host:port'")
        self.model, self.client, self.endpoint = model, client, endpoint
        self.temperature, self.timeout = temperature, timeout
        self.name = f"{client}:{model}" + ("" if temperature is None else f":temperature={temperature}")

    def __repr__(self) -> str:
        return f"GeminiRater({self.name})"

    def ask(self, text: str, images: Sequence[Image.Image], schema: dict[str, Any]) -> Reply:
        """One request; see `Rater.ask`. The client libraries do not retry: `ask_patiently` does."""
        key = find_key()
        send = self._genai if self.client == "google-genai" else self._generativeai
        try:
            raw = send(key, text, list(images), schema)
            return _reply(json.loads(json.dumps(raw).replace(key, "[key]")))
        except ImportError as error:
            raise ImportError(f'{self.client} is missing: pip install "gooddrag[gscore]"') from error
        except Exception as error:  # two libraries over two HTTP stacks: three dozen kinds
            code = getattr(error, "code", None)
            code = int(code) if isinstance(code, int) else None
            unreachable = isinstance(error, OSError) or type(error).__module__.split(".")[0] in HTTP_STACKS
            message = f"{self.client}: {type(error).__name__}: {error}".replace(key, "[key]")
        # raised here, not in the handler, so that it does not carry the original, in whose text the key may stand
        raise RaterError(message, again=code in AGAIN or (code is None and unreachable))

    def _genai(self, key: str, text: str, images: list, schema: dict[str, Any]) -> dict[str, Any]:
        from google import genai

        options = genai.types.HttpOptions(
            base_url=self.endpoint, api_version="v1beta", timeout=int(self.timeout * 1000)
        )
        config = {"response_mime_type": "application/json", "response_schema": schema}
        if self.temperature is not None:
            config["temperature"] = self.temperature
        with genai.Client(api_key=key, vertexai=False, http_options=options) as client:
            response = client.models.generate_content(model=self.model, contents=[text, *images], config=config)
        return response.model_dump(mode="json", exclude_none=True, exclude={"sdk_http_response", "parsed"})

    def _generativeai(self, key: str, text: str, images: list, schema: dict[str, Any]) -> dict[str, Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # that its support has ended
            import google.generativeai as genai
        # the library keeps these globally; set before every request, they are this rater's
        genai.configure(api_key=key, transport="rest",
                        client_options={"api_endpoint": self.endpoint} if self.endpoint else None)  # fmt: skip
        config = {"response_mime_type": "application/json", "response_schema": schema}
        if self.temperature is not None:
            config["temperature"] = self.temperature
        try:
            response = genai.GenerativeModel(self.model).generate_content(
                [text, *images], generation_config=config, request_options={"retry": None, "timeout": self.timeout}
            )
        finally:
            genai.configure(api_key="", transport="rest")  # not left behind
        result = response._result
        return type(result).to_dict(result, use_integers_for_enums=False, always_print_fields_with_no_presence=False)


def find_key() -> str:
    """The key from the environment (GEMINI_API_KEY or GOOGLE_API_KEY), or from Colab's secrets of these names.

    Raises:
        RaterError: neither has one.
    """
    for name in KEYS:
        if key := os.environ.get(name, "").strip():
            return key
    try:
        from google.colab import userdata
    except ImportError:
        userdata = None
    for name in KEYS if userdata else ():
        try:
            if key := (userdata.get(name) or "").strip():
                return key
        except Exception:  # Colab's own: not there, or this notebook may not see it
            continue
    raise RaterError(f"no API key; expected one in {' or '.join(KEYS)} (environment, or secrets on Colab)")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and " " not in text
    except (ValueError, AttributeError):  # of a port that is no number; of what is no text
        return False


def _reply(raw: dict[str, Any]) -> Reply:
    """The Gemini protocol's reply, as either library shows it: snake case, enumerations by name."""
    version = raw.get("model_version", "")
    if reason := raw.get("prompt_feedback", {}).get("block_reason"):
        return Reply("", f"prompt: {reason}", version, raw)
    if not (candidates := raw.get("candidates")):
        return Reply("", "no candidates", version, raw)
    parts = candidates[0].get("content", {}).get("parts") or []
    text = "".join(part.get("text", "") for part in parts if not part.get("thought"))
    finish = candidates[0].get("finish_reason", "STOP")
    return Reply(text, "" if finish in FINISHED else f"reply: {finish}", version, raw)
