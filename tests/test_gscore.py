"""GScore through both real client libraries, against a loopback server that speaks the Gemini REST protocol."""

import base64
import io
import json
import logging
import sys
import threading
import traceback
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tiny import picture
from typer.testing import CliRunner

import gooddrag as gd
from gooddrag import benchmark, gscore
from gooddrag.baselines import CopyPaste, Unedited
from gooddrag.cli import app
from gooddrag.gscore import PROMPTS, GeminiRater, RaterError, Reply
from gooddrag.gscore.gemini import CLIENTS
from gooddrag.gscore.prompts import labels
from gooddrag.gscore.rater import ask_patiently

KEY = "AIza-loopback-0123456789-secret"
POINTS = [[[10, 10], [40, 40]]]
SAMPLES = [gd.Sample(picture((48, 48), seed=i), POINTS, name=f"page {i}") for i in range(2)]
RESULTS = {
    method: {s.name: picture((48, 48), seed=10 * k + i) for i, s in enumerate(SAMPLES)}
    for k, method in enumerate(("GoodDrag", "DragDiffusion", "SDE-Drag"), start=1)
}


def answer(text, finish="STOP", version="gemini-test-001"):
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": finish, "index": 0}
    return {"candidates": [candidate], "modelVersion": version}


def rated(score=7):
    return answer(json.dumps({"score": score, "reason": "smooth"}))


class Server(ThreadingHTTPServer):
    """Answers from a script, a list of (status, body), then with the last one again; keeps every request."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.requests = [(200, rated())], []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(SimpleNamespace(path=self.path, headers=dict(self.headers), body=json.loads(body)))
        script = self.server.script
        status, reply = script.pop(0) if len(script) > 1 else script[0]
        content = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def key(monkeypatch):
    for name in ("GOOGLE_API_KEY", "HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(params=CLIENTS)
def rater(request, server):
    return GeminiRater("gemini-test", request.param, server.url, timeout=20)


def run(rater, folder, samples=SAMPLES, results=RESULTS, **arguments):
    waits = []
    ratings = gscore.rate(rater, samples, results, folder, sleep=waits.append, **arguments)
    return ratings, waits


def images_of(request):
    parts = request.body["contents"][0]["parts"]
    inline = [part.get("inlineData") or part.get("inline_data") for part in parts[1:]]
    found = []
    for data in inline:
        raw = data["data"]
        with Image.open(io.BytesIO(base64.urlsafe_b64decode(raw.replace("+", "-").replace("/", "_")))) as image:
            found.append(image.convert("RGB"))
    return parts[0]["text"], found


def test_a_request_holds_the_prompt_the_original_and_the_edited_image(rater, server, tmp_path):
    one = {"GoodDrag": RESULTS["GoodDrag"]}
    (rating,), _ = run(rater, tmp_path, SAMPLES[:1], one)
    (request,) = server.requests
    assert request.path.split("?")[0] == "/v1beta/models/gemini-test:generateContent"
    text, images = images_of(request)
    assert text == PROMPTS["single-1"].text
    for sent, meant in zip(images, (SAMPLES[0].image, RESULTS["GoodDrag"]["page 0"]), strict=True):
        assert np.abs(np.asarray(sent, int) - np.asarray(meant, int)).max() <= 60 and sent.size == meant.size
        assert np.abs(np.asarray(sent, int) - np.asarray(meant, int)).mean() < 5  # WebP or PNG of it
    config = request.body["generationConfig"]
    assert config["responseMimeType"] == "application/json" and "temperature" not in config
    assert set(config["responseSchema"]["properties"]) == {"score", "reason"}
    assert (rating.status, rating.scores, rating.scale) == ("rated", {"GoodDrag": 7.0}, (0, 10))
    assert (rating.model_version, rating.rater) == ("gemini-test-001", rater.name)
    assert json.loads(rating.reply)["reason"] == "smooth"


def test_every_raw_reply_is_kept_and_nothing_is_asked_twice(rater, server, tmp_path):
    two = {method: RESULTS[method] for method in ("GoodDrag", "SDE-Drag")}
    ratings, _ = run(rater, tmp_path, results=two)
    assert len(ratings) == len(server.requests) == len(list(tmp_path.iterdir())) == 2 * 2
    for path in tmp_path.iterdir():
        record = json.loads(path.read_text())
        assert record["raw"]["candidates"][0]["content"]["parts"][0]["text"] == record["reply"]
        assert record["model_version"] == record["raw"]["model_version"] == "gemini-test-001"
    again, _ = run(rater, tmp_path, results=two)
    assert again == ratings and len(server.requests) == 4
    assert Counter((r.sample, r.methods, r.repeat) for r in gscore.read_ratings(tmp_path)).most_common(1)[0][1] == 1
    more, _ = run(rater, tmp_path, results=two, repeats=2)
    assert len(more) == len(server.requests) == 8  # only the second time
    two["GoodDrag"] = {**two["GoodDrag"], "page 0": picture((48, 48), seed=99)}
    run(rater, tmp_path, results=two)
    assert len(server.requests) == 9  # the changed image


def test_comparative_order_is_shuffled_by_the_seed_and_undone(rater, server, tmp_path):
    server.script = [(200, answer(json.dumps({"A": 1, "B": 2.5, "C": 10})))]
    ratings, _ = run(rater, tmp_path / "0", prompt="comparative-1", repeats=2)
    assert len({r.methods for r in ratings}) > 1
    for rating, request in zip(ratings, server.requests, strict=True):
        text, images = images_of(request)
        assert "A, B, C" in text and "{labels}" not in text and len(images) == 4
        assert [rating.scores[m] for m in rating.methods] == [1, 2.5, 10]
        for method, sent in zip(rating.methods, images[1:], strict=True):  # the label belongs to this method
            assert np.abs(np.asarray(sent, int) - np.asarray(RESULTS[method][rating.sample], int)).mean() < 5
    again, other = ([r.methods for r in run(Chart(), tmp_path / name, prompt="comparative-1", repeats=2, seed=seed)[0]]
                    for name, seed in (("1", 0), ("2", 1)))  # fmt: skip
    assert again == [r.methods for r in ratings] != other


def test_the_released_wording_keeps_its_order(rater, server, tmp_path):
    server.script = [(200, answer('{"A": 8, "B": 6, "C": 1}'))]
    ratings, _ = run(rater, tmp_path, prompt="released")
    assert all(r.methods == ("GoodDrag", "DragDiffusion", "SDE-Drag") for r in ratings)
    assert images_of(server.requests[0])[0] == PROMPTS["released"].text
    with pytest.raises(ValueError, match=r"^results: 1 methods; prompt 'released' speaks of 3$"):
        run(rater, tmp_path, results={"GoodDrag": RESULTS["GoodDrag"]}, prompt="released")


BLOCKED = {
    "prompt": ({"promptFeedback": {"blockReason": "SAFETY"}, "modelVersion": "v"}, "prompt: SAFETY"),
    "reply": (answer("", "SAFETY"), "reply: SAFETY"),
    "cut off": (answer('{"score": 7', "MAX_TOKENS"), "reply: MAX_TOKENS"),
    "recited": (answer('{"score": 7, "reason": ""}', "RECITATION"), "reply: RECITATION"),
    "nothing": ({"modelVersion": "v"}, "no candidates"),
}


@pytest.mark.parametrize("kind", BLOCKED)
def test_blocked_is_recorded_and_no_number(rater, server, tmp_path, kind):
    reply, reason = BLOCKED[kind]
    server.script = [(200, reply), (200, rated(9))]
    ratings, _ = run(rater, tmp_path, results={"GoodDrag": RESULTS["GoodDrag"]})
    assert [(r.status, r.scores) for r in ratings] == [("blocked", {}), ("rated", {"GoodDrag": 9.0})]
    assert ratings[0].detail == reason
    (row,) = gscore.summary(ratings)
    assert row == {"method": "GoodDrag", "gscore": 9.0, "spread": None, "samples": 2, "rated": 1, "blocked": 1,
                   "malformed": 0, "unrated": ["page 0"]}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["", "8", "eight", '"8"', "[8]", "{}", '{"score": "8"}', '{"score": true}', '{"score": null}', '{"score": 11}',
     '{"score": -0.1}', '{"score": NaN}', '{"score": 1e999}', '{"Score": 8}', '{"score": 8} ok',
     '```json\n{"score": 8}\n```', '{"score": 8, "score_b": 2}'],
)  # fmt: skip
def test_malformed_is_recorded_and_no_number(server, tmp_path, text):
    rater = GeminiRater("gemini-test", endpoint=server.url)
    server.script = [(200, answer(text))]
    (rating,), _ = run(rater, tmp_path, SAMPLES[:1], {"GoodDrag": RESULTS["GoodDrag"]})
    assert (rating.status, rating.scores, rating.reply) == ("malformed", {}, text)
    assert rating.detail.startswith("reply: ")
    assert gscore.summary([rating])[0]["gscore"] is None
    run(rater, tmp_path, SAMPLES[:1], {"GoodDrag": RESULTS["GoodDrag"]})
    assert len(server.requests) == 1  # it stands as it was recorded


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"A": 1, "B": 2}', '{"A": 1, "B": 2, "C": 3, "D": 4}', '{"A": 1, "B": 2, "C": 0}']
)
def test_comparative_replies_are_whole_and_on_the_scale(text):
    with pytest.raises(ValueError, match="^reply: "):
        PROMPTS["released"].scores(text, 3)
    assert PROMPTS["comparative-1"].scores('{"C": 0, "A": 1, "B": 2.5}', 3) == [1, 2.5, 0]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_busy_is_waited_for(rater, server, tmp_path, status):
    busy = (status, {"error": {"code": status, "message": "later", "status": "UNAVAILABLE"}})
    server.script = [busy, busy, busy, (200, rated(6))]
    (rating,), waits = run(rater, tmp_path, SAMPLES[:1], {"GoodDrag": RESULTS["GoodDrag"]})
    assert rating.scores == {"GoodDrag": 6.0} and len(server.requests) == 4  # the libraries did not retry by themselves
    for wait, middle in zip(waits, (2, 4, 8), strict=True):
        assert 0.75 * middle <= wait <= 1.25 * middle


def test_too_busy_ends_the_run_and_it_resumes(rater, server, tmp_path):
    busy = (429, {"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED"}})
    server.script = [(200, rated(5)), busy]
    with pytest.raises(RaterError, match="429") as caught:
        run(rater, tmp_path, attempts=3)
    assert caught.value.again and len(server.requests) == 4 and len(list(tmp_path.iterdir())) == 1
    server.script = [(200, rated(8))]
    ratings, _ = run(rater, tmp_path)
    assert [r.scores.popitem()[1] for r in ratings] == [5, 8, 8, 8, 8, 8] and len(server.requests) == 4 + 5


@pytest.mark.parametrize("status", [400, 403, 404])
def test_what_waiting_does_not_help_is_not_repeated(rater, server, tmp_path, status):
    server.script = [(status, {"error": {"code": status, "message": "no such thing", "status": "NOT_FOUND"}})]
    with pytest.raises(RaterError, match=f"(?s){status}.*no such thing"):
        run(rater, tmp_path)
    assert len(server.requests) == 1 and not list(tmp_path.iterdir())


def test_an_unreachable_server_is_waited_for(tmp_path):
    server = Server()
    server.server_close()
    for client in CLIENTS:
        with pytest.raises(RaterError) as caught:
            run(GeminiRater("gemini-test", client, server.url), tmp_path, attempts=2)
        assert caught.value.again


# the key


def test_the_key_is_sent_and_appears_nowhere(rater, server, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    echo = {"error": {"code": 403, "message": f"key {KEY} is not good", "status": "PERMISSION_DENIED"}}
    server.script = [(200, answer(json.dumps({"score": 3, "reason": f"your key is {KEY}"}))), (403, echo)]
    with pytest.raises(RaterError, match=r"key \[key\] is not good") as caught:
        run(rater, tmp_path)
    sent = server.requests[0]
    assert KEY in json.dumps(sent.headers) and KEY not in sent.path + json.dumps(sent.body)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(rater) + str(vars(rater))
    error = caught.value
    while error is not None:
        assert KEY not in str(error)
        error = error.__cause__ or error.__context__
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b'"score' in files
    written = "".join(capfd.readouterr())
    assert KEY not in shown + caplog.text + written and KEY.encode() not in files


def test_the_key_s_places(monkeypatch):
    monkeypatch.setenv("GOOGLE_API_KEY", "second")
    assert gscore.gemini.find_key() == KEY
    monkeypatch.delenv("GEMINI_API_KEY")
    assert gscore.gemini.find_key() == "second"
    monkeypatch.setenv("GOOGLE_API_KEY", " ")
    with pytest.raises(RaterError, match=r"^no API key; expected one in GEMINI_API_KEY or GOOGLE_API_KEY"):
        gscore.gemini.find_key()

    def secret(name):
        if name == "GEMINI_API_KEY":
            raise PermissionError("this notebook may not see it")
        return "from colab"

    colab = ModuleType("google.colab")
    colab.userdata = SimpleNamespace(get=secret)
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    assert gscore.gemini.find_key() == "from colab"


# the protocol, and the numbers


class Ruler:
    """Another rater is one class: this one measures how bright the edited image is."""

    name = "ruler:1"

    def ask(self, text, images, schema):
        return Reply(json.dumps({"score": np.asarray(images[1]).mean() / 25.5, "reason": ""}), model_version="1")


class Chart:
    name = "chart:1"

    def ask(self, text, images, schema):
        return Reply(json.dumps(dict.fromkeys(schema["properties"], 5)))


def test_any_other_rater(tmp_path):
    ratings, _ = run(Ruler(), tmp_path)
    rows = {row["method"]: row for row in gscore.summary(ratings)}
    for method, images in RESULTS.items():
        expected = np.mean([np.asarray(image).mean() / 25.5 for image in images.values()])
        assert rows[method]["gscore"] == pytest.approx(expected) and rows[method]["rated"] == 2


def test_summary_by_hand():
    def one(sample, repeat, score, status="rated", prompt="single-1"):
        scores = {"GoodDrag": score} if status == "rated" else {}
        return gscore.Rating(sample, ("GoodDrag",), repeat, status, scores, (0, 10), "", "r", prompt, "v", "", "", {})

    ratings = [one("a", 0, 6), one("a", 1, 8), one("a", 2, 0, "blocked"), one("b", 0, 3), one("c", 0, 0, "malformed")]
    (row,) = gscore.summary(ratings)
    assert row["gscore"] == pytest.approx((7 + 3) / 2)  # samples count alike, however often they were rated
    assert row["spread"] == pytest.approx(2**0.5)
    assert (row["samples"], row["rated"], row["blocked"], row["malformed"]) == (3, 3, 1, 1) and row["unrated"] == ["c"]
    with pytest.raises(ValueError, match="^ratings: of more than one prompt"):
        gscore.summary([*ratings, one("d", 0, 1, prompt="released")])
    assert gscore.summary([]) == []


def test_prompts_are_data_of_known_versions():
    assert list(PROMPTS) == ["single-1", "comparative-1", "released"]
    assert PROMPTS["released"].scale == (1, 10) and PROMPTS["single-1"].scale == (0, 10)
    assert labels(3) == ["A", "B", "C"]
    assert PROMPTS["comparative-1"].schema(2)["required"] == ["A", "B"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(prompt="best"), "prompt: 'best'; expected one of single-1, comparative-1, released"),
        (dict(repeats=0), "repeats: 0; expected a whole number"),
        (dict(samples=[]), "samples, results: empty"),
        (dict(samples=SAMPLES[:1] * 2), "samples: 'page 0' is there twice"),
        (dict(results={"GoodDrag": {"page 0": None}}), "results: GoodDrag has no image of page 1"),
    ],
)
def test_bad_arguments_ask_nothing(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        run(Ruler(), tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


def test_bad_raters():
    with pytest.raises(ValueError, match="^client: 'openai'; expected google-genai or google-generativeai"):
        GeminiRater("x", "openai")
    with pytest.raises(ValueError, match="^model: ''; expected a model's name"):
        GeminiRater("")
    for endpoint in ("", "nonsense", "host:80", "ftp://host", "http://", "http://a b", "http://host:x", "http://[", 3):
        with pytest.raises(ValueError, match="^endpoint: .*; expected a URL like 'http://host:port'"):
            GeminiRater("x", endpoint=endpoint)
    with pytest.raises(ValueError, match="^attempts: 0; expected 1 or more"):
        ask_patiently(Ruler(), "", [], {}, attempts=0)


def test_a_broken_record_is_named(tmp_path):
    run(Ruler(), tmp_path)
    path = sorted(tmp_path.iterdir())[0]
    for content in ("{", "[]", '{"format_version": 2}', '{"format_version": 1}'):
        path.write_text(content)
        with pytest.raises(ValueError, match=f"^folder: {path.name} cannot be read"):
            run(Ruler(), tmp_path)
        with pytest.raises(ValueError, match="cannot be read"):
            gscore.read_ratings(tmp_path)


def test_a_results_folder_is_rated_from_a_shell(server, tiny, tmp_path, monkeypatch):
    server.script = [(200, rated(7))]
    methods = {"Unedited": Unedited(), "Copy-paste": CopyPaste(2)}
    benchmark.run(tmp_path / "bench", SAMPLES, methods, model=tiny, progress=False)
    command = ["gscore", str(tmp_path / "bench"), "--rater", "gemini-test", "--endpoint", server.url]
    for options, said in (
        (("--endpoint", "nonsense"), "endpoint: 'nonsense'; expected a URL like 'http://host:port'"),
        (("--seed", "7"), "seed: 7; expected one of 0"),
        (("--methods", ""), "methods: ''; expected some of Copy-paste, Unedited"),
    ):
        wrong = CliRunner().invoke(app, [*command, *options])
        assert wrong.exit_code == 2 and wrong.stderr == f"gooddrag: {said}\n"
    with monkeypatch.context() as patch:
        patch.delenv("GEMINI_API_KEY")
        keyless = CliRunner().invoke(app, command)
    assert keyless.exit_code == 2 and keyless.stderr.endswith("(environment, or secrets on Colab)\n")
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output + repr(first.exception)
    rows = [line.split() for line in first.stdout.splitlines() if line.strip().startswith(tuple(methods))]
    assert [(row[0], row[1]) for row in rows] == [("Copy-paste", "7.000"), ("Unedited", "7.000")]
    assert len(server.requests) == 2 * len(SAMPLES) == len(list((tmp_path / "bench" / "gscore").iterdir()))
    assert CliRunner().invoke(app, [*command, "--methods", "Unedited"]).exit_code == 0
    assert len(server.requests) == 2 * len(SAMPLES)  # all there
    assert KEY not in first.output
    server.script = [(403, {"error": {"message": "no"}})]
    refused = CliRunner().invoke(app, [*command, "--repeats", "2"])
    assert refused.exit_code == 2 and len(refused.stderr.splitlines()) == 1 and KEY not in refused.stderr
    assert refused.stderr.endswith(" (what was rated is kept; the same command goes on)\n")
